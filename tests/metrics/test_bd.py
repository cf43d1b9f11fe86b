"""BD-rate against bjontegaard's own figures, against an integral done here, and what is refused."""

from __future__ import annotations

import math
import subprocess
import sys

import bjontegaard
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import trapezoid
from scipy.interpolate import Akima1DInterpolator

from tngexp.metrics.bd import bd_rate, rate_at
from tngexp.metrics.curves import to_db
from tngexp.metrics.pareto import efficient

# Examples of bjontegaard 1.3.0 (README and example_usage.py): kbit/s and PSNR of libx265 presets.
EXAMPLES = {
    "README": (
        ([9487.76, 4593.60, 2486.44, 1358.24], [40.037, 38.615, 36.845, 34.851]),
        ([9787.80, 4469.00, 2451.52, 1356.24], [40.121, 38.651, 36.970, 34.987]),
    ),
    "high rates": (
        ([82472.76, 26875.24, 9487.76, 4593.6], [43.825, 41.404, 40.037, 38.615]),
        ([99896.96, 33952.04, 9787.8, 4469.0], [44.731, 41.875, 40.121, 38.651]),
    ),
    "more points": (
        (
            [82472.76, 26875.24, 9487.76, 4593.6, 3600, 2900],
            [43.825, 41.404, 40.037, 38.615, 36.5, 35.1],
        ),
        (
            [99896.96, 33952.04, 9787.8, 4469.0, 4040, 3300],
            [44.731, 41.875, 40.121, 38.651, 37, 36.5],
        ),
    ),
}

# Means over the 24 Kodak images, measured: bits per pixel, PSNR, MS-SSIM.
BPG_444 = np.array(  # libbpg 0.9.8, bpgenc -f 444 -m 9 -q 51, 49, 47, 45, 43, 41, 38, … 26
    [
        (0.03310, 24.4419, 0.811708),
        (0.04754, 25.2833, 0.840795),
        (0.06767, 26.1867, 0.868455),
        (0.09673, 27.1404, 0.893217),
        (0.13591, 28.1470, 0.914682),
        (0.18951, 29.2181, 0.933051),
        (0.30298, 30.9737, 0.955387),
        (0.46475, 32.8740, 0.970686),
        (0.68497, 34.8722, 0.980845),
        (0.96701, 36.8993, 0.987378),
        (1.32008, 38.9212, 0.991623),
    ]
)
WEBP = np.array(  # Pillow 13.0.0, method=6, quality 0, 5, 10, 20, 30, 45, 60, 75, 88
    [
        (0.10257, 25.6749, 0.858127),
        (0.21742, 28.1086, 0.924164),
        (0.27442, 28.9319, 0.938454),
        (0.37749, 30.1936, 0.954365),
        (0.47621, 31.2283, 0.963723),
        (0.62800, 32.6566, 0.972588),
        (0.76866, 33.7324, 0.978370),
        (0.93904, 34.8720, 0.982858),
        (1.70006, 38.6530, 0.991958),
    ]
)

RATES = [0.1, 0.2, 0.4, 0.8, 1.6]
PSNR = [26.0, 29.0, 31.5, 34.0, 37.0]


@st.composite
def curves(draw):
    """Rates and qualities that overlap well: what BD-rate is meant for."""
    size = draw(st.integers(4, 9))
    steps = st.lists(st.floats(0.2, 1), min_size=size, max_size=size)
    log_rates, quality = np.cumsum(draw(steps)), np.cumsum(draw(steps))
    quality = 30 + 8 * (quality - quality[0]) / (quality[-1] - quality[0])
    return np.exp(log_rates - 3), quality + draw(st.floats(-1, 1))


@pytest.mark.parametrize("name", EXAMPLES)
def test_it_is_bjontegaards(name) -> None:
    anchor, test = EXAMPLES[name]
    expected = bjontegaard.bd_rate(*anchor, *test, method="akima", min_overlap=0)
    assert bd_rate(*anchor, *test).value == pytest.approx(expected, abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(curves(), curves())
def test_it_is_the_mean_of_log_rates_between_akima_splines(anchor, test) -> None:
    result = bd_rate(*anchor, *test)
    q = np.linspace(max(anchor[1][0], test[1][0]), min(anchor[1][-1], test[1][-1]), 4001)
    log_rates = [
        Akima1DInterpolator(quality, np.log(rates))(q) for rates, quality in (anchor, test)
    ]
    mean = trapezoid(log_rates[1] - log_rates[0], q) / (q[-1] - q[0])
    assert result.value == pytest.approx(100 * math.expm1(mean), rel=1e-4, abs=1e-3)
    assert result.overlap.low == q[0]
    assert result.overlap.high == q[-1]


@settings(max_examples=40, deadline=None)
@given(curves(), curves())
def test_swapped_roles_give_reciprocal_ratios(one, other) -> None:
    there, back = bd_rate(*one, *other), bd_rate(*other, *one)
    assert (1 + there.value / 100) * (1 + back.value / 100) == pytest.approx(1)
    assert there.overlap.share == back.overlap.share


@settings(max_examples=40, deadline=None)
@given(curves(), st.floats(0.1, 10))
def test_a_scaled_rate_is_its_own_bd_rate(curve, factor) -> None:
    rates, quality = curve
    for window in (None, (rates[0] * 1.1, rates[-1] / 1.1)):
        result = bd_rate(rates, quality, factor * rates, quality, window)
        assert result.value == pytest.approx(100 * (factor - 1), abs=1e-6)
    assert bd_rate(rates, quality, rates / 2, quality).value == pytest.approx(-50)
    assert bd_rate(rates, quality, rates, quality).value == 0


def test_the_order_of_points_does_not_matter() -> None:
    other = [r * 1.1 for r in RATES]
    assert bd_rate(RATES, PSNR, other[::-1], PSNR[::-1]) == bd_rate(RATES, PSNR, other, PSNR)


def test_measured_codecs_on_kodak() -> None:
    def db(similarity):
        return [to_db(value) for value in similarity]

    psnr = bd_rate(BPG_444[:, 0], BPG_444[:, 1], WEBP[:, 0], WEBP[:, 1])
    ms_ssim = bd_rate(BPG_444[:, 0], db(BPG_444[:, 2]), WEBP[:, 0], db(WEBP[:, 2]))
    assert psnr.value == pytest.approx(47.65, abs=0.05)
    assert ms_ssim.value == pytest.approx(31.51, abs=0.05)
    assert psnr.overlap[:2] == pytest.approx((25.6749, 38.653), abs=1e-3)
    assert psnr.overlap[2:4] == pytest.approx((0.0563, 1.269), abs=1e-3)


def test_a_window_cuts_at_the_references_rates() -> None:
    """A codec that is better at low rates only has a lower figure there."""
    rates, quality = BPG_444[:, 0], BPG_444[:, 1]
    better_below = rates * np.where(rates < 0.4, 0.5, 1.0)
    low = bd_rate(rates, quality, better_below, quality, (0.05, 0.15))
    assert low.value == pytest.approx(-50, abs=0.01)  # Akima looks two points beyond
    assert low.overlap[2:4] == pytest.approx((0.05, 0.15))
    assert low.overlap.share == 1
    everywhere = bd_rate(rates, quality, better_below, quality)
    assert -50 < everywhere.value < 0
    # The reference has 0.136 to 0.19 bpp around this one: no points inside, and still a figure.
    between = bd_rate(rates, quality, 1.2 * rates, quality, (0.14, 0.18))
    assert between.value == pytest.approx(20)


def test_a_short_curve_within_a_long_one_is_compared_over_all_it_has() -> None:
    short = slice(4, 8)
    result = bd_rate(BPG_444[:, 0], BPG_444[:, 1], BPG_444[short, 0] * 1.5, BPG_444[short, 1])
    assert result.overlap.share == 1
    assert result.overlap.low == BPG_444[4, 1]
    assert result.value is not None


@pytest.mark.parametrize(
    ("rates", "quality", "reason"),
    [
        (RATES[:3], PSNR[:3], "the curve has 3 points of the 4 needed"),
        ([], [], "the curve has 0 points of the 4 needed"),
        ([0.2, 0.2, 0.4, 0.8], PSNR[:4], "two points at 0.2 bpp"),
        (RATES, [26, 29, 28.5, 34, 37], "not monotone: 29 dB at 0.2 bpp, 28.5 dB at 0.4 bpp"),
        (RATES, [26, 29, 29, 34, 37], "not monotone"),
        (RATES, [26, 29, math.nan, 34, 37], "not finite"),
        (RATES, [26, 29, 31, 34, math.inf], "not finite"),
        ([math.nan, *RATES[1:]], PSNR, "not finite"),
        ([0, *RATES[1:]], PSNR, "rate of 0"),
        (RATES, [q + 20 for q in PSNR], "no quality in common: 26–37 dB and 46–57 dB"),
        (RATES, [q + 11 for q in PSNR], "no quality in common"),
        (RATES, [q + 8 for q in PSNR], "only 27% of the shorter curve's qualities"),
    ],
)
def test_refusals_have_a_reason_and_no_number(rates, quality, reason) -> None:
    result = bd_rate(RATES, PSNR, rates, quality)
    assert result.value is None
    assert result.overlap is None
    assert reason in result.reason
    swapped = bd_rate(rates, quality, RATES, PSNR)
    assert swapped.value is None
    if result.reason.startswith("the curve"):
        assert swapped.reason == result.reason.replace("the curve", "the reference", 1)


def test_windows_that_cannot_be_filled_are_refused() -> None:
    assert "no rates in 2–3 bpp" in bd_rate(RATES, PSNR, RATES, PSNR, (2, 3)).reason
    high = bd_rate(RATES, PSNR, RATES, [q + 5 for q in PSNR], (0.1, 0.4))
    assert high.value is None
    assert "9% of the window's qualities" in high.reason


def test_unequal_lengths_are_a_programming_error() -> None:
    with pytest.raises(ValueError, match="one quality for each rate"):
        bd_rate(RATES, PSNR[:-1], RATES, PSNR)


@settings(max_examples=40, deadline=None)
@given(curves(), st.floats(0, 1), st.floats(0, 1))
def test_readings_are_monotone_and_between_their_neighbours(curve, a, b) -> None:
    rates, quality = curve
    low, high = (quality[0] + share * (quality[-1] - quality[0]) for share in sorted((a, b)))
    needed = [rate_at(rates, quality, min(target, quality[-1])).value for target in (low, high)]
    assert needed[0] <= needed[1] * (1 + 1e-12)
    index = int(np.searchsorted(quality, low).clip(1, len(quality) - 1))
    assert rates[index - 1] * (1 - 1e-9) <= needed[0] <= rates[index] * (1 + 1e-9)


def test_readings_at_points_are_the_points() -> None:
    assert [rate_at(RATES, PSNR, q).value for q in PSNR] == pytest.approx(RATES)
    assert rate_at([0.1, 0.4], [30, 32], 31).value == pytest.approx(0.2)  # log-linear


def test_readings_never_extrapolate() -> None:
    for target in (25.99, 37.01, math.nan):
        reading = rate_at(RATES, PSNR, target)
        assert reading.value is None
        assert "outside of the curve's 26–37 dB" in reading.reason
    assert "1 point of the 2" in rate_at([0.1], [30], 30).reason


def test_dominated_points_are_dropped() -> None:
    rates = [0.4, 0.1, 0.3, 0.2, 0.3, 0.5, 0.6, 0.7]
    quality = [32, 28, 31, 30, 30.5, 31.5, 33, math.nan]
    #          ✓   ✓   ✓   ✓   same rate  worse  ✓  unusable
    assert efficient(rates, quality) == [1, 3, 2, 0, 6]
    assert efficient([0.2, 0.2], [30, 30]) == [0]


def test_the_hull_has_falling_slopes_and_lies_above_all_points() -> None:
    rates = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8]
    quality = [28, 29, 31.5, 32, 32.8, 33, 34]
    hull = efficient(rates, quality, convex=True)
    assert hull == [0, 2, 4, 6]
    slopes = np.diff([quality[i] for i in hull]) / np.diff([rates[i] for i in hull])
    assert (np.diff(slopes) < 0).all()
    line = np.interp(rates, [rates[i] for i in hull], [quality[i] for i in hull])
    assert (line >= np.array(quality) - 1e-12).all()


def test_metrics_import_no_heavy_libraries() -> None:
    code = (
        "import sys, tngexp.metrics; "
        "print([m for m in ('bjontegaard', 'matplotlib', 'scipy', 'piq') if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
