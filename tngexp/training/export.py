"""The last touch on a finished checkpoint: integer tables that travel with the weights."""

from __future__ import annotations

from pathlib import Path

from tngexp.bitstream import derive_tables
from tngexp.io import load, read_checkpoint
from tngexp.training.checkpoint_io import write_checkpoint
from tngexp.types import ConfigError

__all__ = ["add_tables"]


def add_tables(path: Path) -> bool:
    """Store the integer tables of the checkpoint's codec in it; see ``tngexp.bitstream.tables``.

    Returns whether there are any: a component of the user's own may have no bitstream form.

    Raises:
        CheckpointError: when the file cannot be read or written.
    """
    codec = load(path, trusted=True)
    try:
        tables = derive_tables(codec.prior, codec.quantizer)
    except ConfigError:
        return False
    checkpoint = read_checkpoint(path)
    checkpoint["tngexp"] = {**checkpoint["tngexp"], "coding": tables.to_state()}
    write_checkpoint(checkpoint, path)
    return True
