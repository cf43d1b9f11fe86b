"""Trained codecs as files."""

from __future__ import annotations

from tngexp.bitstream.codec_files import identity, load, save, stored_tables
from tngexp.bitstream.look_files import save_look
from tngexp.model.files import locate, read_checkpoint
from tngexp.types import CheckpointError

__all__ = [
    "CheckpointError",
    "identity",
    "load",
    "locate",
    "read_checkpoint",
    "save",
    "save_look",
    "stored_tables",
]
