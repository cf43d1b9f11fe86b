"""Image files to Pillow images, whatever their decoders throw."""

from __future__ import annotations

import io
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from PIL import Image, UnidentifiedImageError

from tngexp.errors import ConfigError
from tngexp.pixels.errors import PixelWarning, UnreadableImageError
from tngexp.pixels.modes import check_white, holds_deep, load

__all__ = ["decoding", "is_deep", "read_header", "read_image"]

# Only these decoders may run, whatever a file's first bytes say: others (EPS) call programs.
_FORMATS = ("PNG", "JPEG", "WEBP", "AVIF", "TIFF", "BMP", "PPM", "GIF")

_PNG = b"\x89PNG\r\n\x1a\n"
_TIFF = (b"II*\0", b"MM\0*")
_PNG_TEXT = (b"tEXt", b"zTXt", b"iTXt")
_MAX_PROFILE = 1 << 24
_ORIENTATION = 0x0112

T = TypeVar("T")


def read_image(source: Path | bytes, max_pixels: int | None = None) -> Image.Image:
    """The first image of a file, loaded.

    Gives a PixelWarning for a file with several. A phone's second picture behind a JPEG (MPO) does
    not count.

    Args:
        source: a file, or its contents.
        max_pixels: larger images are refused; by default those above Pillow's limit.

    Raises:
        UnreadableImageError: with the reason, whatever a decoder throws.
    """

    def decode(image: Image.Image) -> tuple[Image.Image, int]:
        frames = 1 if image.format == "MPO" else _frames(image)
        load(image)
        try:
            image.getexif().get(_ORIENTATION)  # while a TIFF is still open
        except Exception:  # a damaged block does not make the picture unusable
            image.info.pop("exif", None)
        return image, frames

    with decoding(max_pixels):
        image, frames = _opened(source, decode)
    if frames > 1:
        warnings.warn(
            f"the file holds {frames} images; only the first one is used",
            PixelWarning,
            stacklevel=2,
        )
    return image


def read_header(source: Path | bytes) -> tuple[tuple[int, int], str | None]:
    """(width, height) as stored and Pillow's name of the format, without decoding.

    Raises:
        UnreadableImageError: as :func:`read_image`, as far as the header tells.
    """

    def look(image: Image.Image) -> tuple[tuple[int, int], str | None]:
        check_white(image)
        return image.size, image.format

    with decoding():
        return _opened(source, look)


def is_deep(source: Path | bytes, max_pixels: int | None = None) -> bool:
    """Whether a file holds more than 8 bits a channel, as Pillow's reading of its header tells.

    Raises:
        UnreadableImageError: as :func:`read_image`, as far as the header tells.
    """
    with decoding(max_pixels):
        return _opened(source, holds_deep)


@contextmanager
def decoding(max_pixels: int | None = None) -> Iterator[None]:
    """Turns whatever a decoder throws into UnreadableImageError and silences its warnings.

    Pillow's plugins raise OSError, SyntaxError, ValueError, struct.error, EOFError and more on
    damaged files, so anything but running out of memory counts as "this file cannot be read".
    """
    usual = Image.MAX_IMAGE_PIXELS
    limit = usual if max_pixels is None else max_pixels
    Image.MAX_IMAGE_PIXELS = limit
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            yield
    except (UnreadableImageError, MemoryError):
        raise
    except ConfigError as error:
        raise UnreadableImageError(str(error)) from error
    except UnidentifiedImageError:
        raise UnreadableImageError("not an image in a known format") from None
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise UnreadableImageError(f"larger than {(limit or 0) / 1e6:.0f} megapixels") from None
    except OSError as error:
        reason = error.strerror or f"the image is damaged: {error}"
        raise UnreadableImageError(reason[0].lower() + reason[1:]) from error
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise UnreadableImageError(f"the image is damaged: {reason}") from error
    finally:
        Image.MAX_IMAGE_PIXELS = usual


def _opened(source: Path | bytes, use: Callable[[Image.Image], T]) -> T:
    """``use`` of the opened image.

    Pillow refuses PNGs with more than a megabyte of text or profile. That is not what the pixels
    are about, so such files are read again without it.
    """
    if isinstance(source, bytes) and not source:
        raise UnreadableImageError("the file is empty")
    try:
        file = io.BytesIO(source) if isinstance(source, bytes) else source
        with Image.open(file, formats=_FORMATS) as image:
            return use(image)
    except (MemoryError, ConfigError, Image.DecompressionBombWarning):
        raise
    except UnidentifiedImageError:
        if _first(source).startswith(_TIFF):
            raise UnreadableImageError(
                "a damaged TIFF, or one with pixels of a kind that Pillow does not read; fix: save "
                "it with 8 or 16 unsigned bits a channel"
            ) from None
        raise
    except Exception:
        data = source if isinstance(source, bytes) else source.read_bytes()
        if not data.startswith(_PNG):
            raise
        bare, profile = _without_text(data)
        if bare == data:
            raise
        with Image.open(io.BytesIO(bare), formats=_FORMATS) as image:
            if profile is not None:
                image.info["icc_profile"] = profile
            return use(image)


def _first(source: Path | bytes) -> bytes:
    if isinstance(source, bytes):
        return source[:4]
    with source.open("rb") as file:
        return file.read(4)


def _without_text(data: bytes) -> tuple[bytes, bytes | None]:
    """A PNG without its text chunks and profile, and the profile."""
    kept, profile, at = [_PNG], None, len(_PNG)
    while at + 8 <= len(data):
        kind, end = data[at + 4 : at + 8], at + 12 + int.from_bytes(data[at : at + 4], "big")
        if kind == b"iCCP":
            profile = _inflate(data[at + 8 : end - 4])
        elif kind not in _PNG_TEXT:
            kept.append(data[at:end])
        at = end
    return b"".join(kept), profile


def _inflate(chunk: bytes) -> bytes | None:
    """The profile of a chunk iCCP: a name, a zero, the method 0, compressed bytes."""
    _, _, rest = chunk.partition(b"\0")
    try:
        return zlib.decompressobj().decompress(rest[1:], _MAX_PROFILE)
    except zlib.error:
        return None


def _frames(image: Image.Image) -> int:
    try:
        return int(getattr(image, "n_frames", 1))
    except Exception:  # damage behind the first image
        return 1
