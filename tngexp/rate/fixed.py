"""One training, one λ, one point on the RD curve."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from tngexp.rate.base import Rate
from tngexp.types import ConfigError

__all__ = ["FixedRate"]


@final
class FixedRate(Rate):
    """A single λ; quality is ignored.

    Raises:
        ConfigError: for λ ≤ 0.
    """

    variable = False

    def __init__(self, lmbda: float) -> None:
        super().__init__()
        if not lmbda > 0:
            raise ConfigError(
                f"loss.lmbda must be positive, not {lmbda}: λ multiplies the distortion, "
                "so at λ ≤ 0 the best codec sends nothing"
            )
        self._lmbda = float(lmbda)
        # Follows the module between devices, where a Python float could not.
        self.register_buffer("_anchor", torch.zeros(()), persistent=False)

    _anchor: Tensor

    def lmbda(self, quality: Tensor | None) -> Tensor:
        return self._anchor + self._lmbda

    def sample(self, batch: int, generator: torch.Generator | None = None) -> Tensor | None:
        return None

    def scale(self, y: Tensor, quality: Tensor | None) -> Tensor:
        return y

    def unscale(self, y_hat: Tensor, quality: Tensor | None) -> Tensor:
        return y_hat
