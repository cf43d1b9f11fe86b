"""What was measured: every point of every curve, and what the codecs cost to run."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from tngexp.metrics.curves import Curve, RDPoint
from tngexp.report.cells import label_cell, mean_sd, not_applicable, number
from tngexp.report.table import Cell, Column, Table

__all__ = ["complexity_table", "points_table"]


def points_table(curves: Sequence[Curve]) -> Table:
    """Every curve and setting: means over images, and standard deviations."""
    return Table(
        key="points",
        title="Measured points",
        columns=(
            Column("Codec", numeric=False),
            Column("Setting", numeric=False),
            Column("images"),
            Column("bpp"),
            Column("PSNR (dB)"),
            Column("MS-SSIM"),
            Column("in dB", note="−10·log10(1 − mean MS-SSIM)"),
            Column("encode s"),
            Column("decode s"),
        ),
        rows=tuple(_point_row(curve, point) for curve in curves for point in curve.points),
        caption="Means over images ± standard deviation; bpp counts whole files; PSNR and MS-SSIM "
        "on 8-bit RGB, each image on its own.",
    )


def complexity_table(curves: Sequence[Curve]) -> Table:
    """Size, arithmetic and time of each codec, and where its figures come from."""
    return Table(
        key="complexity",
        title="Complexity and speed",
        columns=(
            Column("Codec", numeric=False),
            Column("parameters"),
            Column("encoder kMAC/pixel"),
            Column("decoder kMAC/pixel"),
            Column("encode s", note="mean over all settings and images"),
            Column("decode s", note="mean over all settings and images"),
            Column("Source", numeric=False),
        ),
        rows=tuple(_complexity_row(curve) for curve in curves),
    )


def _point_row(curve: Curve, point: RDPoint) -> tuple[Cell, ...]:
    images = point.images
    return (
        label_cell(curve),
        Cell(point.setting, point.setting),
        Cell(str(len(images)), len(images)) if images else Cell("–", None, "quoted means"),
        mean_sd(point.bpp, _sd([i.bpp for i in images]), 3),
        mean_sd(point.psnr_db, _sd([i.psnr_db for i in images]), 2, _few(point, "psnr_db", "PSNR")),
        number(point.ms_ssim, 4, _few(point, "ms_ssim", "MS-SSIM")),
        number(point.ms_ssim_db, 2),
        _seconds(point.encode_s),
        _seconds(point.decode_s),
    )


def _few(point: RDPoint, attribute: str, name: str) -> str:
    """A note where not all images have a figure."""
    if not point.images:
        return ""
    count = sum(getattr(image, attribute) is not None for image in point.images)
    return "" if count == len(point.images) else f"{count} of {len(point.images)} have {name}"


def _complexity_row(curve: Curve) -> tuple[Cell, ...]:
    images = [image for point in curve.points for image in point.images]
    return (
        label_cell(curve),
        _detail(curve, "parameters", 1e-6, 2, " M"),
        _detail(curve, "encoder_kmac", 1.0, 1),
        _detail(curve, "decoder_kmac", 1.0, 1),
        _seconds(_mean([image.encode_s for image in images])),
        _seconds(_mean([image.decode_s for image in images])),
        Cell(curve.source, curve.source),
    )


def _detail(curve: Curve, name: str, scale: float, digits: int, unit: str = "") -> Cell:
    value = curve.details.get(name)
    if value is None:
        return not_applicable()
    return Cell(f"{value * scale:.{digits}f}{unit}", float(value))


def _seconds(value: float | None) -> Cell:
    return not_applicable() if value is None else number(value, 3)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None


def _sd(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.stdev(known) if len(known) > 1 else None
