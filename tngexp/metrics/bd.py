"""Differences in rate at equal quality, on plain arrays: Bjøntegaard's mean, and single readings.

Logarithmic rate is interpolated over quality between measured points, and never beyond them. What
cannot be answered honestly is refused with a reason instead of a number.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["MIN_OVERLAP", "MIN_POINTS", "BDRate", "Overlap", "Reading", "bd_rate", "rate_at"]

MIN_POINTS = 4
"""Points a curve needs for a BD-rate (Bjøntegaard 2001, VCEG-M33)."""

MIN_OVERLAP = 0.3
"""Share of the qualities in question that both curves must reach for a BD-rate."""

_Array = NDArray[np.float64]


class Overlap(NamedTuple):
    """The qualities that two curves were compared at."""

    low: float  # quality
    high: float
    low_bpp: float  # of the reference, at the quality ``low``
    high_bpp: float
    share: float  # of the shorter curve's range of qualities, or of the window's; 0..1


class BDRate(NamedTuple):
    """A BD-rate, or why there is none."""

    value: float | None  # %, negative where the test needs fewer bits; None: refused
    reason: str = ""  # of a refusal
    overlap: Overlap | None = None  # None where it could not be determined


class Reading(NamedTuple):
    """A value read off a curve, or why there is none."""

    value: float | None
    reason: str = ""


def bd_rate(
    rates_anchor: Sequence[float] | _Array,
    quality_anchor: Sequence[float] | _Array,
    rates_test: Sequence[float] | _Array,
    quality_test: Sequence[float] | _Array,
    window: tuple[float, float] | None = None,
) -> BDRate:
    """Mean difference in rate at equal quality, in % (Bjøntegaard 2001, VCEG-M33).

    Computed by the ``bjontegaard`` package with Akima interpolation (Herglotz et al. 2022), over
    the qualities that both curves reach. How many of them there are is told as a share of the
    *shorter* curve's range: a curve that lies within the other's range is compared over all it
    has, however much further the other was measured. The share is the same with the roles swapped.

    A ``window`` cuts the comparison to the qualities that the reference has at those rates. The
    curves are interpolated as a whole and only integrated over less, so that no points need to lie
    inside; the share is then that of the window, as far as the reference fills it.

    Args:
        rates_anchor: bits per pixel of the reference, in any order.
        quality_anchor: its quality in dB, higher is better.
        rates_test: like ``rates_anchor``, of the codec in question.
        quality_test: like ``quality_anchor``.
        window: lowest and highest rate of the reference, bits per pixel.

    Returns:
        A value, or None and the reason: fewer than :data:`MIN_POINTS` points, values that are not
        finite, equal rates, quality that does not rise with the rate, or an overlap under
        :data:`MIN_OVERLAP`.
    """
    anchor_rates, anchor_quality = _by_rate(rates_anchor, quality_anchor)
    test_rates, test_quality = _by_rate(rates_test, quality_test)
    for name, rates, quality in (
        ("the reference", anchor_rates, anchor_quality),
        ("the curve", test_rates, test_quality),
    ):
        if flaw := _flaw(rates, quality, MIN_POINTS):
            return BDRate(None, f"{name} {flaw}")

    if min(anchor_quality[-1], test_quality[-1]) <= max(anchor_quality[0], test_quality[0]):
        return BDRate(
            None, f"no quality in common: {_span(anchor_quality)} and {_span(test_quality)}"
        )
    import bjontegaard  # type: ignore[import-untyped]  # a second, for matplotlib

    _, anchor, test = bjontegaard.bd_rate(
        anchor_rates,
        anchor_quality,
        test_rates,
        test_quality,
        method="akima",
        require_matching_points=False,
        interpolators=True,
        min_overlap=0,  # judged here
    )
    wanted = float(min(np.ptp(anchor_quality), np.ptp(test_quality)))
    bottom, top = float(anchor_quality[0]), float(anchor_quality[-1])
    if window is not None:
        if window[1] <= anchor_rates[0] or window[0] >= anchor_rates[-1]:
            return BDRate(None, f"the reference has no rates in {window[0]:g}–{window[1]:g} bpp")
        bottom, top = _qualities(anchor, anchor_rates, anchor_quality, window)
        wanted = top - bottom
    low, high = max(bottom, float(test_quality[0])), min(top, float(test_quality[-1]))
    share = max(high - low, 0.0) / wanted
    if share < MIN_OVERLAP:
        what = "the shorter curve's qualities" if window is None else "the window's qualities"
        return BDRate(
            None, f"both curves reach only {share:.0%} of {what}, under {MIN_OVERLAP:.0%}"
        )
    log_ratio = (test.integrate(low, high) - anchor.integrate(low, high)) / (high - low)
    low_bpp, high_bpp = (float(10 ** anchor(quality)) for quality in (low, high))
    value = 100 * (10 ** float(log_ratio) - 1)
    return BDRate(value, overlap=Overlap(low, high, low_bpp, high_bpp, share))


def rate_at(
    rates: Sequence[float] | _Array, quality: Sequence[float] | _Array, target: float
) -> Reading:
    """The rate (bpp) that a curve needs for a quality (dB); None outside of its range.

    Monotone piecewise cubic interpolation (PCHIP) of log-rate: between two points the reading
    stays between their rates, which Akima's does not promise. Two points are enough.
    """
    rates, quality = _by_rate(rates, quality)
    if flaw := _flaw(rates, quality, 2):
        return Reading(None, f"the curve {flaw}")
    if not quality[0] <= target <= quality[-1]:
        return Reading(None, f"outside of the curve's {_span(quality)}")
    from scipy.interpolate import PchipInterpolator  # type: ignore[import-untyped]  # slow

    return Reading(float(10 ** PchipInterpolator(quality, np.log10(rates))(target)))


def _by_rate(
    rates: Sequence[float] | _Array, quality: Sequence[float] | _Array
) -> tuple[_Array, _Array]:
    x, y = np.asarray(rates, dtype=np.float64), np.asarray(quality, dtype=np.float64)
    if x.shape != y.shape or x.ndim != 1:
        raise ValueError(f"one quality for each rate, not {y.shape} for {x.shape}")
    order = np.argsort(x)
    return x[order], y[order]


def _flaw(rates: _Array, quality: _Array, needed: int) -> str:
    """What keeps a curve, by rising rate, from being interpolated; empty if nothing does."""
    if len(rates) < needed:
        return f"has {len(rates)} point{'s' * (len(rates) != 1)} of the {needed} needed"
    if not (np.isfinite(rates).all() and np.isfinite(quality).all()):
        return "has values that are not finite"
    if rates[0] <= 0:
        return f"has a rate of {rates[0]:g}"
    for i, (rate_step, gain) in enumerate(zip(np.diff(rates), np.diff(quality), strict=True)):
        if rate_step == 0:
            return f"has two points at {rates[i]:.4g} bpp"
        if gain <= 0:
            return (
                f"is not monotone: {quality[i]:.4g} dB at {rates[i]:.4g} bpp, "
                f"{quality[i + 1]:.4g} dB at {rates[i + 1]:.4g} bpp"
            )
    return ""


def _qualities(
    curve: Any, rates: _Array, quality: _Array, window: tuple[float, float]
) -> tuple[float, float]:
    """Where an interpolated curve crosses two rates; its ends where it does not reach them."""
    low, high = (curve.solve(math.log10(rate), extrapolate=False) for rate in window)
    bottom = quality[0] if window[0] <= rates[0] else low.min()
    top = quality[-1] if window[1] >= rates[-1] else high.max()
    return float(bottom), float(top)


def _span(quality: _Array) -> str:
    return f"{quality[0]:.4g}–{quality[-1]:.4g} dB"
