"""Bits needed for the same quality: at round qualities, and at those a codec happens to have."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tngexp.metrics.comparison import bits_at_equal_quality, curve_rate_at, rate_and_quality
from tngexp.metrics.curves import Curve, RDPoint, to_db
from tngexp.report.cells import METRICS, Metric, label_cell, number, quality_name, refused
from tngexp.report.table import Cell, Column, Table

__all__ = ["equal_quality_table", "own_points_table"]


def equal_quality_table(
    curves: Sequence[Curve], yardsticks: Sequence[Curve], metric: Metric
) -> Table:
    """Bits per pixel of each curve at ``metric.targets``, and as % of each yardstick's."""

    def rows() -> Iterator[tuple[Cell, ...]]:
        for target in metric.targets:
            decibels = target if metric.key == "psnr" else to_db(target)
            for curve in curves:
                reading = curve_rate_at(curve, metric.attribute, decibels)
                shares = [
                    bits_at_equal_quality(curve, yardstick, metric.attribute, [decibels])[0]
                    for yardstick in yardsticks
                ]
                yield (
                    Cell(quality_name(metric, target), target),
                    label_cell(curve),
                    number(reading.value, 3, missing=reading.reason),
                    *(_percent(share.share, share.reason) for share in shares),
                )

    return Table(
        key=f"equal-{metric.key}",
        title=f"Bits needed at equal {metric.name}",
        columns=(
            Column(metric.name),
            Column("Codec", numeric=False),
            Column("bpp"),
            *(Column(f"% of {yardstick.label}") for yardstick in yardsticks),
        ),
        rows=tuple(rows()),
        caption="Read off between measured points, on means over images; never beyond the last.",
    )


def own_points_table(curves: Sequence[Curve], yardsticks: Sequence[Curve]) -> Table:
    """Each codec point's bits as % of what the yardsticks need for the point's own quality.

    One point is enough, so a codec of a single λ can be compared, too.
    """
    return Table(
        key="own-points",
        title="Bits at the codecs' own qualities",
        columns=(
            Column("Codec", numeric=False),
            Column("Setting", numeric=False),
            Column("bpp"),
            Column("PSNR (dB)"),
            Column("MS-SSIM"),
            *(
                Column(f"% of {yardstick.label}, {metric.name}")
                for yardstick in yardsticks
                for metric in METRICS
            ),
        ),
        rows=tuple(
            (
                label_cell(curve),
                Cell(point.setting, point.setting),
                number(point.bpp, 3),
                number(point.psnr_db, 2, missing="perfect"),
                number(point.ms_ssim, 4, missing="images too small"),
                *(
                    _own_cell(point, yardstick, metric)
                    for yardstick in yardsticks
                    for metric in METRICS
                ),
            )
            for curve in curves
            for point in curve.points
        ),
        caption="The codec's bits as % of what the other codec needs for the same mean PSNR or "
        "MS-SSIM; 50 is half the bits.",
    )


def _own_cell(point: RDPoint, yardstick: Curve, metric: Metric) -> Cell:
    own = rate_and_quality(point, metric.attribute)
    if own is None:
        return refused(f"no {metric.name} here")
    needed = curve_rate_at(yardstick, metric.attribute, own[1])
    if needed.value is None:
        return refused(f"{yardstick.label}: {needed.reason}")
    return _percent(own[0] / needed.value)


def _percent(share: float | None, missing: str = "") -> Cell:
    return number(None if share is None else 100 * share, 0, missing=missing)
