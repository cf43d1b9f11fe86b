"""Pillow images ↔ pictures, and alpha ↔ bytes."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tngexp.coding import BitstreamError
from tngexp.coding.container import MAX_PIXELS
from tngexp.pixels import Picture, UnreadableImageError, decoding, to_picture

__all__ = ["from_pillow", "pack_alpha", "to_pillow", "unpack_alpha"]

_ORIENTATION = 0x0112


def from_pillow(image: Image.Image) -> Picture:
    """What is coded of an image; :func:`tngexp.pixels.to_picture` tells the rules and errors."""
    return to_picture(image)


def to_pillow(picture: Picture) -> Image.Image:
    """The image of a picture.

    Profile and CICP are in ``info["icc_profile"]`` and ``info["cicp"]``, the orientation is in
    ``getexif()``.
    """
    image = Image.fromarray(picture.rgb.permute(1, 2, 0).contiguous().numpy())
    if picture.mode.startswith("L"):
        # The three channels differ by coding noise only; Pillow's luma weights add up to one.
        image = image.convert("L")
    if picture.alpha is not None:
        image.putalpha(Image.fromarray(picture.alpha))
    if picture.icc is not None:
        image.info["icc_profile"] = picture.icc
    if picture.cicp is not None:
        image.info["cicp"] = picture.cicp
    if picture.orientation is not None:
        image.getexif()[_ORIENTATION] = picture.orientation
    return image


def pack_alpha(alpha: NDArray[np.uint8]) -> bytes:
    """Alpha, losslessly, as an 8-bit grey PNG."""
    buffer = io.BytesIO()
    Image.fromarray(alpha).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def unpack_alpha(data: bytes, width: int, height: int) -> NDArray[np.uint8]:
    """The inverse of :func:`pack_alpha`.

    Raises:
        BitstreamError: unless ``data`` is a grey PNG of exactly that size.
    """
    alpha = None
    try:
        # Pillow's own limit is below what a file may hold.
        with decoding(MAX_PIXELS), Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            # The header is checked before a single pixel is decoded.
            if image.size == (width, height) and image.mode == "L":
                alpha = np.array(image)
    except UnreadableImageError as error:
        raise BitstreamError(f"the alpha plane cannot be decoded: {error}") from error
    if alpha is None:
        raise BitstreamError("the alpha plane does not have the image's size")
    return alpha
