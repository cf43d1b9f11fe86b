"""Additive uniform noise."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from tngexp.quantizers.base import IntegerQuantizer, unit_cells
from tngexp.types import Relaxed

__all__ = ["Noise"]


@final
class Noise(IntegerQuantizer):
    """y + U(−½, ½) for decoder and rate alike (Ballé et al. 2017, section 3)."""

    def relax(self, residual: Tensor) -> Relaxed:
        noisy = residual + torch.rand_like(residual) - 0.5
        return Relaxed(noisy, unit_cells(noisy))
