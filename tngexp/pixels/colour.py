"""What the numbers of RGB mean: colour profiles, and the marks that formats have instead.

Pixels keep their numbers, and what they mean travels beside them. A profile does only where it
describes these pixels: one of RGB for colour, one of grey for grey. Marks of an image that no
``.tng`` file can carry give a PixelWarning.
"""

from __future__ import annotations

import io
import struct
import warnings
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from tngexp.pixels.errors import PixelWarning

__all__ = ["Colour", "apply_profile", "colour_of", "in_srgb", "is_srgb", "note_cicp"]

CICP = "cicp"
"""Under which ``Image.info`` holds the four bytes of ITU-T H.273: colour primaries, transfer
characteristics, matrix coefficients, full range."""

_SRGB_CICP = {(primaries, transfer) for primaries in (1, 2) for transfer in (2, 13)}
_DISPLAY_P3_CICP = (12, 13)
_DISPLAY_P3 = {  # XYZ of its primaries (SMPTE EG 432-1), adapted to D50 as in sRGB's own profile
    b"rXYZ": (0.51512, 0.24120, -0.00105),
    b"gXYZ": (0.29198, 0.69225, 0.04189),
    b"bXYZ": (0.15710, 0.06657, 0.78407),
}
_SRGB_CHROMATICITY = (0.3127, 0.329, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06)  # white, red, green, blue
_EXIF_IFD, _COLOR_SPACE, _UNCALIBRATED, _INTEROP_IFD = 0x8769, 0xA001, 0xFFFF, 0xA005
_PRIMARIES = 319  # tag of TIFF


class Colour(NamedTuple):
    """What a file says of the meaning of its pixels; without either they are sRGB."""

    icc: bytes | None = None
    cicp: bytes | None = None


def colour_of(image: Image.Image, grey: bool) -> Colour:
    """The profile and mark of a loaded image that describe its levels, as ``image_levels`` gives
    them. What says no more than sRGB is left out: many photos embed a profile of up to 3 kB, more
    than a small file's pixels.
    """
    if image.mode in ("CMYK", "LAB"):  # converted, so that their profile is used up
        return Colour()
    cicp = image.info.get(CICP)
    if not isinstance(cicp, bytes) or len(cicp) != 4:
        cicp = None
    elif cicp[:2] == b"\x01\x0d":
        return Colour()  # which goes before any profile
    elif (cicp[0], cicp[1]) in _SRGB_CICP:
        cicp = None
    icc = image.info.get("icc_profile")
    if not icc:
        if cicp is None:
            _warn_of_other_marks(image)
        return Colour(None, cicp)
    wanted = b"GRAY" if grey else b"RGB "
    found = icc[16:20]
    if len(icc) < 128 or icc[36:40] != b"acsp":
        _warn("the colour profile is damaged and left out; fix: embed it anew")
        return Colour(None, cicp)
    if found == b"RGB " and is_srgb(icc):
        return Colour(None, cicp)
    if found != wanted:
        _warn(
            f"the colour profile is one of {_word(found)} where the pixels are {_word(wanted)}; it "
            "is left out. Fix: convert the image to sRGB, or embed the profile it was made for"
        )
        return Colour(None, cicp)
    return Colour(icc, cicp)


def note_cicp(image: Image.Image, header: Image.Image) -> None:
    """Put the CICP mark of a PNG or AVIF, opened as ``header``, into ``image.info["cicp"]``.

    Pillow passes it over. In PNG it is the chunk cICP, in AVIF a box colr of type nclx.
    """
    file = getattr(header, "fp", None)
    if file is None or not file.seekable():
        return
    place = file.tell()
    file.seek(0)
    found = _png_cicp(file) if header.format == "PNG" else _avif_cicp(file)
    file.seek(place)
    if found is not None:
        image.info.setdefault(CICP, found)


@lru_cache(maxsize=8)
def is_srgb(icc: bytes) -> bool:
    """Whether an RGB profile says what its absence says: it moves no colour by over a level."""
    steps = np.linspace(0, 255, 17).round().astype(np.uint8)
    colours = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(1, -1, 3)
    moved = apply_profile(colours, icc)
    return moved is not None and int(np.abs(moved.astype(int) - colours).max()) <= 1


def in_srgb(rgb: NDArray[np.uint8], colour: Colour) -> NDArray[np.uint8]:
    """The sRGB levels (H, W, 3) of levels that mean what ``colour`` says.

    Where that cannot be converted, they stay as they are, with a PixelWarning.
    """
    cicp, icc = colour.cicp, colour.icc
    if cicp is not None and (cicp[0], cicp[1]) == _DISPLAY_P3_CICP and cicp[3]:
        icc = _display_p3()  # a mark goes before a profile
    if cicp is None and icc is None:
        return rgb
    converted = None if icc is None else apply_profile(rgb, icc)
    if converted is not None:
        return converted
    what = "colour profile" if cicp is None else f"colours' mark (CICP {'/'.join(map(str, cicp))})"
    _warn(
        f"the {what} cannot be applied and is left out: the image will look different. Fix: "
        "convert it to sRGB"
    )
    return rgb


def apply_profile(rgb: NDArray[np.uint8], icc: bytes) -> NDArray[np.uint8] | None:
    """The sRGB levels (H, W, 3) of levels that a profile describes, one of RGB or, where the three
    channels are one, of grey; None if it does not.
    """
    grey = icc[16:20] == b"GRAY"
    try:
        transform = ImageCms.buildTransform(
            io.BytesIO(icc),
            ImageCms.createProfile("sRGB"),
            "L" if grey else "RGB",
            "RGB",
            # Its tables are up to ten levels off for grey.
            flags=ImageCms.Flags.NOOPTIMIZE if grey else ImageCms.Flags.NONE,
        )
        image = Image.fromarray(np.ascontiguousarray(rgb[..., 0]) if grey else rgb)
        applied = ImageCms.applyTransform(image, transform)
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None
    assert applied is not None  # which is so in place only
    return np.array(applied.convert("L").convert("RGB") if grey else applied)


@lru_cache(maxsize=1)
def _display_p3() -> bytes:
    """A profile of Display P3: that of sRGB, whose white and curve it has, with other primaries."""
    icc = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    tags = int.from_bytes(icc[128:132], "big")
    for at in range(132, 132 + 12 * tags, 12):  # of each its name, offset and size
        if (primary := _DISPLAY_P3.get(bytes(icc[at : at + 4]))) is not None:
            numbers = int.from_bytes(icc[at + 4 : at + 8], "big") + 8
            struct.pack_into(">3i", icc, numbers, *(round(65536 * value) for value in primary))
    return bytes(icc)


def _png_cicp(file: Any) -> bytes | None:
    file.seek(8)
    while len(head := file.read(8)) == 8 and head[4:] not in (b"IDAT", b"IEND"):
        length = int.from_bytes(head[:4], "big")
        if head[4:] == b"cICP":
            return _four(file.read(min(length, 4)))
        file.seek(length + 4, io.SEEK_CUR)
    return None


def _avif_cicp(file: Any) -> bytes | None:
    data = file.read(1 << 16)  # the boxes stand before the pixels
    at = data.find(b"colrnclx")
    if at < 0:
        return None
    primaries, transfer = data[at + 9 : at + 10], data[at + 11 : at + 12]
    return _four(primaries + transfer + b"\0\1")  # matrix and range are undone by the decoder


def _four(value: bytes) -> bytes | None:
    return value if len(value) == 4 else None


def _warn_of_other_marks(image: Image.Image) -> None:
    if _other_gamma(image) or _adobe_rgb(image):
        _warn(
            "the image says without a colour profile that it is not sRGB (by gamma, primaries or "
            "EXIF), which is not carried: it will look different. Fix: convert it to sRGB, or "
            "embed a profile"
        )


def _other_gamma(image: Image.Image) -> bool:
    info, tags = image.info, getattr(image, "tag_v2", {})
    if "srgb" in info:
        return False
    gamma, points = info.get("gamma"), info.get("chromaticity")
    white = tags.get(318, _SRGB_CHROMATICITY[:2])
    if _PRIMARIES in tags:
        points = (*white, *tags[_PRIMARIES])
    return (isinstance(gamma, float) and abs(gamma - 1 / 2.2) > 0.02) or (
        points is not None
        and len(points) == 8
        and max(abs(a - b) for a, b in zip(points, _SRGB_CHROMATICITY, strict=True)) > 0.005
    )


def _adobe_rgb(image: Image.Image) -> bool:
    """As cameras mark it, by the file names' DCF option R03."""
    try:
        exif = image.getexif()
        return (
            exif.get_ifd(_EXIF_IFD).get(_COLOR_SPACE) == _UNCALIBRATED
            and exif.get_ifd(_INTEROP_IFD).get(1) == "R03"
        )
    except Exception:  # a damaged block says nothing
        return False


def _word(space: bytes) -> str:
    return {b"GRAY": "grey", b"RGB ": "RGB"}.get(space, space.decode("latin-1").strip())


def _warn(text: str) -> None:
    warnings.warn(text, PixelWarning, stacklevel=4)
