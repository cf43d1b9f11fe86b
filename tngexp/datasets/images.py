"""Any image file to RGB uint8.

A training set gathered from the wild mixes modes; each is brought to 8-bit RGB the way a viewer
would show it:

=============  =====================================================================
greyscale      copied to the three channels
palette        looked up
alpha          composited over white, as a viewer or a web page shows it; colours
               hidden under full transparency are arbitrary and never reach training
16-bit         divided by 257 (65535 → 255) and rounded; Pillow itself would clip
16-bit RGB     Pillow delivers the high byte
CMYK           Pillow's conversion without colour profile; Adobe's inverted CMYK
               JPEGs are turned the right way round by its decoder
EXIF           rotated and mirrored upright
animations     first frame
=============  =====================================================================

32-bit integer and float images have no defined white and count as unreadable, as do images above
Pillow's decompression-bomb limit (89 megapixels).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

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
    "to_rgb",
]

Pixels = NDArray[np.uint8]  # (H, W, 3), RGB

EXTENSIONS = frozenset(
    {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".avif", ".tif", ".tiff"}
)

# Only these decoders may run, whatever a file's first bytes say: others (EPS) call programs.
_FORMATS = ("PNG", "JPEG", "WEBP", "AVIF", "TIFF")

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


class UnreadableImageError(Exception):
    """One image file that cannot be decoded; the message is the reason, without the path."""


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


def decode(path: Path) -> Pixels:
    """The file's first image as (H, W, 3) uint8 RGB. Raises UnreadableImageError."""
    with _only_our_errors(), Image.open(path, formats=_FORMATS) as image:
        image.load()
        # After load(): Pillow applies (and then drops) a TIFF's orientation while loading.
        orientation = _orientation(image)
        rgb = to_rgb(image)
        if orientation in _UPRIGHT:
            rgb = rgb.transpose(_UPRIGHT[orientation])
        return np.array(rgb)


def read_header(path: Path) -> tuple[int, int]:
    """(width, height) as stored, without decoding. Raises UnreadableImageError.

    A file whose end looks cut off is decoded to make sure, so that a truncated download is found
    here and not in the middle of training. The side lengths are those before EXIF rotation.
    """
    with _only_our_errors(), Image.open(path, formats=_FORMATS) as image:
        size, container = image.size, image.format
    if _looks_truncated(path, container):
        decode(path)
    return size


def to_rgb(image: Image.Image) -> Image.Image:
    """``image`` in mode RGB by the table above (EXIF excepted). Raises UnreadableImageError."""
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith("I;16"):
        grey = np.asarray(image).astype(np.uint32)
        return Image.fromarray(((grey + 128) // 257).astype(np.uint8)).convert("RGB")
    if image.mode in {"I", "F"}:
        raise UnreadableImageError(f"32-bit pixels (mode {image.mode}) have no defined white")
    if image.mode == "La":  # premultiplied; Pillow only converts it to LA
        image = image.convert("LA")
    if image.mode == "RGBa" or image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image.convert("RGB")


@contextmanager
def _only_our_errors() -> Iterator[None]:
    """Turns whatever a decoder throws into UnreadableImageError and silences its warnings.

    Pillow's plugins raise OSError, SyntaxError, ValueError, struct.error, EOFError and more on
    damaged files, so anything but running out of memory counts as "this file cannot be read".
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            yield
        except (UnreadableImageError, MemoryError):
            raise
        except UnidentifiedImageError:
            raise UnreadableImageError("not an image in a known format") from None
        except (Image.DecompressionBombWarning, Image.DecompressionBombError):
            limit = (Image.MAX_IMAGE_PIXELS or 0) / 1e6
            raise UnreadableImageError(f"larger than {limit:.0f} megapixels") from None
        except OSError as error:
            raise UnreadableImageError(error.strerror or str(error)) from error
        except Exception as error:
            raise UnreadableImageError(f"{type(error).__name__}: {error}") from error


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
