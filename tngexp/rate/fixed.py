"""One training, one λ, one point on the RD curve."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from tngexp.rate.base import Rate

__all__ = ["FixedRate"]


@final
class FixedRate(Rate):
    """No gains; quality is ignored."""

    variable = False

    def sample(self, batch: int, generator: torch.Generator | None = None) -> Tensor | None:
        return None

    def scale(self, y: Tensor, quality: Tensor | None) -> Tensor:
        return y

    def unscale(self, y_hat: Tensor, quality: Tensor | None) -> Tensor:
        return y_hat
