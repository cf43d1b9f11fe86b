"""From losses of paired runs to curves, and to a statement with its uncertainty."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from tngexp.runs.learning_curve import LearningCurve

__all__ = ["Curves", "Difference", "band", "curves_of", "judge"]


class Curves(NamedTuple):
    """Validation losses of a variant's runs, at the steps that all of them have validated at."""

    steps: list[int]
    losses: dict[str, list[float]]  # value of the pairing option → one loss a step


class Difference(NamedTuple):
    """Of a variant's final RD loss from the base's, with what may be said of it."""

    change: float  # mean relative difference of the loss; negative is better
    half_width: float | None  # of its confidence interval; None with fewer than two pairs
    pairs: int
    word: Literal["better", "worse", "undecided", "one pair"]

    def __str__(self) -> str:
        if self.half_width is None:
            return f"{self.change:+.2%} with {self.pairs} pair: no statement without a second one"
        return f"{self.change:+.2%} ± {self.half_width:.2%}: {self.word}"


def judge(
    base: Mapping[str, float], variant: Mapping[str, float], confidence: float = 0.95
) -> Difference:
    """Compare final losses, pair by pair.

    Two runs of a seed see the same crops in the same order, so what the seed does to both cancels
    in the difference. The interval is Student's, of the mean of the paired relative differences.

    Args:
        base: seed, or what else pairs → loss.
        variant: the same; what only one of them has is left out.
        confidence: of the interval, in (0, 1).

    Raises:
        ValueError: when they have no pair in common.
    """
    pairs = [key for key in base if key in variant]
    if not pairs:
        raise ValueError("no pair in common")
    changes = [variant[key] / base[key] - 1 for key in pairs]
    mean, half_width = band(changes, confidence)
    if half_width is None:
        return Difference(mean, None, len(pairs), "one pair")
    if abs(mean) <= half_width:
        return Difference(mean, half_width, len(pairs), "undecided")
    return Difference(mean, half_width, len(pairs), "better" if mean < 0 else "worse")


def curves_of(runs: Mapping[str, LearningCurve]) -> Curves:
    """The curves of a variant's runs at the steps they have in common.

    Args:
        runs: value of the pairing option → what the run left.
    """
    known = {
        key: {
            step: loss for step, loss in zip(c.steps, c.val_loss, strict=True) if loss is not None
        }
        for key, c in runs.items()
    }
    steps = sorted(set.intersection(*({*losses} for losses in known.values())))
    return Curves(steps, {key: [losses[s] for s in steps] for key, losses in known.items()})


def band(values: Sequence[float], confidence: float) -> tuple[float, float | None]:
    """Mean and half the width of Student's interval; None where one value gives no width."""
    mean = statistics.fmean(values)
    if len(values) < 2:
        return mean, None
    from scipy.stats import t  # type: ignore[import-untyped]

    quantile = float(t.ppf(0.5 + confidence / 2, len(values) - 1))
    return mean, quantile * statistics.stdev(values) / math.sqrt(len(values))
