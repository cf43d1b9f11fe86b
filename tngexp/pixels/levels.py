"""Which of 256 levels a number stands for: the one place where white is defined.

============================  ===============================================
numbers                       white
============================  ===============================================
8 bits                        255
16 bits, unsigned             65535; level = value / 257, rounded
floats in arrays and tensors  1; level = 255 · value, rounded
booleans                      True
anything else                 not defined: refused, never guessed
============================  ===============================================

Anything else are signed and 32-bit integers, and floats beyond 0 … 1. Pillow's float and 32-bit
images (modes F and I) are among them, whatever their range: what writes them means 0 … 1, 0 … 255,
0 … 65535 or a physical unit, and nothing in the file says which.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tngexp.errors import ConfigError

__all__ = ["scaled", "to_levels"]

_HALF_LEVEL = 0.5 / 255  # what still rounds to black or white


def to_levels(values: NDArray[Any]) -> NDArray[np.uint8]:
    """The levels of an array of any shape, by the table above.

    Raises:
        ConfigError: for numbers without a defined white.
    """
    kind = values.dtype
    if kind == np.uint8:
        return values
    if kind == np.bool_:
        return values * np.uint8(255)
    if kind.kind == "u" and kind.itemsize == 2:
        return scaled(values, 65535)
    if kind.kind != "f":
        raise ConfigError(
            f"pixels of type {kind} have no defined white: give uint8 (0 … 255), uint16 "
            "(0 … 65535) or floats (0 … 1)"
        )
    if not values.size:
        return values.astype(np.uint8)
    least, most = float(values.min()), float(values.max())
    if not np.isfinite([least, most]).all():
        raise ConfigError("float pixels must lie in 0 … 1, and these hold NaN or infinity")
    if not (least >= -_HALF_LEVEL and most <= 1 + _HALF_LEVEL):
        raise ConfigError(
            f"float pixels must lie in 0 … 1, and these lie in {least:.4g} … {most:.4g}: divide "
            "them by the value of white (255 for 0 … 255), undo a normalisation, or clip what "
            "overshoots"
        )
    return np.asarray(np.rint(values.clip(0, 1) * 255), np.uint8)


def scaled(values: NDArray[Any], white: int) -> NDArray[np.uint8]:
    """The nearest levels of unsigned integers in 0 … ``white``."""
    wide = values.astype(np.uint32)
    return np.asarray((wide * 255 + white // 2) // white, np.uint8)
