"""Files of a wanted size: the one setting of a codec, for each photo, that comes nearest to it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

from tngexp.anchors import Anchor
from tngexp.coding import index_to_quality
from tngexp.datasets.images import Photo
from tngexp.evaluation import Model, RecordFile, measure_codecs
from tngexp.evaluation.anchored import measure_anchors
from tngexp.metrics.records import ImageRecord

__all__ = ["anchor_near", "codec_near", "nearest"]

_NEAR = 0.005  # a file this close, in ln bytes, is not improved: 5 of 1,000 bytes
_FINEST = 255  # qualities of a trained codec's files; steps of a setting that is no whole number


def nearest(code: Callable[[int], ImageRecord], low: int, high: int, target: float) -> ImageRecord:
    """The file nearest to ``target`` in proportion, by bisection.

    Args:
        code: makes the file of an index; files grow with it, apart from small ripples.
        low: the first index.
        high: the last one.
        target: wanted size in bytes.
    """
    found: list[ImageRecord] = []
    while low <= high:
        middle = (low + high) // 2
        record = code(middle)
        found.append(record)
        if _distance(record, target) < _NEAR:
            break
        if record.measured.bytes < target:
            low = middle + 1
        else:
            high = middle - 1
    return min(found, key=lambda record: _distance(record, target))


def _distance(record: ImageRecord, target: float) -> float:
    return abs(math.log(record.measured.bytes / target))


def anchor_near(
    anchor: Anchor, photo: Photo, target: float, cache: Path, dataset: str
) -> ImageRecord:
    """The record of an anchor's file of about ``target`` bytes, which lies in ``cache``.

    Raises:
        AnchorError: when the anchor is missing or fails.
    """
    parameter = anchor.parameter
    grows = anchor.settings[0] < anchor.settings[-1]  # they stand by rising rate
    lowest, highest = parameter.lowest, parameter.highest
    steps = int(highest - lowest) if parameter.whole else _FINEST

    def setting(index: int) -> float:
        at = index if grows else steps - index
        if parameter.whole:
            return lowest + at
        return float(f"{lowest * (highest / lowest) ** (at / steps):.4g}")

    def code(index: int) -> ImageRecord:
        (record,) = measure_anchors(
            *([anchor], [photo], cache),
            dataset=dataset,
            settings={anchor.name: [setting(index)]},
            workers=1,
        ).records
        return record

    return nearest(code, 0, steps, target)


def codec_near(
    models: Sequence[Model],
    photo: Photo,
    target: float,
    records: RecordFile,
    files: Path,
    dataset: str,
) -> ImageRecord:
    """The same of a trained codec; its file lies in ``files``.

    Args:
        models: the points of one curve: one of variable rate, or several of fixed rates.
        photo: what to code.
        target: wanted size in bytes.
        records: where measurements are looked up and added.
        files: the folder of coded files.
        dataset: the set's name in the records.
    """

    def measured(model: Model, quality: float) -> ImageRecord:
        (record,) = measure_codecs(
            *([model], [photo], dataset, records), qualities=[quality], files=files
        )
        return record

    def of(model: Model) -> ImageRecord:
        if not model.codec.model.rate.variable:
            return measured(model, 0.0)  # which a fixed rate has no use for
        return nearest(lambda index: measured(model, index_to_quality(index)), 0, _FINEST, target)

    return min(map(of, models), key=lambda record: _distance(record, target))
