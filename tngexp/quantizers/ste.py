"""Rounding with a straight-through gradient."""

from __future__ import annotations

from typing import final

from torch import Tensor

from tngexp.quantizers.base import IntegerQuantizer, round_ste, unit_cells
from tngexp.types import Relaxed

__all__ = ["StraightThrough"]


@final
class StraightThrough(IntegerQuantizer):
    """round(y) for decoder and rate, with the identity's gradient (Theis et al. 2017, eq. 6)."""

    def relax(self, residual: Tensor) -> Relaxed:
        rounded = round_ste(residual)
        return Relaxed(rounded, unit_cells(rounded))
