"""Measuring trained codecs on a set of photos, resumable image by image."""

from __future__ import annotations

import datetime
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

import tngexp
from tngexp.datasets.images import Photo
from tngexp.evaluation.checkpoints import Model
from tngexp.evaluation.measure import measure
from tngexp.evaluation.records import RecordFile
from tngexp.types import ConfigError

__all__ = ["coded_file", "measure_codecs", "points", "reconstruction"]


def points(models: Sequence[Model], qualities: Any) -> list[tuple[Model, float | None]]:
    """Every model at every quality it knows.

    Raises:
        ConfigError: unless ``qualities`` is a number in 0 … 1 or a list of them.
    """
    values = qualities if isinstance(qualities, list) else [qualities]
    if not values or not all(isinstance(q, int | float) and 0 <= q <= 1 for q in values):
        raise ConfigError(f"qualities={qualities} must be numbers in 0 … 1, e.g. qualities=[0,0.5]")
    return [
        (model, None if quality is None else float(quality))
        for model in models
        for quality in (values if model.codec.model.rate.variable else [None])
    ]


def measure_codecs(
    models: Sequence[Model],
    photos: Sequence[Photo],
    dataset: str,
    records: RecordFile,
    *,
    qualities: Any,
    metrics: Sequence[str] = (),
    files: Path | None = None,
    progress: Callable[[int, int], object] = lambda done, total: None,
) -> list[dict[str, Any]]:
    """The record of every model, quality and photo, in this order; measured where missing.

    Args:
        models: what to measure.
        photos: whole images.
        dataset: the set's name in the records.
        records: where measurements are looked up and added.
        qualities: for codecs of variable rate.
        metrics: names of further metrics.
        files: also keep the coded files in this folder.
        progress: called after each image with the numbers of those done and of all.

    Raises:
        ConfigError: for unusable qualities or metrics.
    """
    todo = points(models, qualities)
    total = len(todo) * len(photos)
    found = []
    for model, quality in todo:
        for photo in photos:
            key = {
                "model": model.fingerprint,
                "dataset": dataset,
                "image": photo.name,
                "quality": quality,
            }
            file = None if files is None else coded_file(files, key)
            record = records.get(metrics, **key)
            if record is None or (file is not None and not file.exists()):
                measurement, data = measure(model.codec, photo.decode(), quality, metrics)
                if file is not None:
                    _write(file, data)
                record = records.add(
                    {
                        "kind": "codec",
                        "codec": model.curve,
                        "setting": model.setting(quality),
                        **key,
                        **asdict(measurement),
                        "checkpoint": str(model.path),
                        "weights_sha256": model.weights_sha256,
                        "config_sha256": model.config_sha256,
                        **_context(model),
                    }
                )
            # Names are the user's and may have changed since it was measured.
            found.append({**record, "codec": model.curve, "setting": model.setting(quality)})
            progress(len(found), total)
    return found


def coded_file(folder: Path, record: Mapping[str, Any]) -> Path:
    """Where in ``folder`` the file that a record is about is kept."""
    quality = "" if record["quality"] is None else f"_{record['quality']:g}"
    name = Path(str(record["image"])).with_suffix(".tng")
    return folder / f"{record['model']}{quality}" / name


def reconstruction(model: Model, file: Path) -> NDArray[np.uint8]:
    """The decoded pixels of a kept file, (H, W, 3)."""
    image: Image.Image = model.codec.decompress(file.read_bytes())
    return np.asarray(image.convert("RGB"))


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.partial")
    beside.write_bytes(data)
    beside.replace(path)


def _context(model: Model) -> dict[str, Any]:
    return {
        "device": next(model.codec.parameters()).device.type,
        "threads": torch.get_num_threads(),
        "processor": platform.machine(),
        "versions": {
            "tngexp": tngexp.__version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
        "command": " ".join(sys.argv),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }
