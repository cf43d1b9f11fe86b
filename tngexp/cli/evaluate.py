"""Measure trained codecs by real files: ``python -m tngexp.evaluate checkpoint=best.ckpt``.

Every image is compressed to bytes, decompressed from them, and compared with the original. Records
go to ``records.jsonl``; running again continues where the last run stopped.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import hydra
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from tngexp.cli.hydra_program import debugging, explain, guarded
from tngexp.common.configuration import CONF_DIR
from tngexp.common.terminal import console
from tngexp.evaluation.evaluate import Evaluation, evaluate
from tngexp.evaluation.summary import records_table
from tngexp.metrics.curves import Curve
from tngexp.metrics.records import ImageRecord
from tngexp.schema.store import register_config
from tngexp.types import TngexpError

__all__ = ["Evaluation", "evaluate", "main"]


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    register_config()
    if argv is not None:
        sys.argv[1:] = argv

    failed = False

    def job(config: DictConfig) -> None:
        nonlocal failed
        try:
            records, curves = evaluate(config)
            _log(config, records, curves)
        except (TngexpError, OmegaConfBaseException, OSError) as error:
            # Caught here, since Hydra would add a line of its own to the message.
            message = explain(error, "evaluate")
            if message is None or debugging():
                raise
            print(f"error: {message}", file=sys.stderr)
            failed = True
            return
        console().print(records_table(records))
        out = Path(config.out)
        print(f"records in {out / 'records.jsonl'}")
        for curve in curves:
            print(f"curve for CompressAI's plotting in {out / curve.key}.json")

    job.__module__ = "tngexp.evaluate"
    entry = hydra.main(version_base="1.3", config_path=str(CONF_DIR), config_name="evaluate")(job)
    code = guarded(entry, "evaluate", __doc__)
    return 2 if failed else code


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
