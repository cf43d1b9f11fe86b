"""From a training to the file of a look."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import save_file
from torch import Tensor

import tngexp
from tngexp import zoo
from tngexp.bitstream import ImageCodec
from tngexp.bitstream.codec_files import load
from tngexp.bitstream.looks import FORMAT, NOISE, SYNTHESIS
from tngexp.common.atomic import replacing
from tngexp.model.files import LOOK, SAFETENSORS, locate, read_checkpoint
from tngexp.types import CheckpointError, ConfigError

__all__ = ["SavedLook", "save_look"]

_OWN = {"transform.synthesis.": SYNTHESIS, "noise.": NOISE}
"""What a look brings, by its names in a codec and in a look's file."""


class SavedLook(NamedTuple):
    """What :func:`save_look` wrote."""

    path: Path
    codec: str  # whose files it is for, as it was named
    model: str  # by which those files name it, in hexadecimal
    bytes: int


def save_look(
    trained: str | Path,
    path: str | Path,
    *,
    of: str | Path | None = None,
    trusted: bool = False,
) -> SavedLook:
    """Write the look that a training gave, in half precision, whole or not at all.

    Args:
        trained: the checkpoint of a training that left all but synthesis and noise as they were,
            as ``experiment=tng_perceptual`` does.
        path: the file to write, in ``.safetensors``; replaced if it exists.
        of: the codec for whose files it is; None for what the training started from.
        trusted: also build components from outside of this package that the checkpoint names.

    Raises:
        CheckpointError: for unusable files, or a training that changed more than it may.
        ConfigError: for a name without ``.safetensors``, a checkpoint that does not tell what it
            started from, weights too large for half precision, or a codec without a bitstream form.
    """
    path = Path(path)
    if path.suffix != SAFETENSORS:
        raise ConfigError(f"{path}: a look is a {SAFETENSORS} file; give it such a name")
    source = locate(trained)
    content = read_checkpoint(source)["tngexp"]
    if of is None:
        of = (content.get("config") or {}).get("init_from")
        if not of:
            raise ConfigError(
                f"{source} does not tell which codec its training started from: name the codec for "
                "whose files the look is, --of CODEC or of=…"
            )
    run, base = load(source, trusted=trusted), load(of, trusted=trusted)
    weights = _weights(run, base, source, of)
    model = base.fingerprint().hex()
    about = {
        "format": FORMAT,
        "version": tngexp.__version__,
        "model": model,
        "synthesis": (run.model.config or {}).get("transform"),
        "noise": (run.model.config or {}).get("noise"),
        "objective": run.model.objective or {},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        save_file(weights, temporary, {LOOK: json.dumps(about, sort_keys=True)})
    return SavedLook(path, str(of), model, path.stat().st_size)


def _weights(run: ImageCodec, base: ImageCodec, source: Path, of: str | Path) -> dict[str, Tensor]:
    """What ``run`` has of its own, in half precision, where all else is as in ``base``."""
    state = run.model.state_dict()
    changed = _changed(run, base)
    if changed:
        parts = ", ".join(dict.fromkeys(_part(name) for name in changed))
        for earlier in zoo.generations(str(of))[1:]:
            if not _changed(run, load(earlier)):
                raise CheckpointError(
                    f"{source}: no look for {of}, whose files it does not read, but for "
                    f"{earlier}, which had that name when it was trained: --of {earlier}"
                )
        raise CheckpointError(
            f"{source}: no look for {of}, whose files it does not read, since the two differ in "
            f"{parts}. Train with init_from={of} and freeze=[transform.analysis,prior,rate], or "
            "name the codec that it started from, --of CODEC or of=…"
        )
    shapes = [
        {name: t.shape for name, t in codec.model.transform.synthesis.state_dict().items()}
        for codec in (run, base)
    ]
    if shapes[0] != shapes[1]:
        raise CheckpointError(
            f"{source}: no look for {of}, whose synthesis has another form, so that nothing lies "
            "between the two: train with the options of its encoder"
        )
    weights = {}
    for own, prefix in _OWN.items():
        for name, tensor in state.items():
            if name.startswith(own):
                half = tensor.half() if tensor.is_floating_point() else tensor
                if half.is_floating_point() and not bool(torch.isfinite(half).all()):
                    raise ConfigError(f"{source}: {name} leaves the range of half precision")
                weights[prefix + name.removeprefix(own)] = half.detach().contiguous()
    return weights


def _changed(run: ImageCodec, base: ImageCodec) -> list[str]:
    """Names of the tensors that differ and are not a look's own."""
    state, before = run.model.state_dict(), base.model.state_dict()
    return [
        name
        for name in sorted(state.keys() | before.keys())
        if not name.startswith(tuple(_OWN))
        and not (name in state and name in before and torch.equal(state[name], before[name]))
    ]


def _part(name: str) -> str:
    """The part of a codec that a tensor belongs to, as ``freeze`` names it."""
    return "transform.analysis" if name.startswith("transform.") else name.partition(".")[0]
