"""Learned reproduction points, softly assigned and annealed towards the nearest one."""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Tensor, nn

from tngexp.quantizers.alphabets import OUTER_EDGE, Centers
from tngexp.quantizers.base import Quantizer
from tngexp.types import Alphabet, Cells, ConfigError, Relaxed

__all__ = ["SoftToHard"]

# Two centers never come closer than this, so no cell vanishes in a bitstream's 1/256 edge grid.
_MIN_GAP = 1.0 / 16


@final
class SoftToHard(Quantizer):
    """Soft assignment to L learned scalar centers (Agustsson 2017, § 3; Mentzer 2018, § 3.2).

    While training, with q_j = softmax_j(−σ·(y − c_j)²), the decoder sees Σ_j q_j·c_j and the rate
    is Σ_j q_j·(−log2 P(cell j)); σ grows geometrically from ``sigma_start`` to ``sigma_end``
    (the papers' annealing). Evaluation takes the nearest center. A cell ends midway between
    neighbouring centers and the outer cells reach to infinity, so symbols are 0 … L−1 and never
    need an escape.

    The centers are stored as a first point and positive gaps, which keeps them sorted whatever
    the optimizer does. They start at the integers −(L−1)/2 … (L−1)/2.

    Args:
        centers: L, odd, so that one center starts at zero, where most residuals lie.
        sigma_start: σ at the start of training, in 1/residual².
        sigma_end: σ at its end.

    Raises:
        ConfigError: for an even or too small L, or σ that does not grow.
    """

    sigma: Tensor

    def __init__(
        self, centers: int = 15, sigma_start: float = 1.0, sigma_end: float = 20.0
    ) -> None:
        super().__init__()
        if centers < 3 or centers % 2 == 0:
            raise ConfigError(f"quantizer.centers must be odd and at least 3, not {centers}")
        if not 0 < sigma_start <= sigma_end:
            raise ConfigError(
                f"quantizer=soft_to_hard needs 0 < sigma_start ≤ sigma_end, "
                f"not {sigma_start} and {sigma_end}"
            )
        self._range = (sigma_start, sigma_end)
        self.middle = nn.Parameter(torch.zeros(()))
        self.log_gaps = nn.Parameter(torch.full((centers - 1,), math.log(1.0 - _MIN_GAP)))
        self.register_buffer("sigma", torch.tensor(float(sigma_start)))

    def centers(self) -> Tensor:
        """The reproduction points in rising order, float32, shape (L,)."""
        gaps = self.log_gaps.float().exp() + _MIN_GAP
        steps = torch.cat([gaps.new_zeros(1), gaps.cumsum(0)])
        return steps - steps[len(steps) // 2] + self.middle.float()

    def edges(self) -> Tensor:
        """The inner cell edges in rising order, shape (L − 1,)."""
        centers = self.centers()
        return (centers[1:] + centers[:-1]) / 2

    def relax(self, residual: Tensor) -> Relaxed:
        centers = self.centers().view(-1, *[1] * residual.dim())  # (L, 1, …)
        assignment = torch.softmax(-self.sigma * (residual - centers) ** 2, dim=0)
        edges = self.edges()
        outer = edges.new_tensor([OUTER_EDGE])
        lower = torch.cat([-outer, edges]).view_as(centers)
        upper = torch.cat([edges, outer]).view_as(centers)
        return Relaxed((assignment * centers).sum(0), Cells(lower, upper, assignment))

    def alphabet(self) -> Alphabet:
        return Centers.of(self.centers())

    def anneal(self, progress: float) -> None:
        start, end = self._range
        self.sigma.fill_(math.exp(math.log(start) + progress * math.log(end / start)))
