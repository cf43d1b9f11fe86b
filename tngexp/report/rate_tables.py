"""Bits that one codec needs against another: BD-rates, and rates at equal quality.

BD-rates are against one reference, with the ranges they hold for, and of every codec against each.
Rates at equal quality are read at round qualities and at those that a codec happens to have.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from tngexp.metrics.bd import BDRate
from tngexp.metrics.comparison import (
    LOW_RATE,
    PerImage,
    bits_at_equal_quality,
    curve_bd_rate,
    curve_rate_at,
    per_image_bd_rate,
    rate_and_quality,
)
from tngexp.metrics.curves import Curve, RDPoint, to_db
from tngexp.report.table import (
    Cell,
    Column,
    Table,
    label_cell,
    not_applicable,
    number,
    range_cell,
    refused,
    signed,
)

__all__ = [
    "METRICS",
    "Metric",
    "anchors",
    "bd_matrix",
    "bd_table",
    "equal_quality_table",
    "few",
    "own_points_table",
]


class Metric(NamedTuple):
    """A quality that curves are compared in."""

    attribute: str  # of RDPoint and ImagePoint, in dB
    key: str  # for table keys
    name: str  # for people
    targets: tuple[float, ...]  # qualities to read rates at, as people name them


METRICS = (
    Metric("psnr_db", "psnr", "PSNR", (28.0, 30.0, 32.0, 34.0)),
    Metric("ms_ssim_db", "ms-ssim", "MS-SSIM", (0.92, 0.94, 0.96, 0.98)),
)

_JPEG = r"(quoted-)?jpe?g(?!-?(2000|xl|ls))"  # not its namesakes
_BPG = r"(quoted-)?bpg"
_LOW = f"{LOW_RATE[0]:g}–{LOW_RATE[1]:g} bpp"
_SLACK = 0.02  # a window filled up to 2 % of its rates counts as filled


def anchors(curves: Sequence[Curve], reference: Curve | None) -> list[Curve]:
    """Curves that others' bits are expressed in: the reference, BPG and JPEG where there are any.

    Measured ones come before quoted ones.
    """
    real = sorted((c for c in curves if c.kind != "codec"), key=lambda c: c.kind == "published")
    found = [next((c for c in real if re.match(p, c.key)), None) for p in (_BPG, _JPEG)]
    unique = {c.key: c for c in (reference, *found) if c is not None}
    return list(unique.values())


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
        rows=tuple(_bd_row(curve, reference, metric) for curve in others),
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


def equal_quality_table(curves: Sequence[Curve], anchors: Sequence[Curve], metric: Metric) -> Table:
    """Bits per pixel of each curve at ``metric.targets``, and as % of each anchor's."""

    def rows() -> Iterator[tuple[Cell, ...]]:
        for target in metric.targets:
            decibels = target if metric.key == "psnr" else to_db(target)
            for curve in curves:
                reading = curve_rate_at(curve, metric.attribute, decibels)
                shares = [
                    bits_at_equal_quality(curve, anchor, metric.attribute, [decibels])[0]
                    for anchor in anchors
                ]
                yield (
                    Cell(_quality_name(metric, target), target),
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
            *(Column(f"% of {anchor.label}") for anchor in anchors),
        ),
        rows=tuple(rows()),
        caption="Read off between measured points, on means over images; never beyond the last.",
    )


def own_points_table(curves: Sequence[Curve], anchors: Sequence[Curve]) -> Table:
    """Each codec point's bits as % of what the anchors need for the point's own quality.

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
                Column(f"% of {anchor.label}, {metric.name}")
                for anchor in anchors
                for metric in METRICS
            ),
        ),
        rows=tuple(
            (
                label_cell(curve),
                Cell(point.setting, point.setting),
                number(point.bpp, 3),
                number(point.psnr_db, 2, few(point, "psnr_db", "PSNR"), "perfect"),
                number(point.ms_ssim, 4, few(point, "ms_ssim", "MS-SSIM"), "images too small"),
                *(_own_cell(point, anchor, metric) for anchor in anchors for metric in METRICS),
            )
            for curve in curves
            for point in curve.points
        ),
        caption="The codec's bits as % of what the other codec needs for the same mean PSNR or "
        "MS-SSIM; 50 is half the bits.",
    )


def few(point: RDPoint, attribute: str, name: str) -> str:
    """A note where not all images have a figure."""
    if not point.images:
        return ""
    count = sum(getattr(image, attribute) is not None for image in point.images)
    return "" if count == len(point.images) else f"{count} of {len(point.images)} have {name}"


def _bd_row(curve: Curve, reference: Curve, metric: Metric) -> tuple[Cell, ...]:
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


def _quality_name(metric: Metric, target: float) -> str:
    """A target as people name it: "30 dB", "0.96"."""
    return f"{target:g} dB" if metric.key == "psnr" else f"{target:g}"


def _own_cell(point: RDPoint, anchor: Curve, metric: Metric) -> Cell:
    own = rate_and_quality(point, metric.attribute)
    if own is None:
        return refused(f"no {metric.name} here")
    needed = curve_rate_at(anchor, metric.attribute, own[1])
    if needed.value is None:
        return refused(f"{anchor.label}: {needed.reason}")
    return _percent(own[0] / needed.value)


def _percent(share: float | None, missing: str = "") -> Cell:
    return number(None if share is None else 100 * share, 0, missing=missing)
