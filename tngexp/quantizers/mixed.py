"""The decoder sees rounding, the rate sees noise."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from tngexp.quantizers.base import IntegerQuantizer, round_ste, unit_cells
from tngexp.types import Relaxed

__all__ = ["Mixed"]


@final
class Mixed(IntegerQuantizer):
    """Straight-through rounding for the decoder, y + U(−½, ½) for the rate.

    Minnen & Singh 2020, section 3.3: the decoder trains on what it will decode, while the rate
    keeps a smooth objective.
    """

    def relax(self, residual: Tensor) -> Relaxed:
        noisy = residual + torch.rand_like(residual) - 0.5
        return Relaxed(round_ste(residual), unit_cells(noisy))
