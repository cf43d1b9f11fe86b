"""Measuring codecs by the files they write."""

from __future__ import annotations

from tngexp.evaluation.measure import Measurement, measure
from tngexp.evaluation.records import RecordFile

__all__ = ["Measurement", "RecordFile", "measure"]
