"""How a standard image file was coded, as far as a network that restores pictures wants to know."""

from __future__ import annotations

from tngexp.hybrid.formats.avif import AVIF
from tngexp.hybrid.formats.base import Format, Origin, UnknownOriginError
from tngexp.hybrid.formats.bpg import BPG
from tngexp.hybrid.formats.hevc import HEVC
from tngexp.hybrid.formats.jpeg import JPEG
from tngexp.hybrid.formats.webp import WEBP

__all__ = ["Origin", "UnknownOriginError", "find_format", "is_deep", "read_origin"]

_FORMATS = (JPEG, WEBP, AVIF, BPG, HEVC)

# What people are likely to try as well, by first bytes.
_OTHERS = (
    (b"\x89PNG\r\n\x1a\n", "a PNG image, which tells no quantizer step"),
    (b"GIF8", "a GIF image, which tells no quantizer step"),
    (b"BM", "a BMP image, which tells no quantizer step"),
    (b"II*\0", "a TIFF image, which tells no quantizer step"),
    (b"MM\0*", "a TIFF image, which tells no quantizer step"),
    (b"\xff\x0a", "a JPEG XL image, whose quantizer cannot be read yet"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL image, whose quantizer cannot be read yet"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000 image, which has a quantizer step for each subband"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 image, which has a quantizer step for each subband"),
)


def read_origin(data: bytes) -> Origin:
    """How the picture in a file was coded: JPEG, lossy WebP, AVIF, BPG or a stream of HEVC.

    Raises:
        UnknownOriginError: for other files, lossless or animated pictures, and damaged files.
    """
    found = find_format(data)
    if found is None:
        raise UnknownOriginError(_describe(data))
    return found.read_origin(data)


def is_deep(data: bytes) -> bool:
    """Whether a file of AVIF or BPG holds more than 8 bits a channel.

    Raises:
        UnknownOriginError: for a file that is damaged so that it does not tell.
    """
    found = find_format(data)
    return found is not None and found.is_deep(data)


def find_format(data: bytes) -> Format | None:
    """What kind of file this is; None if :func:`read_origin` reads no such files."""
    return next((kind for kind in _FORMATS if kind.matches(data)), None)


def _describe(data: bytes) -> str:
    if not data:
        return "no image: there is not a byte"
    for start, description in _OTHERS:
        if data.startswith(start):
            return description
    if data[4:8] == b"ftyp":
        return "a HEIC image or a video, whose quantizer cannot be read yet"
    names = [kind.name for kind in _FORMATS]
    return f"not a file of a known kind ({', '.join(names[:-1])} or {names[-1]})"
