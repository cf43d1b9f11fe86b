"""The last touch on a finished checkpoint: integer tables that travel with the weights."""

from __future__ import annotations

from pathlib import Path

from tngexp.bitstream.codec_files import load, stored_tables
from tngexp.model.files import read_checkpoint
from tngexp.runs.checkpoint_io import write_checkpoint
from tngexp.types import ConfigError

__all__ = ["add_tables"]


def add_tables(path: Path) -> bool:
    """Store the integer tables of the checkpoint's codec in it; see ``tngexp.bitstream.tables``.

    Returns whether there are any: a component of the user's own may have no bitstream form.

    Raises:
        CheckpointError: when the file cannot be read or written.
    """
    try:
        tables = stored_tables(load(path, trusted=True, fresh_tables=True))
    except ConfigError:
        return False
    checkpoint = read_checkpoint(path)
    checkpoint["tngexp"] = {**checkpoint["tngexp"], "coding": tables}
    write_checkpoint(checkpoint, path)
    return True
