"""What happens to a picture before a codec sees it, and the way back: ``pre=…``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tngexp.types import ConfigError

__all__ = ["FACTORS", "Downscale", "enlarged", "factor_between", "smaller"]

FACTORS = (1.0, 1.5, 2.0)
"""By how much a picture may be made smaller, per axis."""


@final
class Downscale:
    """The factors that a network is trained for; ``pre=identity`` is the one of factor 1.

    Args:
        factors: some of ``FACTORS``, of which each training sample gets one.

    Raises:
        ConfigError: for another factor, or none.
    """

    def __init__(self, factors: Sequence[float] = (1,)) -> None:
        wrong = [f for f in factors if isinstance(f, bool) or f not in FACTORS]
        if wrong or not factors:
            allowed = ", ".join(f"{f:g}" for f in FACTORS)
            raise ConfigError(f"pre.factors={list(factors)} must be some of {allowed}.")
        self.factors = tuple(float(f) for f in dict.fromkeys(factors))


def smaller(rgb: NDArray[np.uint8], factor: float) -> NDArray[np.uint8]:
    """(H, W, 3) → (⌈H/factor⌉, ⌈W/factor⌉, 3), antialiased (Lanczos, three lobes)."""
    if factor == 1:
        return rgb
    height, width = _side_lengths(rgb.shape[0], rgb.shape[1], factor)
    image = Image.fromarray(rgb).resize((width, height), Image.Resampling.LANCZOS)
    return np.asarray(image)


def enlarged(rgb: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """(h, w, 3) → (height, width, 3), bicubic: what a viewer without the network shows."""
    if rgb.shape[:2] == (height, width):
        return rgb
    image = Image.fromarray(rgb).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(image)


def factor_between(small: tuple[int, ...], height: int, width: int) -> float | None:
    """The one of ``FACTORS`` by which :func:`smaller` makes a picture of (height, width) ``small``.

    None if none does. Of several, which only pictures of a few pixels have, the nearest one.
    """
    fitting = [f for f in FACTORS if small[:2] == _side_lengths(height, width, f)]
    ratio = math.sqrt(height * width / (small[0] * small[1]))
    return min(fitting, key=lambda factor: abs(factor - ratio), default=None)


def _side_lengths(height: int, width: int, factor: float) -> tuple[int, int]:
    return math.ceil(height / factor), math.ceil(width / factor)
