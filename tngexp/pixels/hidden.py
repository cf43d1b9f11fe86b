"""Colours that nobody sees, replaced by ones that cost little.

Most editors keep the photo under a cut-out's transparent part. Coded, it takes as many bits as what
is seen. A transform sees a whole neighbourhood, so the best filling goes on smoothly from what is
visible: the image is halved, taking the mean of visible pixels only, until no hole is left, and the
holes are filled from the halved image on the way back (Gortler et al. 1996, "The Lumigraph",
section 3.4.2: pull and push).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["fill_hidden"]


def fill_hidden(rgb: NDArray[np.uint8], hidden: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """``rgb`` (H, W, 3) with the pixels where ``hidden`` (H, W) interpolated from the others."""
    if not hidden.any():
        return rgb
    if hidden.all():
        return np.full_like(rgb, 128)
    height, width = hidden.shape
    half, holes = _halve(rgb, hidden)
    filled = Image.fromarray(fill_hidden(half, holes))
    size = (2 * filled.width, 2 * filled.height)
    smooth = np.asarray(filled.resize(size, Image.Resampling.BILINEAR))[:height, :width]
    return np.where(hidden[..., None], smooth, rgb)


def _halve(
    rgb: NDArray[np.uint8], hidden: NDArray[np.bool_]
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Means of the visible among four pixels; hidden where none of them is visible."""
    height, width = (-(-side // 2) for side in hidden.shape)
    total = np.zeros((height, width, 3), np.uint16)
    count = np.zeros((height, width, 1), np.uint16)
    for top in (0, 1):
        for left in (0, 1):
            seen = ~hidden[top::2, left::2, None]
            rows, columns = seen.shape[:2]  # one less at an odd border
            total[:rows, :columns] += rgb[top::2, left::2] * seen
            count[:rows, :columns] += seen
    mean = (total + count // 2) // np.maximum(count, 1)
    return mean.astype(np.uint8), count[..., 0] == 0
