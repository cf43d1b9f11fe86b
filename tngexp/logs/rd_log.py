"""Evaluations and comparisons in W&B: tables, RD charts, pictures, and figures to sort runs by.

Other loggers get nothing: the files that evaluating and comparing leave hold all of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger, WandbLogger

from tngexp.logs.loggers import finish, is_wandb, log_config, log_lines, make_loggers, readable
from tngexp.metrics.comparison import rate_and_quality, series
from tngexp.metrics.curves import QUALITY_METRICS, Curve, RDPoint
from tngexp.metrics.records import ImageRecord
from tngexp.report.table import Table

__all__ = [
    "log_curves",
    "log_pictures",
    "log_points",
    "log_records",
    "log_table",
    "log_trace",
    "run_logger",
]


@contextmanager
def run_logger(
    config: Mapping[str, Any], folder: Path, name: str, group: str | None, job: str
) -> Iterator[Logger | None]:
    """A W&B run of its own that ends with the block; None for other loggers.

    Args:
        config: with the logger's configuration under ``logger``; all of it is recorded.
        folder: where an offline run is written.
        name: shown name of the run.
        group: W&B group.
        job: W&B job type.
    """
    entries = config.get("logger")
    wandb = [e for e in (entries if isinstance(entries, list) else [entries]) if is_wandb(e)]
    if not wandb:
        yield None
        return
    folder.mkdir(parents=True, exist_ok=True)
    (logger,) = make_loggers(wandb[:1], folder, name, group, job)
    failed = True
    try:
        log_config(logger, config)
        yield logger
        failed = False
    finally:
        finish(logger, failed)


def log_records(logger: Logger | None, key: str, records: Sequence[ImageRecord]) -> None:
    """The records of single images as a table."""
    if not isinstance(logger, WandbLogger) or not records:
        return
    flat = [
        {name: v for name, v in record.to_json().items() if not isinstance(v, Mapping)}
        | {f"metrics.{name}": value for name, value in record.measured.metrics.items()}
        for record in records
    ]
    columns = list(dict.fromkeys(name for record in flat for name in record))
    rows = [[readable(record.get(c)) for c in columns] for record in flat]
    logger.log_table(key, columns, rows)


def log_table(logger: Logger | None, table: Table) -> None:
    """A table of a comparison; numbers stay numbers, so that W&B can sort by them."""
    if isinstance(logger, WandbLogger) and table.rows:
        # A column of a W&B table has one type: numbers where every cell has one.
        numeric = [
            all(isinstance(row[i].value, float | int | None) for row in table.rows)
            and any(row[i].value is not None for row in table.rows)
            for i in range(len(table.columns))
        ]
        logger.log_table(
            f"comparison/{table.key}",
            [column.label for column in table.columns],
            [
                [
                    c.value if is_number else readable(c.text)
                    for c, is_number in zip(row, numeric, strict=True)
                ]
                for row in table.rows
            ],
        )


def log_curves(logger: Logger | None, curves: Sequence[Curve]) -> None:
    """RD curves, all in one chart for each metric."""
    if not isinstance(logger, WandbLogger):
        return
    for metric, label in QUALITY_METRICS.items():
        lines = {}
        for curve in curves:
            rates, quality = series(curve, metric)
            if rates:
                lines[curve.label] = (rates, quality)
        if lines:
            log_lines(logger, f"rd/chart_{metric}", lines, f"{label} against bpp", "bpp")


def log_points(
    logger: Logger | None, curve: Curve, bd_rates: Mapping[str, float | None] | None = None
) -> None:
    """One codec's curve as W&B's own metrics, so that its charts show a group's runs together.

    The x axis of every ``rd/…`` chart is ``rd/bpp``, the rate of the images that have the figure:
    where some are too small for MS-SSIM, its points have rates of their own. The run's summary gets
    ``bpp``, ``psnr_db`` and ``ms_ssim`` of the point in the middle, those that all images have, and
    the BD-rates: what W&B's table sorts runs by.

    Args:
        logger: of a run about this codec.
        curve: the codec's.
        bd_rates: name → % against a reference; None for a refused one, which is left out.
    """
    if not isinstance(logger, WandbLogger):
        return
    run = logger.experiment
    run.define_metric("rd/bpp", hidden=True)
    run.define_metric("rd/*", step_metric="rd/bpp")
    for point in curve.points:
        for figures in _by_rate(point):
            run.log({f"rd/{name}": value for name, value in figures.items()})
    summary = _by_rate(curve.points[len(curve.points) // 2])[0]
    summary.update({k: v for k, v in (bd_rates or {}).items() if v is not None})
    run.summary.update(summary)


def log_trace(
    logger: Logger | None, steps: Sequence[int], losses: Mapping[str, Sequence[float]]
) -> None:
    """Validation losses of one variant's runs, at the steps they have in common, and their mean.

    Args:
        logger: of a run about this variant.
        steps: of the validations.
        losses: name of a run, ``seed0`` → one loss a step.
    """
    if not isinstance(logger, WandbLogger):
        return
    for step, values in zip(steps, zip(*losses.values(), strict=True), strict=True):
        figures = {f"screen/{key}": value for key, value in zip(losses, values, strict=True)}
        logger.log_metrics({"screen/loss": sum(values) / len(values), **figures}, step)


def log_pictures(logger: Logger | None, pictures: Mapping[str, Path]) -> None:
    """Picture files under the names given."""
    if isinstance(logger, WandbLogger):
        for name, path in pictures.items():
            logger.log_image(f"comparison/{name}", [str(path)])


def _by_rate(point: RDPoint) -> list[dict[str, float]]:
    """A point's figures with the rate of their images: of all of them first."""
    found = {point.bpp: {"bpp": point.bpp}}
    for metric in QUALITY_METRICS:
        pair = rate_and_quality(point, metric)
        if pair is not None:
            figures = found.setdefault(pair[0], {"bpp": pair[0]})
            figures[metric] = pair[1]
            if metric == "ms_ssim_db" and point.ms_ssim is not None:
                figures["ms_ssim"] = point.ms_ssim
    return [*found.values()]
