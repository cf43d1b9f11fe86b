"""Measuring trained codecs on a set of photos, resumable image by image."""

from __future__ import annotations

import datetime
import hashlib
import json
import platform
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

import tngexp
from tngexp.common.atomic import replacing
from tngexp.datasets.images import Photo
from tngexp.evaluation.checkpoints import Model
from tngexp.evaluation.measure import MEASUREMENT_VERSION, measure
from tngexp.evaluation.photos import digest, pixels_of
from tngexp.evaluation.records import RecordFile
from tngexp.metrics.extra import check_metrics
from tngexp.metrics.records import ImageRecord, Measurement, RecordKey
from tngexp.types import ConfigError, TngexpError

__all__ = ["measure_codecs", "points", "reconstruction"]


def points(models: Sequence[Model], qualities: Any) -> list[tuple[Model, float | None]]:
    """Every model at every quality it knows.

    Raises:
        ConfigError: unless ``qualities`` is a number in 0 … 1 or a list of them.
    """
    values = qualities if isinstance(qualities, list) else [qualities]
    numbers = [q for q in values if isinstance(q, int | float) and not isinstance(q, bool)]
    if not values or len(numbers) < len(values) or not all(0 <= q <= 1 for q in numbers):
        raise ConfigError(f"qualities={qualities} must be numbers in 0 … 1, e.g. qualities=[0,0.5]")
    return [
        (model, None if quality is None else float(quality))
        for model in models
        for quality in (dict.fromkeys(values) if model.codec.model.rate.variable else [None])
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
) -> list[ImageRecord]:
    """The record of every model, quality and photo, in this order; measured where missing.

    A record is found again by the content of codec and photo, under whatever names.

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
        ConfigError: for unusable qualities or metrics, or a photo that cannot be decoded.
        TngexpError: when a photo is changed while it is measured.
    """
    todo = points(models, qualities)
    check_metrics(metrics)
    total = len(todo) * len(photos)
    found = []
    originals = [digest(pixels_of(photo)) for photo in photos]
    for model, quality in todo:
        for photo, original in zip(photos, originals, strict=True):
            key = RecordKey(model.key, original, quality, MEASUREMENT_VERSION)
            record = records.get(key, metrics)
            if record is None or (files is not None and not _kept(files, record)):
                rgb = pixels_of(photo)
                if digest(rgb) != original:
                    raise TngexpError(f"{photo.name} was changed while it was measured; run again")
                measured, data = measure(
                    *(model.codec, rgb, quality, metrics),
                    effort=model.key.effort,
                    tune=model.key.tune,
                    look=model.key.look,
                )
                record = _record(model, key, dataset, photo.name, measured, data)
                if files is not None:
                    _write(record.file_in(files), data)
                records.add(record)
            # Names are the user's and may have changed since it was measured.
            found.append(
                replace(
                    record,
                    codec=model.curve,
                    setting=model.setting(quality),
                    dataset=dataset,
                    image=photo.name,
                    checkpoint=str(model.path),
                )
            )
            progress(len(found), total)
    return found


def _file_name(key: RecordKey, image: str) -> str:
    """A place in the folder of kept files that no other content has; readable as far as it goes."""
    quality = "" if key.quality is None else f"_{key.quality:g}"
    content = {**key._asdict(), **key.codec._asdict()}
    del content["codec"]
    own = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
    stem = re.sub(r"[^A-Za-z0-9._-]+", "_", PurePosixPath(image).stem)[:80]
    return f"{key.codec.model}{quality}/{stem}-{own}.tng"


def _kept(folder: Path, record: ImageRecord) -> bool:
    """Whether the file that a record is about lies in ``folder`` as it was written."""
    try:
        data = record.file_in(folder).read_bytes()
    except OSError:
        return False
    return hashlib.sha256(data).hexdigest() == record.file_sha256


def reconstruction(model: Model, file: Path) -> NDArray[np.uint8]:
    """The decoded pixels of a kept file at the model's look, (H, W, 3)."""
    image: Image.Image = model.codec.decompress(file.read_bytes(), look=model.key.look)
    return np.asarray(image.convert("RGB"))


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def _record(
    model: Model, key: RecordKey, dataset: str, image: str, measured: Measurement, data: bytes
) -> ImageRecord:
    """What there is to say of the file ``data``, measured just now in this process."""
    return ImageRecord(
        kind="codec",
        codec=model.curve,
        setting=model.setting(key.quality),
        dataset=dataset,
        image=image,
        checkpoint=str(model.path),
        **key.codec._asdict(),
        original=key.original,
        quality=key.quality,
        measurement=key.measurement,
        measured=measured,
        file=_file_name(key, image),
        file_sha256=hashlib.sha256(data).hexdigest(),
        device=next(model.codec.parameters()).device.type,
        threads=torch.get_num_threads(),
        processor=platform.machine(),
        versions={
            "tngexp": tngexp.__version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
        command=" ".join(sys.argv),
        date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )
