"""Two curves against each other: on means over images, image by image, at given qualities."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import NamedTuple

from tngexp.metrics.bd import BDRate, Reading, bd_rate, rate_at
from tngexp.metrics.curves import QUALITY_METRICS, Curve, ImagePoint, RDPoint

__all__ = [
    "LOW_RATE",
    "EqualQuality",
    "PerImage",
    "bits_at_equal_quality",
    "curve_bd_rate",
    "curve_rate_at",
    "per_image_bd_rate",
    "rate_and_quality",
    "series",
]

LOW_RATE = (0.1, 0.5)
"""Bits per pixel of the reference that count as low rate."""


class PerImage(NamedTuple):
    """BD-rates of each image's own pair of curves."""

    mean: float | None  # %, None without an image that could be compared
    sd: float | None  # standard deviation of the sample, None with fewer than two
    compared: int  # images
    refused: Mapping[str, str]  # image → why it was not


class EqualQuality(NamedTuple):
    """What a codec and a reference spend for one quality."""

    target: float  # quality, dB
    bpp: float | None  # of the codec
    reference_bpp: float | None
    share: float | None  # the codec's bits as a share of the reference's
    reason: str = ""  # why a figure is missing


def rate_and_quality(point: RDPoint, metric: str) -> tuple[float, float] | None:
    """Mean bits per pixel and mean quality of a point, over the same images; None without one.

    Images too small for MS-SSIM count for neither. A point where an image came back perfect has no
    finite mean PSNR, and leaving the image out would compare different images along the curve: then
    there is no quality.

    Args:
        point: of any curve.
        metric: one of :data:`QUALITY_METRICS`.
    """
    if metric == "psnr_db" and any(image.psnr_db is None for image in point.images):
        return None
    if metric == "ms_ssim_db" and point.images:
        point = replace(point, images=tuple(i for i in point.images if i.ms_ssim is not None))
        if not point.images:
            return None
    quality: float | None = getattr(point, _known(metric))
    return None if quality is None else (point.bpp, quality)


def series(curve: Curve, metric: str) -> tuple[list[float], list[float]]:
    """Rates (bpp) and qualities (dB) of a curve's points that have one, by rising rate."""
    pairs = [pair for point in curve.points if (pair := rate_and_quality(point, metric))]
    return [rate for rate, _ in pairs], [quality for _, quality in pairs]


def curve_bd_rate(
    curve: Curve, reference: Curve, metric: str, window: tuple[float, float] | None = None
) -> BDRate:
    """:func:`~tngexp.metrics.bd.bd_rate` of ``curve`` against ``reference`` on means over images.

    Args:
        curve: the codec in question.
        reference: what it is compared with.
        metric: one of :data:`QUALITY_METRICS`.
        window: rates of the reference to keep to, bits per pixel.
    """
    return bd_rate(*series(reference, metric), *series(curve, metric), window)


def per_image_bd_rate(curve: Curve, reference: Curve, metric: str) -> PerImage:
    """The same for each image that both curves have, and how far the images agree."""
    tests, references = _by_image(curve), _by_image(reference)
    values: list[float] = []
    refused: dict[str, str] = {}
    for name in sorted(tests.keys() & references.keys()):
        pairs = [_image_series(images[name], metric) for images in (references, tests)]
        value, reason, _ = bd_rate(*pairs[0], *pairs[1])
        if value is None:
            refused[name] = reason
        else:
            values.append(value)
    return PerImage(
        statistics.fmean(values) if values else None,
        statistics.stdev(values) if len(values) > 1 else None,
        len(values),
        refused,
    )


def curve_rate_at(curve: Curve, metric: str, target: float) -> Reading:
    """Bits per pixel that a curve needs for a mean quality of ``target`` dB."""
    return rate_at(*series(curve, metric), target)


def bits_at_equal_quality(
    curve: Curve, reference: Curve, metric: str, targets: Iterable[float]
) -> list[EqualQuality]:
    """What ``curve`` and ``reference`` need for each of the qualities ``targets``, in dB."""
    results = []
    for target in targets:
        needed = curve_rate_at(curve, metric, target)
        baseline = curve_rate_at(reference, metric, target)
        share = (
            None
            if needed.value is None or baseline.value is None
            else needed.value / baseline.value
        )
        reason = needed.reason or (baseline.reason and f"{reference.label}: {baseline.reason}")
        results.append(EqualQuality(target, needed.value, baseline.value, share, reason))
    return results


def _by_image(curve: Curve) -> dict[str, list[ImagePoint]]:
    images: dict[str, list[ImagePoint]] = {}
    for point in curve.points:
        for image in point.images:
            images.setdefault(image.image, []).append(image)
    return images


def _image_series(points: Iterable[ImagePoint], metric: str) -> tuple[list[float], list[float]]:
    kept = [(p.bpp, q) for p in points if (q := getattr(p, _known(metric))) is not None]
    return [rate for rate, _ in kept], [quality for _, quality in kept]


def _known(metric: str) -> str:
    if metric not in QUALITY_METRICS:
        raise ValueError(f"curves are compared in {', '.join(QUALITY_METRICS)}, not in {metric}")
    return metric
