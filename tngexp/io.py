"""Reading trained codecs."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

import tngexp
from tngexp import zoo
from tngexp.bitstream import CodingTables, ImageCodec, tables_digest
from tngexp.bitstream.tables import DIGEST
from tngexp.codec import Codec
from tngexp.objective import objective
from tngexp.types import CheckpointError, ConfigError

__all__ = [
    "CheckpointError",
    "identity",
    "load",
    "locate",
    "read_checkpoint",
    "save",
    "stored_tables",
]

SAFETENSORS = ".safetensors"
_PREFIX = "codec."
_TABLES = "coding."


def load(
    name_or_path: str | Path, *, trusted: bool = False, fresh_tables: bool = False
) -> ImageCodec:
    """The codec of a shipped model, a weights file or a training checkpoint, for evaluation.

    Nothing in the file is executed: weights load with ``weights_only=True`` and only this
    package's components are built, unless ``trusted``.

    Args:
        name_or_path: a name of ``tngexp.zoo``, or a file that :func:`save` or
            ``python -m tngexp.train`` wrote; a name of the zoo goes first.
        trusted: also build components from outside of this package that the file names.
        fresh_tables: leave the stored integer tables alone and derive them anew when something is
            coded; a codec with other tables does not read the files of the former ones.

    Returns:
        The codec in evaluation mode, on the CPU: call it for reconstructions and estimated bits,
        ``compress`` and ``decompress`` for files, ``.model`` for its parts.

    Raises:
        CheckpointError: naming the file and what is wrong with it.
    """
    path = locate(name_or_path)
    checkpoint = read_checkpoint(path)
    try:
        codec = Codec.from_config(checkpoint["tngexp"]["codec"], trusted=trusted)
    except (ConfigError, KeyError, TypeError, AttributeError) as error:
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
    trained_for = objective(checkpoint["tngexp"])
    codec.objective = None if trained_for is None else trained_for._asdict()
    # Convolutions on CPUs run up to twice as fast with the channels innermost.
    codec.to(memory_format=torch.channels_last)
    codec.eval()
    stored = None if fresh_tables else checkpoint["tngexp"].get("coding")
    return ImageCodec(codec, None if stored is None else _tables(codec, stored, path)).eval()


def _tables(codec: Codec, stored: Mapping[str, Tensor], path: Path) -> CodingTables:
    """Stored integer tables, if they were made of these weights; older files do not say."""
    digest = stored.get(DIGEST)
    if digest is not None and bytes(digest.tolist()) != tables_digest(codec):
        raise CheckpointError(
            f"{path}: its coding tables were made of other weights than it holds. Load it with "
            "tngexp.load(path, fresh_tables=True) and save it with tngexp.io.save, or use the "
            "file that was not changed"
        )
    try:
        return CodingTables.from_state(stored, codec)
    except ConfigError as error:
        raise CheckpointError(
            f"{path}: {error}. Load it with tngexp.load(path, fresh_tables=True) and save it with "
            "tngexp.io.save"
        ) from error


def save(codec: ImageCodec | Codec, path: str | Path, *, half: bool = False) -> None:
    """Write a codec as :func:`load` reads it, with its integer tables, whole or not at all.

    A name in ``.safetensors`` gives a file that any program can read without running code.

    Args:
        codec: built from a configuration, in evaluation mode.
        path: the file to write; replaced if it exists.
        half: round the weights to half precision, which halves the file. The rounded codec is
            another model than ``codec``: its integer tables are derived anew, and neither reads
            the other's files.

    Raises:
        ConfigError: for a codec that has no configuration or no bitstream form, or whose weights
            are too large for half precision.
    """
    codec = codec if isinstance(codec, ImageCodec) else ImageCodec(codec)
    if codec.model.config is None:
        raise ConfigError("only a codec built with Codec.from_config can be saved")
    path = Path(path)
    if half:
        codec = ImageCodec(_rounded(codec.model))
    weights = {
        f"{_PREFIX}{name}": t.half() if half and t.is_floating_point() else t
        for name, t in codec.model.state_dict().items()
    }
    tables = stored_tables(codec)
    about = {
        "format": 1,
        "version": tngexp.__version__,
        "codec": codec.model.config,
        "objective": codec.model.objective or {},
    }
    beside = path.with_name(f".{path.name}.partial")
    try:
        if path.suffix == SAFETENSORS:
            content = weights | {f"{_TABLES}{name}": t for name, t in tables.items()}
            content = {name: t.detach().contiguous() for name, t in content.items()}
            save_file(content, beside, {"tngexp": json.dumps(about, sort_keys=True)})
        else:
            torch.save({"state_dict": weights, "tngexp": {**about, "coding": tables}}, beside)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def stored_tables(codec: ImageCodec) -> dict[str, Tensor]:
    """The integer tables of a codec as they stand in a file, with the digest of their weights.

    Raises:
        ConfigError: for a codec that has no bitstream form.
    """
    digest = torch.tensor(list(tables_digest(codec.model)), dtype=torch.uint8)
    return codec.tables().to_state() | {DIGEST: digest}


def identity(codec: ImageCodec) -> dict[str, str]:
    """What a codec's files and figures depend on: all weights, tables and options.

    Returns:
        The fingerprint that its files carry as ``model``, which has four bytes and covers no option
        that is not a weight, and beside it ``weights_sha256`` and ``config_sha256``.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(codec.model.state_dict().items()):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(tensor.cpu().contiguous().numpy()).tobytes())
    config = json.dumps(codec.model.config, sort_keys=True, default=str)
    return {
        "model": codec.fingerprint().hex(),
        "weights_sha256": digest.hexdigest(),
        "config_sha256": hashlib.sha256(config.encode()).hexdigest(),
    }


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
            hint = f" (shipped models: {', '.join(zoo.MODELS)})"
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
            about = json.loads((file.metadata() or {})["tngexp"])
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
        name.removeprefix(_TABLES): t for name, t in tensors.items() if name.startswith(_TABLES)
    }
    weights = {
        name: t.float() if t.dtype == torch.float16 else t
        for name, t in tensors.items()
        if not name.startswith(_TABLES)
    }
    tngexp_entry = about | ({"coding": tables} if tables else {})
    return _checked({"state_dict": weights, "tngexp": tngexp_entry}, path)


def _rounded(codec: Codec) -> Codec:
    """A copy with weights that half precision holds, and tables to go with them."""
    rounded = Codec.from_config(codec.config or {}, trusted=True)
    rounded.objective = codec.objective
    weights = {
        name: t.half().to(t.dtype) if t.is_floating_point() else t
        for name, t in codec.state_dict().items()
    }
    if not all(bool(torch.isfinite(t).all()) for t in weights.values() if t.is_floating_point()):
        raise ConfigError("the weights leave the range of half precision; save without half")
    rounded.load_state_dict(weights)
    return rounded.eval()


def locate(name_or_path: str | Path) -> Path:
    """The file of a shipped model, or the file itself.

    The name of a shipped model never stands for what happens to be called so in the current
    folder: a path has a separator or a suffix, as ``./tng-objective``, or is a ``Path``.
    """
    path = Path(name_or_path).expanduser()
    if str(name_or_path) in zoo.MODELS and (isinstance(name_or_path, str) or not path.exists()):
        return zoo.path(str(name_or_path))
    return path
