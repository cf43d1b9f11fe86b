"""All tables of a comparison, and what must hold before there can be one."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

from tngexp.metrics.bd import rate_at
from tngexp.metrics.comparison import rate_and_quality, series
from tngexp.metrics.curves import Curve, RDPoint
from tngexp.metrics.pareto import pareto
from tngexp.report.rate_tables import (
    METRICS,
    Metric,
    anchors,
    bd_matrix,
    bd_table,
    equal_quality_table,
    few,
    own_points_table,
)
from tngexp.report.table import Cell, Column, Table, label_cell, mean_sd, not_applicable, number
from tngexp.types import MS_SSIM_MIN_SIDE, ConfigError, TngexpError

__all__ = ["check_same_images", "comparison_tables", "comparison_warnings"]


def comparison_tables(
    curves: Sequence[Curve], reference: str | None, hull: bool = False
) -> list[Table]:
    """What a comparison has to say in figures, most important first.

    BD-rates against the reference; bits needed at equal quality; bits at the codecs' own points;
    BD-rates of all pairs; all points; further metrics; complexity. A metric that no curve has gets
    no tables. The caption of the first table ends with :func:`comparison_warnings`.

    Args:
        curves: measured on the same images, see :func:`check_same_images`, or quoted.
        reference: key of the curve that BD-rates are against; None leaves these out.
        hull: compare the upper convex hulls of the curves, for codecs whose settings overlap.

    Raises:
        ConfigError: for a reference that is none of the curves.
        TngexpError: for two curves of one key.
    """
    twice = [key for key, count in Counter(curve.key for curve in curves).items() if count > 1]
    if twice:
        raise TngexpError(f"two curves are called {', '.join(twice)}; rename one of the files")
    base = next((curve for curve in curves if curve.key == reference), None)
    if reference is not None and base is None:
        keys = ", ".join(curve.key for curve in curves)
        raise ConfigError(f"reference={reference} is none of the curves: {keys}")

    tables = [
        *_by_metric(curves, base, hull),
        _points_table(curves),
        *_further_table(curves),
        _complexity_table(curves),
    ]
    warnings = [*comparison_warnings(curves)]
    if hull:
        warnings.insert(0, "Curves are reduced to their upper convex hulls.")
    tables[0] = replace(tables[0], caption=" ".join([tables[0].caption, *warnings]).strip())
    return tables


def _by_metric(curves: Sequence[Curve], base: Curve | None, hull: bool) -> Iterator[Table]:
    metrics = [m for m in METRICS if any(series(curve, m.attribute)[0] for curve in curves)]
    comparable = {m: [_hull(curve, m) for curve in curves] if hull else curves for m in metrics}
    if base is not None and len(curves) > 1:
        for metric in metrics:
            reference = next(c for c in comparable[metric] if c.key == base.key)
            yield bd_table(comparable[metric], reference, metric)
    for metric in reversed(metrics):  # MS-SSIM first: closer to what eyes say
        by_key = {curve.key: curve for curve in comparable[metric]}
        others = [by_key[curve.key] for curve in anchors(curves, base)]
        yield equal_quality_table(comparable[metric], others, metric)
    codecs = [curve for curve in curves if curve.kind == "codec"]
    if codecs and anchors(curves, base):
        yield own_points_table(codecs, anchors(curves, base))
    if len(curves) > 2:
        for metric in metrics:
            yield bd_matrix(comparable[metric], metric)


def _hull(curve: Curve, metric: Metric) -> Curve:
    return replace(curve, points=pareto(curve.points, metric.attribute, convex=True))


def check_same_images(curves: Sequence[Curve]) -> None:
    """Make sure that all points of all measured curves are of the same images.

    Raises:
        TngexpError: naming the curve, the setting, and the images that are missing or differ.
    """
    settings = [
        (f"{curve.label}, {point.setting}", [(i.image, i.width, i.height) for i in point.images])
        for curve in curves
        for point in curve.points
        if point.images
    ]
    sizes: dict[str, tuple[str, int, int]] = {}
    for name, images in settings:
        counts = Counter(image for image, _, _ in images)
        if twice := [image for image, count in counts.items() if count > 1]:
            raise TngexpError(f"{name} holds images twice: {_list(twice)}")
        for image, width, height in images:
            first, *size = sizes.setdefault(image, (name, width, height))
            if size != [width, height]:
                raise TngexpError(
                    f"images differ: {image} is {width}×{height} in {name}, "
                    f"but {size[0]}×{size[1]} in {first}"
                )
    for name, images in settings:
        if missing := sorted(sizes.keys() - {image for image, _, _ in images}):
            raise TngexpError(
                f"curves are of different images: {name} lacks {_list(missing)}; "
                "measure all codecs on the same ones"
            )


def comparison_warnings(curves: Sequence[Curve]) -> list[str]:
    """What a reader should know before trusting a comparison, a sentence each."""
    warnings = []
    if quoted := [c.label for c in curves if c.points and not any(p.images for p in c.points)]:
        warnings.append(f"Quoted, so that their images could not be checked: {', '.join(quoted)}.")
    images = {i.image: i for c in curves for p in c.points for i in p.images}
    small = sorted(name for name, image in images.items() if image.ms_ssim is None)
    if small:
        warnings.append(
            f"{len(small)} of {len(images)} images have a side under {MS_SSIM_MIN_SIDE} pixels and "
            f"no MS-SSIM; comparisons by MS-SSIM are of the others: {_list(small)} left out."
        )
    for curve in curves:
        if perfect := [
            p.setting for p in curve.points if p.images and not rate_and_quality(p, "psnr_db")
        ]:
            warnings.append(
                f"{curve.label}: images came back perfect, so that comparisons by PSNR leave out "
                f"{_list(perfect)}."
            )
        for metric in METRICS:
            rates, quality = series(curve, metric.attribute)
            if len(rates) > 1 and (flaw := rate_at(rates, quality, quality[0])).value is None:
                warnings.append(f"{curve.label}, {metric.name}: {flaw.reason}.")
    return warnings


def _list(names: Sequence[str], shown: int = 3) -> str:
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more


def _points_table(curves: Sequence[Curve]) -> Table:
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


def _further_table(curves: Sequence[Curve]) -> Iterator[Table]:
    """What was measured beside PSNR and MS-SSIM, if anything was; means over images."""
    measured = [image for curve in curves for point in curve.points for image in point.images]
    names = list(dict.fromkeys(name for image in measured for name in image.metrics))
    if not names:
        return
    yield Table(
        key="metrics",
        title="Further metrics",
        columns=(
            Column("Codec", numeric=False),
            Column("Setting", numeric=False),
            Column("bpp"),
            *(Column(name) for name in names),
        ),
        rows=tuple(
            _further_row(curve, point, names)
            for curve in curves
            for point in curve.points
            if any(image.metrics for image in point.images)
        ),
        caption="Means over images. docs/reference/metrics.md tells what each is good for.",
    )


def _further_row(curve: Curve, point: RDPoint, names: Sequence[str]) -> tuple[Cell, ...]:
    cells = []
    for name in names:
        known = [image.metrics[name] for image in point.images if name in image.metrics]
        few = "" if len(known) == len(point.images) else f"{len(known)} of {len(point.images)}"
        cells.append(number(_mean(known), 4, few and f"{few} have {name}"))
    return label_cell(curve), Cell(point.setting, point.setting), number(point.bpp, 3), *cells


def _complexity_table(curves: Sequence[Curve]) -> Table:
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
        mean_sd(point.psnr_db, _sd([i.psnr_db for i in images]), 2, few(point, "psnr_db", "PSNR")),
        number(point.ms_ssim, 4, few(point, "ms_ssim", "MS-SSIM")),
        number(point.ms_ssim_db, 2),
        _seconds(point.encode_s),
        _seconds(point.decode_s),
    )


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
