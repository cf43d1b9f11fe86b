"""The trained codecs that ship with the package: ``tngexp.load("tng-objective")``.

Each is a safetensors file beside this one, pinned by its SHA-256, with a model card in
``docs/models/``.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

from tngexp.types import CheckpointError

__all__ = ["DEFAULT", "MODELS", "Shipped", "name_of", "path"]


class Shipped(NamedTuple):
    """What pins a model."""

    sha256: str  # of the weights file
    fingerprint: str  # by which its .tng files name it, in hexadecimal


MODELS: dict[str, Shipped] = {
    "tng-objective": Shipped(
        "583e34c24c67cc37b6265f9ace63c972c863367c5f47b9eb09ece4463fa724da",
        "31d505b9",
    ),
    "tng-subjective": Shipped(
        "3bcc2186abb79c501fc5fef1c23c82a84d999aedc1af94aa9b3e5160f0c118dc",
        "47cd817b",
    ),
    "tng-mixed": Shipped(
        "95572d100d70118701a4245179a00ad62f938d3ceb14956ec657d928e9d2869f",
        "13f080c3",
    ),
}

DEFAULT = "tng-objective"
"""What compressing uses unless told otherwise."""


def path(name: str) -> Path:
    """The weights file of a shipped model.

    Raises:
        CheckpointError: for an unknown name, or a file that is missing or was changed.
    """
    if name not in MODELS:
        known = ", ".join(MODELS) or "none"
        raise CheckpointError(f"there is no shipped model called {name}; shipped: {known}")
    file = Path(__file__).with_name(f"{name}.safetensors")
    try:
        found = hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise CheckpointError(f"{file}: {error.strerror}; install tngexp again") from error
    if found != MODELS[name].sha256:
        raise CheckpointError(f"{file} is not the file that was shipped; install tngexp again")
    return file


def name_of(fingerprint: bytes) -> str | None:
    """The shipped model that a ``.tng`` file with this fingerprint was coded with."""
    wanted = fingerprint.hex()
    return next((name for name, model in MODELS.items() if model.fingerprint == wanted), None)
