"""The codec that a command works with."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tngexp import zoo

if TYPE_CHECKING:
    from tngexp.bitstream import ImageCodec

__all__ = ["MODEL_VARIABLE", "load_model", "model_of"]

MODEL_VARIABLE = "TNGEXP_MODEL"


def load_model(name: str | None) -> ImageCodec:
    """The codec called ``name``, or what the environment variable names, or the default.

    Raises:
        TngexpError: when it is unusable.
    """
    from tngexp.io import load

    return load(name or os.environ.get(MODEL_VARIABLE) or zoo.DEFAULT)


def model_of(data: bytes) -> str | None:
    """The shipped model that a ``.tng`` file was coded with, if it says so.

    Raises:
        BitstreamError: when the file is damaged or foreign.
    """
    from tngexp.coding import read

    return zoo.name_of(read(data).model)
