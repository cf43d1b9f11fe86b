"""Pillow images of every mode to 8-bit levels.

What is stored in other ways is brought to 8-bit RGB and alpha as a viewer would show it; the table
in ``docs/how-to/code-files.md`` says how. It is used wherever pixels are: to train, to code, to
measure.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import warnings
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from tngexp.errors import ConfigError
from tngexp.pixels.colour import note_cicp
from tngexp.pixels.errors import PixelWarning
from tngexp.pixels.levels import scaled, to_levels

__all__ = ["Levels", "check_white", "holds_deep", "image_levels", "load", "over_white"]

_GREY = ("1", "L", "LA", "La")
_BITS, _PHOTOMETRIC, _SAMPLE_FORMAT = 258, 262, 339  # tags of TIFF
_WHITE_IS_ZERO, _SIGNED = 0, 2
# What PNG's transparent colour is to be multiplied with where Pillow spreads the pixels but not it.
_SPREAD = {"L;2": 85, "L;4": 17}
_DEEP = re.compile(r"\w+;16[BLN]")  # raw modes; BGR;16 is one of 5 and 6 bits


class Levels(NamedTuple):
    """The pixels of an image, 8 bits each."""

    rgb: NDArray[np.uint8]  # (H, W, 3)
    grey: bool  # the three channels are one
    alpha: NDArray[np.uint8] | None  # (H, W); None where everything is opaque


def image_levels(image: Image.Image) -> Levels:
    """The levels of a Pillow image, which is loaded.

    Raises:
        ConfigError: for an image without pixels, without a defined white, or of a mode that Pillow
            cannot convert.
    """
    check_white(image)
    if image.width == 0 or image.height == 0:
        raise ConfigError("the image has no pixels")
    load(image)
    if image.mode.startswith("I"):
        return _deep_grey(image)
    grey = image.mode in _GREY
    try:
        if not _transparent(image):
            return Levels(np.array(_opaque(image)), grey, None)
        if image.mode == "La":  # premultiplied; Pillow converts it to LA only
            image = image.convert("LA")
        rgba = np.array(image.convert("RGBA"))
    except (ValueError, TypeError) as error:
        raise ConfigError(f"images of mode {image.mode} are not supported: {error}") from error
    return _with_alpha(np.ascontiguousarray(rgba[..., :3]), grey, rgba[..., 3])


def load(image: Image.Image) -> None:
    """Decode an opened image, and put what Pillow leaves out of ``info`` there.

    Some of it stands in the file only. Where the pixels are decoded already, as by ``save``, the
    file is looked at once more if the image still knows its name.
    """
    if image.format in ("PNG", "AVIF"):
        name = getattr(image, "filename", "")
        if getattr(image, "tile", None):
            _note(image, image)
        elif name and os.path.isfile(name):
            with contextlib.suppress(Exception), Image.open(name, formats=[image.format]) as again:
                if (again.size, again.mode) == (image.size, image.mode):
                    _note(image, again)
    image.load()


def _note(image: Image.Image, header: Image.Image) -> None:
    """From the opened file, not yet decoded, into the image."""
    if not header.tile:  # type: ignore[attr-defined]
        return
    note_cicp(image, header)
    raw, key = header.tile[0].args, image.info.get("transparency")  # type: ignore[attr-defined]
    if key != header.info.get("transparency"):
        return  # changed since, perhaps by the lines below
    if raw in _SPREAD and isinstance(key, int):
        image.info["transparency"] = key * _SPREAD[str(raw)]
    elif raw == "RGB;16B" and isinstance(key, tuple):
        image.info["transparency"] = tuple(value >> 8 for value in key)  # as Pillow cuts the pixels


def check_white(image: Image.Image) -> None:
    """Raises ConfigError for an image without a defined white; the header is enough."""
    mode, tags = image.mode, getattr(image, "tag_v2", {})
    if mode == "F":
        what = "32-bit float pixels (mode F)"
    elif mode == "I" and image.format != "PPM":  # whose 16 bits Pillow holds in 32
        bits = tags.get(_BITS, (32,))[0]
        signed = "signed " if _SIGNED in tags.get(_SAMPLE_FORMAT, ()) else ""
        what = f"{signed}{bits}-bit integer pixels (mode I)"
    elif _SIGNED in tags.get(_SAMPLE_FORMAT, ()):
        what = f"signed {tags.get(_BITS, (8,))[0]}-bit pixels"
    else:
        return
    raise ConfigError(
        f"{what} have no defined white; save the image with 8 or 16 unsigned bits, scaled so that "
        "white is 255 or 65535"
    )


def holds_deep(image: Image.Image) -> bool:
    """Whether an image holds more than 8 bits a channel, or its file does if it is not yet decoded.

    Pillow cuts those of colour to 8, and only grey keeps them. What AVIF holds it does not tell.
    """
    if image.mode.startswith("I") or image.mode == "F":
        return True
    for *_, given in getattr(image, "tile", None) or ():
        args = given if isinstance(given, tuple | list) else (given,)
        white = args[1] if image.format == "PPM" and len(args) > 1 else 0
        if _DEEP.fullmatch(str(args[0])) or white > 255:
            return True
    return False


def over_white(rgb: NDArray[np.uint8], alpha: NDArray[np.uint8] | None) -> NDArray[np.uint8]:
    """What alpha leaves of (H, W, 3) on a white page, as a viewer or a web page shows it."""
    if alpha is None:
        return rgb
    weight = alpha[..., None].astype(np.uint32)
    return np.asarray((rgb * weight + 255 * (255 - weight) + 127) // 255, np.uint8)


def _with_alpha(rgb: NDArray[np.uint8], grey: bool, alpha: NDArray[np.uint8]) -> Levels:
    return Levels(rgb, grey, None if alpha.min() == 255 else np.ascontiguousarray(alpha))


def _transparent(image: Image.Image) -> bool:
    key = image.info.get("transparency")
    if image.mode in ("1", "L"):
        return isinstance(key, int)
    if image.mode == "RGB":
        return isinstance(key, tuple)
    if image.mode == "P":
        return image.has_transparency_data
    return image.mode in ("LA", "La", "PA", "RGBA", "RGBa")


def _opaque(image: Image.Image) -> Image.Image:
    if image.mode == "RGB":
        return image
    if image.mode == "CMYK" and (profile := image.info.get("icc_profile")):
        try:
            converted = ImageCms.profileToProfile(
                image, io.BytesIO(profile), ImageCms.createProfile("sRGB"), outputMode="RGB"
            )
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            warnings.warn(
                "the colour profile does not describe CMYK pixels; they are converted without one. "
                "Fix: embed the right profile, or convert the image to RGB",
                PixelWarning,
                stacklevel=2,
            )
        else:
            assert converted is not None
            return converted
    return image.convert("RGB")


def _deep_grey(image: Image.Image) -> Levels:
    """16-bit grey; Pillow itself would clip it at 255."""
    values: NDArray[Any] = np.asarray(image).astype(np.uint16)
    tags, key = getattr(image, "tag_v2", {}), image.info.get("transparency")
    alpha = None
    if isinstance(key, int):
        alpha = np.where(values == key, 0, 255).astype(np.uint8)
    # Pillow holds TIFF's 12 bits in 16.
    levels = scaled(values, 4095) if tags.get(_BITS) == (12,) else to_levels(values)
    if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:  # Pillow inverts up to 8 bits only
        levels = np.uint8(255) - levels
    rgb = np.repeat(levels[..., None], 3, axis=2)
    return Levels(rgb, True, None) if alpha is None else _with_alpha(rgb, True, alpha)
