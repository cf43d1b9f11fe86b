"""Pillow images ↔ what a codec codes: 8-bit RGB, and beside it what RGB cannot hold.

| original mode | coded | comes back as |
|---|---|---|
| RGB | as it is | RGB |
| L, 1, I;16 and other greys | the grey value in all three channels | L, 8 bit |
| P, CMYK, YCbCr, LAB, HSV | converted to RGB (CMYK loses its profile) | RGB |
| RGBA, LA, PA, any with transparency | colour as above, alpha losslessly beside it | RGBA, LA |
"""

from __future__ import annotations

import io
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageCms
from torch import Tensor

from tngexp.coding import BitstreamError
from tngexp.types import ConfigError

__all__ = ["Picture", "from_pillow", "from_tensor", "pack_alpha", "to_pillow", "unpack_alpha"]

_ORIENTATION = 0x0112
_GREY = ("L", "LA", "1", "I", "I;16", "I;16B", "I;16L", "F")
_MAX_ICC = 1 << 20


class Picture(NamedTuple):
    """An image as the codec sees it."""

    rgb: Tensor  # (3, H, W), uint8
    mode: str  # L, LA, RGB or RGBA: what comes back
    alpha: NDArray[np.uint8] | None = None  # (H, W)
    icc: bytes | None = None
    orientation: int | None = None  # EXIF orientation 2 … 8 still to be applied; None for upright


def from_pillow(image: Image.Image) -> Picture:
    """Raises ConfigError for an image without pixels or a mode Pillow cannot convert."""
    if image.width == 0 or image.height == 0:
        raise ConfigError("the image has no pixels")
    try:
        orientation = image.getexif().get(_ORIENTATION)
    except (SyntaxError, ValueError, OSError):
        orientation = None  # a damaged EXIF block is no reason to refuse the pixels
    icc = image.info.get("icc_profile")
    transparent = image.mode in ("LA", "PA", "La", "RGBA", "RGBa") or "transparency" in image.info
    grey = image.mode in _GREY
    if image.mode.startswith("I"):
        # Pillow clips instead of scaling: 16 bits become 8 here.
        values = np.asarray(image).astype(np.int64).clip(0, 65535)
        image = Image.fromarray(((values + 128) // 257).astype(np.uint8))
    if image.mode == "CMYK":
        icc = None
    try:
        if transparent:
            rgba = image.convert("RGBA")
            alpha = np.array(rgba.getchannel("A"))
            rgb = rgba.convert("RGB")
        else:
            alpha, rgb = None, image.convert("RGB")
    except ValueError as error:
        raise ConfigError(f"images of mode {image.mode} are not supported: {error}") from error
    return Picture(
        rgb=torch.from_numpy(np.array(rgb)).permute(2, 0, 1),
        mode=("LA" if grey else "RGBA") if transparent else ("L" if grey else "RGB"),
        alpha=alpha,
        icc=icc if icc and len(icc) <= _MAX_ICC and not is_srgb(icc) else None,
        orientation=orientation if orientation in range(2, 9) else None,
    )


@lru_cache(maxsize=8)
def is_srgb(icc: bytes) -> bool:
    """Whether a profile says what its absence says.

    Many photos embed one of the sRGB profiles, of up to 3 kB: more than a small file's pixels. One
    that moves no colour by more than a level is left out.
    """
    steps = np.linspace(0, 255, 17).round().astype(np.uint8)
    colours = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(1, -1, 3)
    try:
        transform = ImageCms.buildTransform(
            io.BytesIO(icc), ImageCms.createProfile("sRGB"), "RGB", "RGB"
        )
        moved = np.asarray(ImageCms.applyTransform(Image.fromarray(colours), transform))
    except (ImageCms.PyCMSError, OSError, ValueError):
        return False  # of another colour space, or damaged: passed on as it is
    return int(np.abs(moved.astype(int) - colours).max()) <= 1


def from_tensor(image: Tensor) -> Picture:
    """From (3, H, W), (1, H, W) or (1, 3, H, W): uint8, or floats in [0, 1].

    Raises:
        ConfigError: for any other shape.
    """
    pixels = image.detach().cpu()
    if pixels.dim() == 4 and pixels.shape[0] == 1:
        pixels = pixels[0]
    if pixels.dim() != 3 or pixels.shape[0] not in (1, 3) or 0 in pixels.shape:
        raise ConfigError(
            f"expected an image of shape (3, H, W) or (1, H, W), not {tuple(image.shape)}"
        )
    if pixels.is_floating_point():
        pixels = (pixels.float().clamp(0, 1) * 255).round().to(torch.uint8)
    mode = "L" if pixels.shape[0] == 1 else "RGB"
    return Picture(pixels.to(torch.uint8).expand(3, -1, -1).contiguous(), mode)


def to_pillow(picture: Picture) -> Image.Image:
    """The image of a picture; profile and orientation are in ``info`` and ``getexif()``."""
    image = Image.fromarray(picture.rgb.permute(1, 2, 0).contiguous().numpy())
    if picture.mode.startswith("L"):
        # The three channels differ by coding noise only; Pillow's luma weights add up to one.
        image = image.convert("L")
    if picture.alpha is not None:
        image.putalpha(Image.fromarray(picture.alpha))
    if picture.icc is not None:
        image.info["icc_profile"] = picture.icc
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
    try:
        with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            # The header is checked before a single pixel is decoded.
            if image.size != (width, height) or image.mode != "L":
                raise BitstreamError("the alpha plane does not have the image's size")
            return np.array(image)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise BitstreamError("the alpha plane is damaged") from error
