"""Soft rounding, annealed towards hard rounding."""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Tensor

from tngexp.quantizers.base import IntegerQuantizer, unit_cells
from tngexp.types import ConfigError, Relaxed

__all__ = ["SoftRound", "soft_round"]


def soft_round(x: Tensor, alpha: Tensor | float) -> Tensor:
    """Differentiable rounding s_α (Agustsson & Theis 2020, eq. 12), same shape as ``x``.

    s_α(x) = ⌊x⌋ + ½ + ½·tanh(α·r) / tanh(α/2), r = x − ⌊x⌋ − ½. The identity for α → 0 and
    rounding for α → ∞; integers and half-integers are fixed points for every α.
    """
    base = x.floor() + 0.5
    alpha = torch.as_tensor(alpha, dtype=x.dtype, device=x.device)
    return base + 0.5 * torch.tanh(alpha * (x - base)) / torch.tanh(alpha / 2)


@final
class SoftRound(IntegerQuantizer):
    """s_α(s_α(y) + u), u ~ U(−½, ½), for decoder and rate alike (Agustsson & Theis 2020, § 4.2).

    The noise between the two soft roundings bounds the gradient's variance; α grows
    geometrically from ``alpha_start`` (almost plain noise) to ``alpha_end`` (almost rounding).

    Raises:
        ConfigError: unless 0 < ``alpha_start`` ≤ ``alpha_end``.
    """

    alpha: Tensor

    def __init__(self, alpha_start: float = 1.0, alpha_end: float = 8.0) -> None:
        super().__init__()
        if not 0 < alpha_start <= alpha_end:
            raise ConfigError(
                f"quantizer=soft_round needs 0 < alpha_start ≤ alpha_end, "
                f"not {alpha_start} and {alpha_end}"
            )
        self._range = (alpha_start, alpha_end)
        self.register_buffer("alpha", torch.tensor(float(alpha_start)))

    def relax(self, residual: Tensor) -> Relaxed:
        noise = torch.rand_like(residual) - 0.5
        value = soft_round(soft_round(residual, self.alpha) + noise, self.alpha)
        return Relaxed(value, unit_cells(value))

    def anneal(self, progress: float) -> None:
        start, end = self._range
        self.alpha.fill_(math.exp(math.log(start) + progress * math.log(end / start)))
