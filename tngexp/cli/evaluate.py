"""Measure trained codecs by real files: ``python -m tngexp.evaluate checkpoint=best.ckpt``.

Every image is compressed to bytes, decompressed from them, and compared with the original. Records
go to ``records.jsonl``; running again continues where the last run stopped.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from tngexp.cli.hydra_program import run_program
from tngexp.common.terminal import console

if TYPE_CHECKING:
    from tngexp.metrics.curves import Curve
    from tngexp.metrics.records import ImageRecord

__all__ = ["main"]


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    return run_program("evaluate", _job, __doc__, argv)


def _job(config: DictConfig) -> None:
    # Imported here: measuring loads torch, which --help and --cfg do without.
    from tngexp.evaluation.evaluate import evaluate
    from tngexp.evaluation.summary import records_table

    records, curves = evaluate(config)
    _log(config, records, curves)
    console().print(records_table(records))
    out = Path(config.out)
    print(f"records in {out / 'records.jsonl'}, a table of them in {out / 'images.tsv'}")
    for curve in curves:
        print(f"curve for CompressAI's plotting in {out / curve.key}.json")


def _log(config: DictConfig, records: list[ImageRecord], curves: list[Curve]) -> None:
    from tngexp.logs.rd_log import log_curves, log_points, log_records, run_logger

    out = Path(config.out)
    name = config.name or out.name
    plain: Any = OmegaConf.to_container(config, resolve=True)
    with run_logger(plain, out, name, config.group, job="evaluate") as logger:
        log_records(logger, "evaluation/records", records)
        log_curves(logger, curves)
        if len(curves) == 1:
            log_points(logger, curves[0])
