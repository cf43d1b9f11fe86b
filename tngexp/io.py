"""Reading trained codecs."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch

import tngexp
from tngexp.codec import Codec
from tngexp.types import ConfigError, TngexpError

__all__ = ["CheckpointError", "load", "read_checkpoint", "save"]

_PREFIX = "codec."


class CheckpointError(TngexpError):
    """A checkpoint that is missing, damaged, foreign, or of another architecture."""


def load(path: str | Path, *, trusted: bool = False) -> Codec:
    """The codec of a training checkpoint, in evaluation mode, on the CPU.

    Nothing in the file is executed: weights load with ``weights_only=True`` and only this
    package's components are built, unless ``trusted``.

    Args:
        path: a checkpoint written by ``python -m tngexp.train``.
        trusted: also build components from outside of this package that the checkpoint names.

    Raises:
        CheckpointError: naming the file and what is wrong with it.
    """
    checkpoint = read_checkpoint(path)
    try:
        codec = Codec.from_config(checkpoint["tngexp"]["codec"], trusted=trusted)
    except (ConfigError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path}: cannot build the codec it describes: {error}") from error
    weights = {
        name.removeprefix(_PREFIX): tensor
        for name, tensor in checkpoint["state_dict"].items()
        if name.startswith(_PREFIX)
    }
    try:
        codec.load_state_dict(weights)
    except RuntimeError as error:
        raise CheckpointError(
            f"{path}: its weights do not fit the codec it describes; was it written by another "
            f"version of tngexp ({checkpoint['tngexp'].get('version', 'unknown')})?"
        ) from error
    if "coding" in checkpoint["tngexp"]:
        from tngexp.bitstream import CodingTables

        codec.tables = CodingTables.from_state(checkpoint["tngexp"]["coding"])
    # Convolutions on CPUs run up to twice as fast with the channels innermost.
    codec.to(memory_format=torch.channels_last)
    return codec.eval()


def save(codec: Codec, path: str | Path) -> None:
    """Write a codec as :func:`load` reads it, with its integer tables, whole or not at all.

    Args:
        codec: built from a configuration, in evaluation mode.
        path: the checkpoint to write; replaced if it exists.

    Raises:
        ConfigError: for a codec that has no configuration or no bitstream form.
    """
    if codec.config is None:
        raise ConfigError("only a codec built with Codec.from_config can be saved")
    path = Path(path)
    content = {
        "state_dict": {f"{_PREFIX}{name}": t for name, t in codec.state_dict().items()},
        "tngexp": {
            "format": 1,
            "version": tngexp.__version__,
            "codec": codec.config,
            "coding": codec.coder().tables.to_state(),
        },
    }
    beside = path.with_name(f".{path.name}.partial")
    try:
        torch.save(content, beside)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """The raw contents of a checkpoint, tensors on the CPU.

    Raises:
        CheckpointError: when the file is missing, damaged, or not one of ours.
    """
    path = Path(path)
    if not path.is_file():
        hint = " (a folder: name the file inside, …/checkpoints/best.ckpt)" if path.is_dir() else ""
        raise CheckpointError(f"{path}: no such checkpoint{hint}")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, OSError, pickle.UnpicklingError, zipfile.BadZipFile) as error:
        raise CheckpointError(
            f"{path}: not a readable checkpoint; it is damaged, incomplete or of another kind"
        ) from error
    if not isinstance(checkpoint, dict) or not {"tngexp", "state_dict"} <= checkpoint.keys():
        raise CheckpointError(
            f"{path}: not a tngexp checkpoint (no 'tngexp' entry); checkpoints of CompressAI "
            "models are read by tngexp.interop"
        )
    return checkpoint
