"""Any image file to RGB uint8.

A training set gathered from the wild mixes modes; each is brought to 8-bit RGB the way a viewer
would show it, by the one rule of ``tngexp.pixels`` (``docs/how-to/code-files.md`` has the table).
Here alpha is composited over white besides, so that colours hidden under full transparency never
reach training, and EXIF orientation is applied. Colour profiles are not. Images without a defined
white count as unreadable, as do images above Pillow's decompression-bomb limit (89 megapixels).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tngexp import pixels
from tngexp.pixels import UnreadableImageError
from tngexp.types import ConfigError

__all__ = [
    "EXTENSIONS",
    "DataError",
    "DataWarning",
    "FilePhoto",
    "Photo",
    "Pixels",
    "UnreadableImageError",
    "decode",
    "read_header",
]

Pixels = NDArray[np.uint8]  # (H, W, 3), RGB

EXTENSIONS = frozenset(
    {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".avif", ".tif", ".tiff"}
)

_EXIF_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class DataError(ConfigError):
    """A data set that cannot be used; the message names the folder or option and the fix."""


class DataWarning(UserWarning):
    """Images that were left out; the message counts them and names the first few."""


class Photo(Protocol):
    """One picture of a data set, decoded on demand. Hashable, so that a cache can hold it."""

    @property
    def name(self) -> str:
        """What messages call it."""

    @property
    def short_side(self) -> int:
        """Pixels along the shorter side."""

    def decode(self) -> Pixels:
        """The pixels, (H, W, 3). Raises UnreadableImageError."""


@dataclass(frozen=True)
class FilePhoto:
    """A photo in a file; ``name`` is its path relative to the data set's root."""

    path: Path
    name: str
    short_side: int

    def decode(self) -> Pixels:
        return decode(self.path)


def decode(source: Path | bytes) -> Pixels:
    """The first image of a file, or of its contents, as (H, W, 3) uint8 RGB.

    Raises:
        UnreadableImageError: for a damaged file, or pixels without a defined white.
    """
    with pixels.decoding():
        image = pixels.read_image(source)
        levels = pixels.image_levels(image)
        rgb = pixels.over_white(levels.rgb, levels.alpha)
        # After loading: Pillow applies (and then drops) a TIFF's orientation while it does.
        orientation = _orientation(image)
        if orientation in _UPRIGHT:
            rgb = np.array(Image.fromarray(rgb).transpose(_UPRIGHT[orientation]))
        return rgb


def read_header(path: Path) -> tuple[int, int]:
    """(width, height) as stored, without decoding. Raises UnreadableImageError.

    A file whose end looks cut off is decoded to make sure, so that a truncated download is found
    here and not in the middle of training. The side lengths are those before EXIF rotation.
    """
    size, container = pixels.read_header(path)
    with pixels.decoding():
        truncated = _looks_truncated(path, container)
    if truncated:
        decode(path)
    return size


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_EXIF_ORIENTATION, 1))
    except Exception:  # a damaged EXIF block does not make the picture unusable
        return 1


def _looks_truncated(path: Path, container: str | None) -> bool:
    """Whether the end of the file lacks what its format ends with; may be wrong either way."""
    with path.open("rb") as file:
        head = file.read(12)
        length = file.seek(0, 2)
        file.seek(max(0, length - 4096))
        tail = file.read()
    if container in {"JPEG", "MPO"}:  # MPO: a phone's JPEG with a second picture behind it
        return b"\xff\xd9" not in tail
    if container == "PNG":
        return b"IEND" not in tail
    if container == "WEBP":
        return length < int.from_bytes(head[4:8], "little") + 8
    return False
