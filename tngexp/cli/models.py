"""The codec that a command works with."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tngexp.types import ConfigError

if TYPE_CHECKING:
    from tngexp.codec import Codec

__all__ = ["MODEL_VARIABLE", "load_model"]

MODEL_VARIABLE = "TNGEXP_MODEL"


def load_model(name: str | None) -> Codec:
    """The codec of a checkpoint, ``name`` or else what the environment variable names.

    Raises:
        TngexpError: when neither is given or the checkpoint is unusable.
    """
    name = name or os.environ.get(MODEL_VARIABLE)
    if not name:
        raise ConfigError(
            "no model given: name the checkpoint of a trained codec with --model CHECKPOINT, "
            f"or in the environment variable {MODEL_VARIABLE}"
        )
    from tngexp.io import load

    return load(name)
