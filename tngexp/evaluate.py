"""Measure trained codecs by real files: ``python -m tngexp.evaluate checkpoint=best.ckpt``.

Every image is compressed to bytes, decompressed from them, and compared with the original. Records
go to ``records.jsonl``; running again continues where the last run stopped.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import hydra
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from tqdm import tqdm

from tngexp._cli import as_list, debugging, explain, guarded
from tngexp._conf import CONF_DIR, register_resolvers
from tngexp.evaluation import (
    RecordFile,
    at_efforts,
    load_models,
    measure_codecs,
    photos_to_measure,
    to_curves,
)
from tngexp.evaluation.summary import records_table
from tngexp.metrics.curves import Curve
from tngexp.report.published import to_compressai
from tngexp.terminal import console
from tngexp.types import TngexpError

__all__ = ["Evaluation", "evaluate", "main"]

Evaluation = tuple[list[dict[str, Any]], list[Curve]]
"""Records and the curves they form."""


def evaluate(config: DictConfig | Mapping[str, Any]) -> Evaluation:
    """Measure what ``conf/evaluate.yaml`` says.

    Raises:
        TngexpError: for a missing or foreign checkpoint, unusable data, or foreign records.
    """
    node = config if isinstance(config, DictConfig) else OmegaConf.create(dict(config))
    plain: Any = OmegaConf.to_container(node, resolve=True, throw_on_missing=True)
    metrics = as_list("metrics", plain["metrics"])
    models = load_models(as_list("checkpoint", plain["checkpoint"]))  # bad ones show now
    models = at_efforts(models, plain["efforts"], plain["tune"])
    dataset, photos = photos_to_measure(plain["data"])
    out = Path(plain["out"])
    with tqdm(unit="image", disable=None) as progress:

        def advance(done: int, total: int) -> None:
            progress.total = total
            progress.update(done - progress.n)

        records = measure_codecs(
            models,
            photos,
            dataset,
            RecordFile(out / "records.jsonl"),
            qualities=plain["qualities"],
            metrics=metrics,
            files=out / "files" if plain["save_files"] else None,
            progress=advance,
        )
    curves = to_curves(records)
    for curve in curves:
        path = out / f"{curve.key}.json"
        path.write_text(json.dumps(to_compressai(curve), indent=2) + "\n", encoding="utf-8")
    return records, curves


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    register_resolvers()
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


def _log(config: DictConfig, records: list[dict[str, Any]], curves: list[Curve]) -> None:
    from tngexp.training.rd_log import log_curves, log_points, log_records, run_logger

    out = Path(config.out)
    name = config.name or out.name
    plain: Any = OmegaConf.to_container(config, resolve=True)
    with run_logger(plain, out, name, config.group, job="evaluate") as logger:
        log_records(logger, "evaluation/records", records)
        log_curves(logger, curves)
        if len(curves) == 1:
            log_points(logger, curves[0])


if __name__ == "__main__":
    sys.exit(main())
