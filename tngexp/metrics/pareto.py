"""Which points of a codec are worth using: the Pareto front and its convex hull."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tngexp.metrics.comparison import rate_and_quality
from tngexp.metrics.curves import RDPoint

__all__ = ["efficient", "pareto"]


def efficient(rates: Sequence[float], quality: Sequence[float], convex: bool = False) -> list[int]:
    """Indices of the points that no other one dominates, by rising rate.

    A point is dominated if another has at least its quality for at most its rate. Points that are
    not finite are left out.

    Args:
        rates: of each point.
        quality: of each point, higher is better.
        convex: keep only the corners of the upper convex hull of quality over rate; points under it
            are outdone by two others mixed over many images. What several variable-rate codecs
            reach together needs it: their interleaved curves zigzag.
    """
    usable = [i for i, (r, q) in enumerate(zip(rates, quality, strict=True)) if _finite(r, q)]
    front: list[int] = []
    for i in sorted(usable, key=lambda i: (rates[i], -quality[i])):
        if front and quality[i] <= quality[front[-1]]:
            continue
        while convex and len(front) > 1 and _below(rates, quality, front[-2], front[-1], i):
            front.pop()
        front.append(i)
    return front


def pareto(
    points: Sequence[RDPoint], metric: str = "psnr_db", convex: bool = False
) -> tuple[RDPoint, ...]:
    """The :func:`efficient` ones of ``points`` by what they are compared in.

    Args:
        points: of any curve.
        metric: one of :data:`~tngexp.metrics.curves.QUALITY_METRICS`, of which
            :func:`~tngexp.metrics.comparison.rate_and_quality` says rate and quality.
        convex: as :func:`efficient`.
    """
    pairs = [rate_and_quality(point, metric) or (math.nan, math.nan) for point in points]
    kept = efficient([rate for rate, _ in pairs], [quality for _, quality in pairs], convex)
    return tuple(points[i] for i in kept)


def _finite(*values: float) -> bool:
    return all(math.isfinite(value) for value in values)


def _below(rates: Sequence[float], quality: Sequence[float], a: int, b: int, c: int) -> bool:
    """Whether point b lies on or under the line from a to c."""
    rise = (quality[b] - quality[a]) * (rates[c] - rates[a])
    return rise <= (quality[c] - quality[a]) * (rates[b] - rates[a])
