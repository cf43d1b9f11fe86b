"""From a trained codec to real files: exact networks, integer tables, images of any kind."""

from __future__ import annotations

from tngexp.bitstream.analysis import Analysis
from tngexp.bitstream.coder import ImageCodec
from tngexp.bitstream.exact import exact_copy
from tngexp.bitstream.tables import CodingTables, derive_tables, tables_digest

__all__ = [
    "Analysis",
    "CodingTables",
    "ImageCodec",
    "derive_tables",
    "exact_copy",
    "tables_digest",
]
