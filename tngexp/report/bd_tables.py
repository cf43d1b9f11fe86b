"""BD-rates against one reference with the ranges they hold for, and of every codec against each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tngexp.metrics.bd import BDRate
from tngexp.metrics.comparison import LOW_RATE, PerImage, curve_bd_rate, per_image_bd_rate
from tngexp.metrics.curves import Curve
from tngexp.report.cells import (
    Metric,
    label_cell,
    not_applicable,
    range_cell,
    refused,
    signed,
)
from tngexp.report.table import Cell, Column, Table

__all__ = ["bd_matrix", "bd_table"]

_LOW = f"{LOW_RATE[0]:g}–{LOW_RATE[1]:g} bpp"
_SLACK = 0.02  # a window filled up to 2 % of its rates counts as filled


def bd_table(curves: Sequence[Curve], reference: Curve, metric: Metric) -> Table:
    """BD-rates of all other curves against ``reference``, one row each."""
    others = [curve for curve in curves if curve.key != reference.key]
    return Table(
        key=f"bd-rate-{metric.key}",
        title=f"BD-rate against {reference.label}, {metric.name}",
        columns=(
            Column("Codec", numeric=False),
            Column("BD-rate (%)"),
            Column("compared at (dB)", note="the qualities that both curves reach"),
            Column("reference bpp", note="what the reference spends at these qualities"),
            Column("overlap", note="share of the shorter curve's qualities that both reach"),
            Column(f"{_LOW} (%)", note=f"at qualities the reference has at {_LOW} only"),
            Column("per image (%)", note="mean ± standard deviation of each image's BD-rate"),
        ),
        rows=tuple(_row(curve, reference, metric) for curve in others),
        caption=f"Mean difference in bits at equal {metric.name} in dB (Bjøntegaard; Akima "
        "interpolation) on curves averaged over images; negative saves bits.",
    )


def bd_matrix(curves: Sequence[Curve], metric: Metric) -> Table:
    """BD-rate of each curve, a row, against each as the reference, a column."""

    def cell(curve: Curve, reference: Curve) -> Cell:
        if curve.key == reference.key:
            return not_applicable()
        return _bd_cell(curve_bd_rate(curve, reference, metric.attribute))

    return Table(
        key=f"bd-matrix-{metric.key}",
        title=f"BD-rate of each codec against each other, {metric.name}",
        columns=(
            Column("Codec, % against", numeric=False),
            *(Column(reference.label) for reference in curves),
        ),
        rows=tuple(
            (label_cell(curve), *(cell(curve, reference) for reference in curves))
            for curve in curves
        ),
        caption="Each pair is compared over its own range of qualities; negative where the row's "
        "codec needs fewer bits than the column's.",
    )


def _row(curve: Curve, reference: Curve, metric: Metric) -> tuple[Cell, ...]:
    full = curve_bd_rate(curve, reference, metric.attribute)
    low_rate = curve_bd_rate(curve, reference, metric.attribute, LOW_RATE)
    images = per_image_bd_rate(curve, reference, metric.attribute)
    ranges = (not_applicable(),) * 3
    if full.overlap is not None:
        low, high, low_bpp, high_bpp, share = full.overlap
        ranges = (
            range_cell(low, high, 1),
            range_cell(low_bpp, high_bpp, 2),
            Cell(f"{share:.0%}", share),
        )
    return (label_cell(curve), _bd_cell(full), *ranges, _low_cell(low_rate), _image_cell(images))


def _bd_cell(result: BDRate) -> Cell:
    return signed(result.value, result.reason)


def _low_cell(result: BDRate) -> Cell:
    if result.overlap is None:
        return _bd_cell(result)
    low, high = result.overlap.low_bpp, result.overlap.high_bpp
    filled = low < LOW_RATE[0] * (1 + _SLACK) and high > LOW_RATE[1] * (1 - _SLACK)
    return signed(result.value, "" if filled else f"only {low:.2f}–{high:.2f} bpp overlap")


def _image_cell(result: PerImage) -> Cell:
    total = result.compared + len(result.refused)
    if total == 0:
        return refused("quoted means, no images")
    note = ""
    if result.refused:
        name, reason = next(iter(result.refused.items()))
        note = f"{result.compared} of {total} images; {name}: {reason}"
    mean = signed(result.mean, note)
    return mean if result.sd is None else replace(mean, text=f"{mean.text} ± {result.sd:.1f}")
