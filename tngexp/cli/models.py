"""The codec that a command works with."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tngexp import zoo
from tngexp.types import ConfigError

if TYPE_CHECKING:
    from tngexp.codec import Codec

__all__ = ["MODEL_VARIABLE", "load_model", "model_of"]

MODEL_VARIABLE = "TNGEXP_MODEL"


def load_model(name: str | None) -> Codec:
    """The codec called ``name``, or what the environment variable names, or the default.

    Raises:
        TngexpError: when there is none, or it is unusable.
    """
    name = name or os.environ.get(MODEL_VARIABLE) or next(iter(zoo.MODELS), None)
    if name is None:
        raise ConfigError(
            "no model given: name the checkpoint of a trained codec with --model CHECKPOINT, "
            f"or in the environment variable {MODEL_VARIABLE}"
        )
    from tngexp.io import load

    return load(name)


def model_of(data: bytes) -> str | None:
    """The shipped model that a ``.tng`` file was coded with, if it says so.

    Raises:
        BitstreamError: when the file is damaged or foreign.
    """
    from tngexp.coding import read

    return zoo.name_of(read(data).model)
