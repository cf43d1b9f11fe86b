"""Looks as files: a second synthesis for the files of one codec, by its id."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from torch import Tensor

from tngexp import zoo
from tngexp.common.folders import expanded
from tngexp.model.build import build
from tngexp.model.codec import Codec
from tngexp.model.files import LOOK, begins_like_safetensors
from tngexp.types import CheckpointError, ConfigError, Noise

__all__ = ["FORMAT", "NOISE", "SYNTHESIS", "Look", "check_look", "read_look"]

FORMAT = 1
"""Of look files; a later one may be unreadable for this version."""

SYNTHESIS, NOISE = "synthesis.", "noise."
"""What the names of a look's tensors begin with."""


class Look(NamedTuple):
    """A second synthesis for the files of one codec."""

    path: Path
    model: bytes  # the four bytes by which the codec's files name it
    sha256: str  # of the look's file
    synthesis: Mapping[str, Tensor]  # the state of a synthesis like the codec's, float32
    noise: Noise | None  # as it stands in the file; None for a look without noise

    def check(self, codec: Codec, fingerprint: bytes) -> None:
        """Make sure that the look belongs to ``codec``, whose files say ``fingerprint``.

        Raises:
            CheckpointError: unless it does.
        """
        if self.model != fingerprint:
            raise CheckpointError(
                f"{self.path}: a look for model {zoo.called(self.model)}, and this is model "
                f"{zoo.called(fingerprint)}: take the codec that it was trained for, or train one "
                "for this codec (docs/how-to/train-a-look.md)"
            )
        own = {name: t.shape for name, t in codec.transform.synthesis.state_dict().items()}
        if own != {name: t.shape for name, t in self.synthesis.items()} or not self._noise_fits(
            codec
        ):
            raise CheckpointError(
                f"{self.path}: its weights are not those of a synthesis of model "
                f"{fingerprint.hex()}; make it anew with tng look"
            )

    def _noise_fits(self, codec: Codec) -> bool:
        if self.noise is None or codec.noise is None:
            return True
        shapes = [
            {n: t.shape for n, t in m.state_dict().items()} for m in (self.noise, codec.noise)
        ]
        return shapes[0] == shapes[1]


def check_look(look: Any) -> float:
    """``look`` as a number.

    Raises:
        ConfigError: unless it is one from 0 to 1.
    """
    number = isinstance(look, int | float) and not isinstance(look, bool)
    if not number or not 0 <= look <= 1:
        raise ConfigError(f"look must be a number in 0 … 1 (0: as it was trained), not {look!r}")
    return float(look)


def read_look(path: str | Path, *, trusted: bool = False) -> Look:
    """The look in a file that ``tng look`` made.

    Args:
        path: the file.
        trusted: also build noise from outside of this package that the file names.

    Raises:
        CheckpointError: when it is missing, damaged or something else.
    """
    path = expanded(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path}: no readable look ({error.strerror})") from error
    if not begins_like_safetensors(data[:9], len(data)):
        raise CheckpointError(
            f"{path}: not a look; it is damaged, incomplete or of another kind. A training's "
            "checkpoint becomes a look with tng look"
        )
    about = _about(data, path)
    try:
        tensors = load_tensors(data)
    except (SafetensorError, ValueError, KeyError) as error:
        raise CheckpointError(f"{path}: the look is damaged or incomplete") from error
    weights = {name: t.float() if t.is_floating_point() else t for name, t in tensors.items()}
    if not all(bool(torch.isfinite(t).all()) for t in weights.values() if t.is_floating_point()):
        raise CheckpointError(f"{path}: the look is damaged: its weights are not finite")
    try:
        model = bytes.fromhex(about["model"])
        noise = _noise(about.get("noise"), _under(NOISE, weights), trusted)
    except (ConfigError, KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        reason = f": {error}" if isinstance(error, ConfigError) else ""
        raise CheckpointError(f"{path}: the look is damaged{reason}") from error
    digest = hashlib.sha256(data).hexdigest()
    return Look(path, model, digest, _under(SYNTHESIS, weights), noise)


def _about(data: bytes, path: Path) -> dict[str, Any]:
    """What the file says of itself."""
    size = int.from_bytes(data[:8], "little")
    try:
        metadata = json.loads(data[8 : 8 + size]).get("__metadata__") or {}
        about = json.loads(metadata[LOOK])
        version = int(about["format"])
    except KeyError as error:
        raise CheckpointError(
            f"{path}: safetensors, but not a look. A training's checkpoint becomes one with "
            "tng look"
        ) from error
    except (ValueError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path}: the look is damaged") from error
    if version > FORMAT:
        raise CheckpointError(
            f"{path}: written by a newer tngexp (looks of format {version}, this one knows up to "
            f"{FORMAT}); update tngexp"
        )
    assert isinstance(about, dict)
    return about


def _noise(config: Any, state: Mapping[str, Tensor], trusted: bool) -> Noise | None:
    if config is None:
        return None
    noise = build(config, trusted=trusted, option="noise")
    if not isinstance(noise, Noise):
        raise ConfigError("what it calls noise is something else")
    noise.load_state_dict(state)
    return noise.eval().requires_grad_(False)


def _under(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): t for n, t in state.items() if n.startswith(prefix)}
