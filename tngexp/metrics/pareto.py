"""Which points of a codec are worth using: the Pareto front and its convex hull."""

from __future__ import annotations

import math
from collections.abc import Sequence

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
    """The :func:`efficient` ones of ``points`` by rate and ``metric``, an attribute of theirs."""
    quality = [getattr(point, metric) for point in points]
    rates = [point.bpp for point in points]
    kept = efficient(rates, [math.nan if q is None else q for q in quality], convex)
    return tuple(points[i] for i in kept)


def _finite(*values: float) -> bool:
    return all(math.isfinite(value) for value in values)


def _below(rates: Sequence[float], quality: Sequence[float], a: int, b: int, c: int) -> bool:
    """Whether point b lies on or under the line from a to c."""
    rise = (quality[b] - quality[a]) * (rates[c] - rates[a])
    return rise <= (quality[c] - quality[a]) * (rates[b] - rates[a])
