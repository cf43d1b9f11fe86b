"""The codec that a command works with."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tngexp import zoo

if TYPE_CHECKING:
    from tngexp.bitstream import ImageCodec

__all__ = ["MODEL_VARIABLE", "load_model", "model_of"]

MODEL_VARIABLE = "TNGEXP_MODEL"


def load_model(name: str | None, look: str | None = None) -> ImageCodec:
    """The codec called ``name``, or what the environment variable names, or the default.

    It is ready to code, compiled loops included.

    Args:
        name: a shipped model or a file; None for the default.
        look: the file of a look for it; None for the one that ships with it, if any does.

    Raises:
        TngexpError: when it is unusable.
    """
    with _starting():
        # Here and not at the top: --help does without torch, and info without a model.
        from tngexp.bitstream.codec_files import load
        from tngexp.coding import Encoder

        codec = load(name or os.environ.get(MODEL_VARIABLE) or zoo.DEFAULT, look=look)
        codec.prepare()
        Encoder()  # imports the compiled loops
    return codec


def model_of(data: bytes) -> str | None:
    """The shipped model that a ``.tng`` file was coded with, if it says so.

    Raises:
        BitstreamError: when the file is damaged or foreign.
    """
    from tngexp.coding.container import read

    return zoo.name_of(read(data).model)


@contextmanager
def _starting() -> Iterator[None]:
    """Import and load at the least cost: a photo is coded in less time than torch takes to load."""
    # Threads that wait for work would spin until they are out of patience, on cores that
    # others may need, and between the short networks of a photo there is much to wait for.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    collecting = gc.isenabled()
    gc.disable()  # modules are not garbage: looking for it takes a fifth of the time
    try:
        yield
    finally:
        gc.freeze()  # nor will they be
        if collecting:
            gc.enable()
