"""From losses of paired runs to a statement with its uncertainty."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

__all__ = ["Verdict", "band", "judge"]


class Verdict(NamedTuple):
    """How a variant's final RD loss compares with the base's."""

    change: float  # mean relative difference of the loss; negative is better
    half_width: float | None  # of its confidence interval; None with fewer than two seeds
    seeds: int
    word: Literal["better", "worse", "undecided", "one seed"]

    def __str__(self) -> str:
        if self.half_width is None:
            return f"{self.change:+.2%} with {self.seeds} seed: no statement without a second one"
        return f"{self.change:+.2%} ± {self.half_width:.2%}: {self.word}"


def judge(
    base: Mapping[int, float], variant: Mapping[int, float], confidence: float = 0.95
) -> Verdict:
    """Compare final losses, seed by seed.

    Both runs of a seed see the same crops in the same order, so what the seed does to both cancels
    in the difference. The interval is Student's, of the mean of the paired relative differences.

    Args:
        base: seed → loss.
        variant: seed → loss; seeds that only one of them has are left out.
        confidence: of the interval, in (0, 1).

    Raises:
        ValueError: when they have no seed in common.
    """
    seeds = sorted(base.keys() & variant.keys())
    if not seeds:
        raise ValueError("no seed in common")
    changes = [variant[seed] / base[seed] - 1 for seed in seeds]
    mean, half_width = band(changes, confidence)
    if half_width is None:
        return Verdict(mean, None, len(seeds), "one seed")
    if abs(mean) <= half_width:
        return Verdict(mean, half_width, len(seeds), "undecided")
    return Verdict(mean, half_width, len(seeds), "better" if mean < 0 else "worse")


def band(values: Sequence[float], confidence: float) -> tuple[float, float | None]:
    """Mean and half the width of Student's interval; None where one value gives no width."""
    mean = statistics.fmean(values)
    if len(values) < 2:
        return mean, None
    from scipy.stats import t  # type: ignore[import-untyped]

    quantile = float(t.ppf(0.5 + confidence / 2, len(values) - 1))
    return mean, quantile * statistics.stdev(values) / math.sqrt(len(values))
