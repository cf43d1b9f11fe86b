"""Trained codecs measured by real files, as ``conf/evaluate.yaml`` says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from tngexp.common.options import as_list
from tngexp.evaluation import (
    RecordFile,
    at_efforts,
    at_looks,
    load_models,
    measure_codecs,
    photos_to_measure,
    to_curves,
)
from tngexp.evaluation.progress import image_progress
from tngexp.evaluation.tsv import write_tsv
from tngexp.metrics.curves import Curve
from tngexp.metrics.records import ImageRecord
from tngexp.report.published import to_compressai
from tngexp.schema.measuring import EvaluateConf, checked

__all__ = ["Evaluation", "evaluate"]

Evaluation = tuple[list[ImageRecord], list[Curve]]
"""Records and the curves they form."""


def evaluate(config: DictConfig | Mapping[str, Any]) -> Evaluation:
    """Measure what ``conf/evaluate.yaml`` says.

    Raises:
        TngexpError: for a missing or foreign checkpoint, unusable data, or foreign records.
    """
    node = config if isinstance(config, DictConfig) else OmegaConf.create(dict(config))
    found: Any = OmegaConf.to_container(node, resolve=True, throw_on_missing=True)
    plain = checked(found, EvaluateConf)
    models = load_models(as_list("checkpoint", plain["checkpoint"]))  # bad ones show now
    models = at_efforts(models, plain["efforts"], plain["tune"])
    models = at_looks(models, plain["looks"], plain["look_from"])
    dataset, photos = photos_to_measure(plain["data"])
    out = Path(plain["out"])
    with image_progress() as advance:
        records = measure_codecs(
            models,
            photos,
            dataset,
            RecordFile(out / "records.jsonl"),
            qualities=plain["qualities"],
            metrics=plain["metrics"],
            files=out / "files" if plain["save_files"] else None,
            progress=advance,
        )
    write_tsv(out / "images.tsv", records)
    curves = to_curves(records)
    for curve in curves:
        path = out / f"{curve.key}.json"
        path.write_text(json.dumps(to_compressai(curve), indent=2) + "\n", encoding="utf-8")
    return records, curves
