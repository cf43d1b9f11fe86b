"""Files with trained codecs: where they are and what stands in them."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from tngexp import zoo
from tngexp.common.folders import expanded
from tngexp.types import CheckpointError

__all__ = [
    "LOOK",
    "SAFETENSORS",
    "TABLES",
    "begins_like_safetensors",
    "content_of",
    "locate",
    "read_checkpoint",
    "shipped_look",
]

SAFETENSORS = ".safetensors"


TABLES = "coding."


LOOK = "tngexp_look"
"""The entry of a look's metadata, where a codec has ``tngexp``."""


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """The raw contents of a checkpoint, tensors on the CPU.

    Raises:
        CheckpointError: when the file is missing, damaged, or not one of ours.
    """
    path = Path(path)
    if not path.is_file():
        hint = ""
        if path.is_dir():
            hint = " (a folder: name the file inside, …/checkpoints/best.ckpt)"
        elif not path.suffix:  # meant as a name
            hint = f" (shipped models: {', '.join([*zoo.MODELS, *zoo.NETWORKS])})"
        raise CheckpointError(f"{path}: no such checkpoint{hint}")
    if path.suffix == SAFETENSORS or _begins_like_safetensors(path):
        return _read_safetensors(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about other kinds of archives; the error tells
            checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    # What a file of another kind makes of torch's readers is any error at all.
    except Exception as error:
        reason = f" ({error.strerror})" if isinstance(error, OSError) and error.strerror else ""
        raise CheckpointError(
            f"{path}: not a readable checkpoint; it is damaged, incomplete or of another kind"
            + reason
        ) from error
    if not isinstance(checkpoint, dict) or not {"tngexp", "state_dict"} <= checkpoint.keys():
        raise CheckpointError(
            f"{path}: not a tngexp checkpoint (no 'tngexp' entry); checkpoints of CompressAI "
            "models are read by tngexp.interop"
        )
    return _checked(checkpoint, path)


def _begins_like_safetensors(path: Path) -> bool:
    """A length that fits into the file and a JSON object, whatever the file is called."""
    try:
        with path.open("rb") as file:
            start = file.read(9)
        size = path.stat().st_size
    except OSError:
        return False  # the reader tells
    return begins_like_safetensors(start, size)


def begins_like_safetensors(start: bytes, size: int) -> bool:
    """Whether nine bytes, the ``start`` of a file of ``size`` bytes, are a safetensors file's."""
    return start[8:] == b"{" and 8 + int.from_bytes(start[:8], "little") <= size


def _checked(content: dict[str, Any], path: Path) -> dict[str, Any]:
    """``content`` with the entries that every reader relies on."""
    about, weights = content["tngexp"], content["state_dict"]
    if not isinstance(about, dict) or not isinstance(about.get("codec"), Mapping):
        raise CheckpointError(f"{path}: not a tngexp checkpoint: it does not describe a codec")
    if not isinstance(weights, Mapping) or not all(
        isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in weights.items()
    ):
        raise CheckpointError(f"{path}: not a tngexp checkpoint: its 'state_dict' holds no weights")
    if not isinstance(about.get("coding", {}), Mapping):
        raise CheckpointError(f"{path}: its coding tables are damaged")
    return content


def _read_safetensors(path: Path) -> dict[str, Any]:
    """A weights file as if it were a checkpoint; half precision becomes single again."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if LOOK in metadata:
                raise CheckpointError(
                    f"{path}: a look, which goes with a codec and is none: "
                    "tngexp.load(CODEC, look=FILE), --look 1 --look-from FILE"
                )
            about = json.loads(metadata["tngexp"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if not isinstance(about, dict):
            raise TypeError
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path}: not a readable weights file; it is damaged, incomplete or of another kind"
        ) from error
    except (KeyError, ValueError, TypeError) as error:
        raise CheckpointError(f"{path}: safetensors, but not of a tngexp codec") from error
    tables = {
        name.removeprefix(TABLES): t for name, t in tensors.items() if name.startswith(TABLES)
    }
    weights = {
        name: t.float() if t.dtype == torch.float16 else t
        for name, t in tensors.items()
        if not name.startswith(TABLES)
    }
    tngexp_entry = about | ({"coding": tables} if tables else {})
    return _checked({"state_dict": weights, "tngexp": tngexp_entry}, path)


def locate(name_or_path: str | Path) -> Path:
    """The file of a shipped model, or the file itself.

    The name of a shipped model never stands for what happens to be called so in the current
    folder: a path has a separator or a suffix, as ``./tng-objective``, or is a ``Path``.
    """
    path = expanded(name_or_path)
    if zoo.is_shipped(str(name_or_path)) and (isinstance(name_or_path, str) or not path.exists()):
        return zoo.path(str(name_or_path))
    return path


def content_of(name_or_path: str | Path) -> str | None:
    """A SHA-256 of the file that :func:`locate` finds; None for one that is missing."""
    path = locate(name_or_path)
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def shipped_look(path: Path) -> Path | None:
    """The look that ships for the shipped codec in the file ``path``, if both do.

    Raises:
        CheckpointError: for a look that is missing or was changed.
    """
    name = zoo.name_at(path)
    return zoo.look_path(name) if name in zoo.LOOKS else None
