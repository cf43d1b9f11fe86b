"""Any image to what a codec codes: 8-bit RGB, and beside it what RGB cannot hold."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from tngexp.errors import ConfigError
from tngexp.pixels.colour import Colour, colour_of, in_srgb
from tngexp.pixels.hidden import fill_hidden
from tngexp.pixels.levels import to_levels
from tngexp.pixels.modes import Levels, image_levels

__all__ = ["Picture", "Source", "to_picture"]

_ORIENTATION = 0x0112
_MAX_ICC = 1 << 20


class Picture(NamedTuple):
    """An image as a codec sees it."""

    rgb: Tensor  # (3, H, W), uint8
    mode: str  # L, LA, RGB or RGBA: what comes back
    alpha: NDArray[np.uint8] | None = None  # (H, W)
    icc: bytes | None = None
    cicp: bytes | None = None  # colour primaries, transfer, matrix, full range of ITU-T H.273
    orientation: int | None = None  # EXIF orientation 2 … 8 still to be applied; None for upright


Source = Image.Image | Tensor | NDArray[Any] | Picture
"""What can be coded."""


def to_picture(image: Source, exact: bool = False) -> Picture:
    """The picture of a Pillow image of any mode, a tensor or an array.

    Tensors have the shape (3, H, W), (1, H, W) or (1, 3, H, W); arrays (H, W) or (H, W, 1 … 4),
    with two channels for grey and alpha and four for RGBA. Both hold uint8, uint16, bool, or floats
    in 0 … 1. Alpha that is opaque everywhere is left out. A picture stays as it is.

    Args:
        image: what to code. A Pillow image is loaded; of several frames the current one counts.
        exact: keep the colours where alpha is 0. Otherwise they become a smooth continuation of
            the visible ones, since nobody sees them and they would cost like any others.

    Raises:
        ConfigError: for an image without pixels, of another shape, or without a defined white.
    """
    if isinstance(image, Picture):
        return image
    colour, orientation = Colour(), None
    if isinstance(image, Image.Image):
        levels = image_levels(image)
        colour, orientation = colour_of(image, levels.grey), _orientation(image)
    elif isinstance(image, Tensor):
        levels = _tensor_levels(image)
    elif isinstance(image, np.ndarray):
        levels = _array_levels(image)
    else:
        raise ConfigError(
            f"expected a Pillow image, a tensor or an array, not {type(image).__name__}"
        )
    rgb, grey, alpha = levels
    icc = colour.icc
    if icc is not None and len(icc) > _MAX_ICC:
        if colour.cicp is None:  # which travels, and goes before a profile
            rgb = in_srgb(rgb, colour)
        icc = None
    if alpha is not None and not exact:
        rgb = fill_hidden(rgb, alpha == 0)
    return Picture(
        rgb=torch.from_numpy(rgb).permute(2, 0, 1),
        mode=("L" if grey else "RGB") + ("" if alpha is None else "A"),
        alpha=alpha,
        icc=icc,
        cicp=colour.cicp,
        orientation=orientation,
    )


def _tensor_levels(image: Tensor) -> Levels:
    pixels = image.detach().cpu()
    if pixels.dim() == 4 and pixels.shape[0] == 1:
        pixels = pixels[0]
    if pixels.dim() != 3 or pixels.shape[0] not in (1, 3) or 0 in pixels.shape:
        raise ConfigError(
            f"expected an image of shape (3, H, W) or (1, H, W), not {tuple(image.shape)}"
        )
    # NumPy has no bfloat16.
    pixels = pixels.float() if pixels.is_floating_point() else pixels
    return _array_levels(pixels.permute(1, 2, 0).numpy())


def _array_levels(array: NDArray[Any]) -> Levels:
    pixels = array[..., None] if array.ndim == 2 else array
    if pixels.ndim != 3 or not 1 <= pixels.shape[-1] <= 4 or 0 in pixels.shape:
        raise ConfigError(
            "expected an array of shape (H, W) or (H, W, 1 … 4), channels last, not "
            f"{tuple(array.shape)}"
        )
    levels = to_levels(pixels)
    alpha = None
    if levels.shape[-1] in (2, 4):
        levels, last = levels[..., :-1], levels[..., -1]
        alpha = None if last.min() == 255 else np.array(last)
    grey = levels.shape[-1] == 1
    # A copy: whoever gave the array may change it.
    return Levels(np.repeat(levels, 3, axis=2) if grey else np.array(levels), grey, alpha)


def _orientation(image: Image.Image) -> int | None:
    # After loading: Pillow turns a TIFF upright while it does, and drops the tag.
    try:
        orientation = image.getexif().get(_ORIENTATION)
    except Exception:  # a damaged EXIF block is no reason to refuse the pixels
        return None
    return orientation if orientation in range(2, 9) else None
