"""Measuring codecs by the files they write."""

from __future__ import annotations

from tngexp.evaluation.checkpoints import (
    Model,
    at_efforts,
    at_looks,
    divide,
    find_checkpoints,
    load_models,
)
from tngexp.evaluation.codecs import measure_codecs
from tngexp.evaluation.curves import to_curves
from tngexp.evaluation.measure import measure, measure_coder
from tngexp.evaluation.photos import photos_to_measure
from tngexp.evaluation.records import RecordFile
from tngexp.metrics.records import ImageRecord, Measurement

__all__ = [
    "ImageRecord",
    "Measurement",
    "Model",
    "RecordFile",
    "at_efforts",
    "at_looks",
    "divide",
    "find_checkpoints",
    "load_models",
    "measure",
    "measure_codecs",
    "measure_coder",
    "photos_to_measure",
    "to_curves",
]
