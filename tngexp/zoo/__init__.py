"""The trained codecs that ship with the package: ``tngexp.load("tng-objective")``.

Each is a safetensors file beside this one, pinned by its SHA-256, with a model card in
``docs/models/``.

A codec that a better one replaces under its name stays beside it as NAME-1, NAME-2 …, for the files
that were written with it: NAME is always the newest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tngexp.errors import CheckpointError

__all__ = [
    "DEFAULT",
    "DEFAULT_NETWORK",
    "EARLIER",
    "LOOKS",
    "MODELS",
    "NETWORKS",
    "Shipped",
    "called",
    "codec",
    "file_of",
    "generations",
    "is_shipped",
    "look_path",
    "name_at",
    "name_of",
    "path",
]


class Shipped(NamedTuple):
    """What pins a model, and what is to be known of it without reading it."""

    sha256: str  # of the weights file
    fingerprint: str  # by which its .tng files name it, in hexadecimal
    preset: str = "tng"  # model=… of its architecture
    trained_for: str = ""  # in words
    objective: Mapping[str, Any] | None = None  # where its file tells λ alone, which would mislead


MODELS: dict[str, Shipped] = {
    "tng-objective": Shipped(
        "0ed10b003bdc27c1f365f39c1203a5a588caccca6b113416540d2a5c160a271d",
        "702da331",
        preset="tng2",
        trained_for="PSNR",
    ),
    "tng-subjective": Shipped(
        "6a43b59a0f01fd79453cf69a9b0fffe6e315753c94d768f0a0ada4139ccef1f6",
        "9c83d7d5",
        trained_for="MS-SSIM",
    ),
    "tng-mixed": Shipped(
        "4584cc8bdba3a46b4565cebde9b87c14adcae57b2107fc1b365d49e2cd7bc355",
        "44fc6df9",
        trained_for="MS-SSIM and PSNR",
        objective={"distortion": "mixed", "msssim_weight": 0.9, "mse_weight": 0.00009},
    ),
}
"""The codecs to choose from, each the newest of its name."""

EARLIER: dict[str, Shipped] = {
    "tng-objective-1": Shipped(
        "f70d58ba72baa41b7b5d2000489eee0fdab7876019e65d3a15b3a8c845e803b1",
        "352e396b",
        trained_for="PSNR",
    ),
}
"""Earlier generations, as NAME-1, NAME-2 …: they decode the files that were written with them, and
load, code and compare like any other."""

DEFAULT = "tng-objective"
"""What compressing uses unless told otherwise."""

LOOKS: dict[str, str] = {
    "tng-mixed": "720b0940d729862bd3c22b83a6e9e9166e033ff07cd984d36e846963d46aa802",
}
"""Codecs that have a look (``docs/how-to/train-a-look.md``), and the SHA-256 of its file,
``NAME.look.safetensors`` beside this one."""

NETWORKS: dict[str, str] = {
    "restore-mse": "8d63e0d1e2a2c724eb5fe5070999e1c09fe1190e0ddb281eba4653147b2067aa",
    "restore-msssim": "5ff8ca0ea8cb48c812422874e1028be63757c5cb4bc7e709d9033a7d2cac1cf1",
    "restore-light": "71e48753287c9bfc9b3dbca0baed290d888697d6b78fa19531f253ac918b12cc",
}
"""Networks behind conventional codecs (``docs/hybrid.md``), and the SHA-256 of their files."""

DEFAULT_NETWORK = "restore-mse"
"""What restoring uses unless told otherwise."""


def path(name: str) -> Path:
    """The weights file of a shipped codec or network.

    Raises:
        CheckpointError: for an unknown name, or a file that is missing or was changed.
    """
    pinned = {**{name: c.sha256 for name, c in _codecs().items()}, **NETWORKS}
    if name not in pinned:
        known = ", ".join([*MODELS, *NETWORKS])
        raise CheckpointError(f"there is no shipped model called {name}; shipped: {known}")
    return _unchanged(file_of(name), pinned[name])


def codec(name: str) -> Shipped:
    """What pins the shipped codec ``name``, of whatever generation."""
    return _codecs()[name]


def is_shipped(name: str) -> bool:
    """Whether a codec, of whatever generation, or a network of this name comes with the package."""
    return name in _codecs() or name in NETWORKS


def look_path(name: str) -> Path:
    """The file of the look that ships for the codec ``name``, one of ``LOOKS``.

    Raises:
        CheckpointError: for a file that is missing or was changed.
    """
    return _unchanged(file_of(f"{name}.look"), LOOKS[name])


def file_of(name: str) -> Path:
    """Where the file of that name lies, or would."""
    return Path(__file__).with_name(f"{name}.safetensors")


def _unchanged(file: Path, sha256: str) -> Path:
    try:
        found = hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise CheckpointError(f"{file}: {error.strerror}; install tngexp again") from error
    if found != sha256:
        raise CheckpointError(f"{file} is not the file that was shipped; install tngexp again")
    return file


def name_of(fingerprint: bytes) -> str | None:
    """The shipped codec, of whatever generation, whose files carry this fingerprint."""
    wanted = fingerprint.hex()
    return next((name for name, c in _codecs().items() if c.fingerprint == wanted), None)


def name_at(file: Path) -> str | None:
    """The shipped codec, of whatever generation, whose weights file this is."""
    return next((name for name in _codecs() if file == file_of(name)), None)


def called(fingerprint: bytes) -> str:
    """A model's fingerprint for messages, with its name where it ships: ``352e396b (NAME)``."""
    name = name_of(fingerprint)
    return fingerprint.hex() + (f" ({name})" if name else "")


def generations(name: str) -> list[str]:
    """A shipped codec and the earlier ones of its name; of any other name that name alone."""
    return [name, *(old for old in EARLIER if name in MODELS and old.rpartition("-")[0] == name)]


def _codecs() -> dict[str, Shipped]:
    return {**MODELS, **EARLIER}
