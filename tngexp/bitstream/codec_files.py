"""Trained codecs as files: loading and saving them with their coding tables."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

import tngexp
from tngexp import zoo
from tngexp.bitstream import CodingTables, ImageCodec, tables_digest
from tngexp.bitstream.looks import read_look
from tngexp.bitstream.tables import DIGEST
from tngexp.common.atomic import replacing
from tngexp.model.codec import Codec
from tngexp.model.files import SAFETENSORS, TABLES, locate, read_checkpoint, shipped_look
from tngexp.model.objective import objective
from tngexp.types import CheckpointError, ConfigError

__all__ = ["identity", "load", "save", "stored_tables"]

_PREFIX = "codec."


def load(
    name_or_path: str | Path,
    *,
    trusted: bool = False,
    fresh_tables: bool = False,
    look: str | Path | None = None,
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
        look: the file of a look, for ``decompress(…, look=1)``; None for the one that ships with
            the codec, if any does. ``docs/how-to/train-a-look.md`` tells of them.

    Returns:
        The codec in evaluation mode, on the CPU: call it for reconstructions and estimated bits,
        ``compress`` and ``decompress`` for files, ``.model`` for its parts.

    Raises:
        CheckpointError: naming the file and what is wrong with it, be it the codec's or the look's.
        ConfigError: for a look where the codec has no bitstream form.
    """
    chosen = None if look is None else read_look(look, trusted=trusted)
    path = locate(name_or_path)
    checkpoint = read_checkpoint(path)
    if "post" in checkpoint["tngexp"]["codec"]:
        raise CheckpointError(
            f"{path}: a network behind conventional codecs, which codes nothing itself: use it "
            f"with tng restore, or compare it with anchors=[jpeg,jpeg+{path}]"
        )
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
    if trained_for is not None:
        name = zoo.name_at(path)
        if name is not None and trained_for.distortion is None:
            trained_for = trained_for._replace(**(zoo.codec(name).objective or {}))
        codec.objective = trained_for.as_dict()
    # Convolutions on CPUs run up to twice as fast with the channels innermost.
    codec.to(memory_format=torch.channels_last)
    codec.eval()
    stored = None if fresh_tables else checkpoint["tngexp"].get("coding")
    tables = None if stored is None else _tables(codec, stored, path)
    coder = ImageCodec(codec, tables, chosen or shipped_look(path)).eval()
    if chosen is not None:
        coder.look()  # one of another codec shows now
    return coder


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
    with replacing(path) as temporary:
        if path.suffix == SAFETENSORS:
            content = weights | {f"{TABLES}{name}": t for name, t in tables.items()}
            content = {name: t.detach().contiguous() for name, t in content.items()}
            save_file(content, temporary, {"tngexp": json.dumps(about, sort_keys=True)})
        else:
            torch.save({"state_dict": weights, "tngexp": {**about, "coding": tables}}, temporary)


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
