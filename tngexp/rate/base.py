"""How a codec is told which rate to aim for."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

__all__ = ["Rate"]


class Rate(nn.Module, ABC):
    """Maps a quality in [0, 1] to the gains around the quantizer.

    λ is not known here: it is what the gains are trained for, and the loss's.

    Attributes:
        variable: whether the quality means anything.
    """

    variable: bool

    @abstractmethod
    def sample(self, batch: int, generator: torch.Generator | None = None) -> Tensor | None:
        """Qualities to train a batch at, (B,); None for a fixed rate."""

    @abstractmethod
    def scale(self, y: Tensor, quality: Tensor | None) -> Tensor:
        """The latent (B, M, h, w) as the quantizer is to see it."""

    @abstractmethod
    def unscale(self, y_hat: Tensor, quality: Tensor | None) -> Tensor:
        """The decoded latent (B, M, h, w) as the synthesis transform is to see it."""
