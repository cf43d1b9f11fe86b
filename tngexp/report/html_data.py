"""Curves as the data of the report: what its charts draw and its download buttons save."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tngexp.metrics.comparison import rate_and_quality
from tngexp.metrics.curves import QUALITY_METRICS, Curve, ImagePoint, RDPoint
from tngexp.report.plots_style import curve_label

__all__ = ["curves_data"]

_COLUMNS = (
    "image",
    "width",
    "height",
    "bytes",
    "bpp",
    "psnr_db",
    "ms_ssim",
    "ms_ssim_db",
    "encode_s",
    "decode_s",
)


def curves_data(title: str, subtitle: str, curves: Sequence[Curve]) -> dict[str, Any]:
    """Everything the curves know; images as rows under one heading, to be compact."""
    points = [point for curve in curves for point in curve.points]
    # In the order they came, without repeats.
    further = list(dict.fromkeys(m for p in points for image in p.images for m in image.metrics))
    return {
        "title": title,
        "subtitle": subtitle,
        "metrics": QUALITY_METRICS,
        "image_columns": [*_COLUMNS, *further],
        "curves": [_curve(curve, further) for curve in curves],
    }


def _curve(curve: Curve, further: Sequence[str]) -> dict[str, Any]:
    return {
        "key": curve.key,
        "label": curve_label(curve),
        "kind": curve.kind,
        "source": curve.source,
        "details": curve.details,
        "points": [_point(point, further) for point in curve.points],
    }


def _point(point: RDPoint, further: Sequence[str]) -> dict[str, Any]:
    return {
        "setting": point.setting,
        "bpp": point.bpp,
        "psnr_db": point.psnr_db,
        "ms_ssim": point.ms_ssim,
        # Where the charts put it: rate and quality over the images that have the metric.
        "drawn": {metric: rate_and_quality(point, metric) for metric in QUALITY_METRICS},
        "images": [_image(image, further) for image in point.images],
    }


def _image(image: ImagePoint, further: Sequence[str]) -> list[Any]:
    return [
        *(getattr(image, name) for name in _COLUMNS),
        *(image.metrics.get(name) for name in further),
    ]
