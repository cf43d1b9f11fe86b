"""Curves: what a mean is over, and two curves against each other."""

from __future__ import annotations

import math
import statistics
from dataclasses import replace

import pytest

from tngexp.metrics.comparison import (
    bits_at_equal_quality,
    curve_bd_rate,
    per_image_bd_rate,
    rate_and_quality,
    series,
)
from tngexp.metrics.curves import Curve, ImagePoint, RDPoint, to_db
from tngexp.metrics.pareto import pareto

RATES = [0.1, 0.2, 0.4, 0.8, 1.6]


def image(name="a", bpp=0.2, psnr_db=30.0, ms_ssim=0.95) -> ImagePoint:
    return ImagePoint(name, 256, 192, round(bpp * 6144), bpp, psnr_db, ms_ssim, 0.5, 0.25)


def curve(key="c", factors=(1.0, 1.0), rates=RATES) -> Curve:
    """Two images, the second 3 dB harder; ``factors`` scale the rate of each."""
    return Curve(
        key,
        key.upper(),
        "codec",
        tuple(
            RDPoint(
                f"q{i}",
                tuple(
                    image(name, rate * factor, 26 + 3 * i - harder, 1 - 10 ** -(0.8 + 0.3 * i))
                    for name, factor, harder in zip("ab", factors, (0, 3), strict=True)
                ),
            )
            for i, rate in enumerate(rates)
        ),
        "made up",
    )


def test_ms_ssim_is_averaged_before_it_turns_into_decibels() -> None:
    point = RDPoint("q", (image("a", ms_ssim=0.9), image("b", ms_ssim=0.99)))
    assert point.ms_ssim_db == pytest.approx(to_db(0.945))
    assert to_db(0.99) == pytest.approx(20)
    assert math.isinf(to_db(1.0))
    assert (image(ms_ssim=1.0).ms_ssim_db, image(ms_ssim=None).ms_ssim_db) == (None, None)


def test_quoted_points_have_means_alone() -> None:
    point = RDPoint("q", quoted_bpp=0.3, quoted_psnr_db=31.0)
    assert (point.bpp, point.psnr_db, point.ms_ssim, point.encode_s) == (0.3, 31.0, None, None)
    assert rate_and_quality(point, "psnr_db") == (0.3, 31.0)
    assert rate_and_quality(point, "ms_ssim_db") is None
    assert math.isnan(RDPoint("q").bpp)


def test_curves_are_sorted_by_rate() -> None:
    points = [RDPoint(str(bpp), (image(bpp=bpp),)) for bpp in (0.4, 0.1, 0.2)]
    assert [point.bpp for point in Curve.sorted(points)] == [0.1, 0.2, 0.4]


def test_rate_and_ms_ssim_are_means_over_the_same_images() -> None:
    """A small image has no MS-SSIM; its bits must not count against the others' quality."""
    point = RDPoint("q", (image("a", bpp=0.2), image("small", bpp=2.0, ms_ssim=None)))
    assert rate_and_quality(point, "ms_ssim_db") == (0.2, pytest.approx(to_db(0.95)))
    assert rate_and_quality(point, "psnr_db") == (1.1, 30.0)
    assert rate_and_quality(RDPoint("q", (image(ms_ssim=None),)), "ms_ssim_db") is None


def test_a_perfect_image_has_no_finite_mean_psnr() -> None:
    perfect = RDPoint("q", (image("a", psnr_db=None), image("b")))
    assert rate_and_quality(perfect, "psnr_db") is None
    full = curve()
    assert len(series(replace(full, points=(*full.points[:-1], perfect)), "psnr_db")[0]) == 4


def test_bd_rate_is_of_curves_averaged_over_images() -> None:
    half = curve("half", (0.5, 0.5))
    for metric in ("psnr_db", "ms_ssim_db"):
        assert curve_bd_rate(half, curve(), metric).value == pytest.approx(-50)
    # The second image has as many bits: (0.5 + 1.5) / 2 = 1.
    assert curve_bd_rate(curve("m", (0.5, 1.5)), curve(), "psnr_db").value == pytest.approx(0)
    with pytest.raises(ValueError, match="not in vmaf"):
        curve_bd_rate(half, half, "vmaf")


def test_per_image_bd_rate_is_of_each_images_own_curves() -> None:
    result = per_image_bd_rate(curve("m", (0.5, 1.5)), curve(), "psnr_db")
    assert result.mean == pytest.approx(0)
    assert result.sd == pytest.approx(statistics.stdev([-50, 50]))
    assert (result.compared, result.refused) == (2, {})


def test_per_image_refusals_are_counted_and_explained() -> None:
    broken = curve("m", (0.5, 0.5))
    points = list(broken.points)
    points[2] = replace(points[2], images=(points[2].images[0], image("b", 0.2, 20.0)))
    result = per_image_bd_rate(replace(broken, points=tuple(points)), curve(), "psnr_db")
    assert result.mean == pytest.approx(-50)
    assert result.sd is None
    assert result.compared == 1
    assert "not monotone" in result.refused["b"]
    quoted = Curve("q", "Q", "published", (RDPoint("p", quoted_bpp=1, quoted_psnr_db=30),), "")
    assert per_image_bd_rate(quoted, curve(), "psnr_db") == (None, None, 0, {})


def test_bits_at_equal_quality() -> None:
    half, full = curve("half", (0.5, 0.5)), curve("full")
    inside, below = bits_at_equal_quality(half, full, "psnr_db", [30.0, 10.0])
    assert inside.share == pytest.approx(0.5)
    assert inside.bpp == pytest.approx(inside.reference_bpp / 2)
    assert (below.bpp, below.reference_bpp, below.share) == (None, None, None)
    assert "outside of" in below.reason
    short = replace(full, points=full.points[:2])
    beyond = bits_at_equal_quality(half, short, "psnr_db", [30.0])[0]
    assert beyond.bpp is not None
    assert beyond.share is None
    assert beyond.reason.startswith("FULL: outside of")


def test_the_front_of_two_interleaved_curves() -> None:
    good, bad = curve("good"), curve("bad", (1.3, 1.3))
    mixed = Curve.sorted([*good.points, *bad.points])
    assert pareto(mixed) == good.points
    assert all(p in good.points for p in pareto(mixed, "ms_ssim_db", convex=True))


def test_the_front_is_of_the_images_that_have_the_quality() -> None:
    points = [
        RDPoint("a", (image("a", bpp=0.2, ms_ssim=0.9), image("b", bpp=2.0, ms_ssim=None))),
        RDPoint("b", (image("a", bpp=0.4, ms_ssim=0.95), image("b", bpp=1.0, ms_ssim=None))),
    ]
    assert pareto(points, "ms_ssim_db") == tuple(points)
    perfect = RDPoint("c", (image("a", psnr_db=None), image("b", psnr_db=40.0)))
    assert perfect not in pareto([*points, perfect])
