"""What the report's viewer shows: originals and reconstructions with their figures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Reconstruction", "ViewerImage"]


@dataclass(frozen=True)
class Reconstruction:
    """An image as a codec gave it back from a real file."""

    curve: str  # key of its Curve
    setting: str  # setting of its RDPoint
    bytes: int
    bpp: float
    psnr_db: float | None
    ms_ssim: float | None
    rgb: NDArray[np.uint8]  # (H, W, 3)


@dataclass(frozen=True)
class ViewerImage:
    """An original and what the codecs made of it, several rates each."""

    name: str
    original: NDArray[np.uint8]  # (H, W, 3)
    versions: tuple[Reconstruction, ...]
