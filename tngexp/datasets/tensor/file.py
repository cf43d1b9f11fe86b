"""The file of ``data=tensor``: the pixels of all photos in one tensor.

A safetensors file with one tensor, ``pixels`` (P, 3) uint8: RGB, the photos one after another, each
row by row. Its metadata list the photos in that order. Reading maps the file into memory, so that
nothing is read before it is looked at.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from safetensors import SafetensorError, safe_open
from torch import Tensor

from tngexp.common.atomic import replacing
from tngexp.datasets.images import DataError, FilePhoto, Pixels, UnreadableImageError

__all__ = ["SUFFIX", "PixelFile", "StoredPhoto", "read_pixels", "write_pixels"]

SUFFIX = ".safetensors"
_FORMAT = "tngexp pixels 1"
_LONGEST = 2**48  # a number with as many digits as any that a header may come to hold


@dataclass(frozen=True)
class StoredPhoto:
    """A photo of a pixel file; ``name`` is the path of its image below the folder packed."""

    name: str
    height: int
    width: int
    digest: str  # SHA-256 of its pixels
    offset: int  # of its first pixel
    pixels: Tensor = field(repr=False, compare=False)  # of the whole file

    @property
    def short_side(self) -> int:
        return min(self.height, self.width)

    def decode(self) -> Pixels:
        """A view into the file, (H, W, 3); read only."""
        rows = self.pixels[self.offset : self.offset + self.height * self.width]
        return rows.view(self.height, self.width, 3).numpy()


@dataclass(frozen=True)
class PixelFile:
    """A pixel file, mapped into memory. ``source`` tells whether packing again would give it."""

    path: Path
    pixels: Tensor = field(repr=False, compare=False)  # (P, 3) uint8
    photos: tuple[StoredPhoto, ...]
    source: str


def write_pixels(
    path: Path,
    photos: Sequence[FilePhoto],
    source: str,
    progress: Callable[[], object] = lambda: None,
) -> list[tuple[FilePhoto, str]]:
    """Writes the pixels of ``photos`` in this order, whole or not at all.

    Args:
        path: the file.
        photos: of which one is in memory at a time.
        source: see :class:`PixelFile`.
        progress: called after each photo.

    Returns:
        The photos that cannot be decoded, each with the reason; they are left out.

    Raises:
        DataError: when none can be decoded.
        OSError: of the file system.
    """
    # What cannot be decoded shows late, so the header is given the room of all, and padded.
    room = len(_header([(photo.name, _LONGEST, _LONGEST, "0" * 64) for photo in photos], source))
    written: list[tuple[str, int, int, str]] = []
    unreadable = []
    with replacing(path, alone=True) as part, part.open("wb") as file:
        file.write(bytes(8 + room))
        for photo in photos:
            try:
                image = photo.decode()
            except UnreadableImageError as error:
                unreadable.append((photo, str(error)))
            else:
                data = np.ascontiguousarray(image).tobytes()
                file.write(data)
                height, width = image.shape[:2]
                written.append((photo.name, height, width, hashlib.sha256(data).hexdigest()))
            progress()
        if not written:
            raise DataError(
                f"none of the {len(photos)} images can be decoded ({unreadable[0][1]}). Fix: check "
                "the folder."
            )
        _write_header(file, _header(written, source), room)
    return unreadable


def _header(photos: Sequence[tuple[str, int, int, str]], source: str) -> bytes:
    """The JSON of safetensors (https://huggingface.co/docs/safetensors#format)."""
    count = sum(height * width for _, height, width, _ in photos)
    metadata = {"format": _FORMAT, "source": source, "photos": json.dumps(photos)}
    pixels = {"dtype": "U8", "shape": [count, 3], "data_offsets": [0, 3 * count]}
    return json.dumps({"__metadata__": metadata, "pixels": pixels}).encode("ascii")


def _write_header(file: BinaryIO, header: bytes, room: int) -> None:
    file.seek(0)
    file.write(room.to_bytes(8, "little") + header.ljust(room))


def read_pixels(path: Path, option: str) -> PixelFile:
    """Opens a pixel file without reading its pixels.

    Args:
        path: the file.
        option: that named it, for messages.

    Raises:
        DataError: for a file that is missing, damaged, or something else.
    """
    if not path.is_file():
        problem = "is a folder, not a file" if path.is_dir() else "does not exist"
        raise DataError(f"{option}={path} {problem}. {_FIX}")
    try:
        with safe_open(path, framework="pt") as content:
            metadata = content.metadata() or {}
            if metadata.get("format") != _FORMAT:
                raise ValueError("another safetensors file")
            pixels = content.get_tensor("pixels")
        photos = tuple(_stored(json.loads(metadata["photos"]), pixels))
        if not photos or sum(photo.height * photo.width for photo in photos) != len(pixels):
            raise ValueError("its list of photos does not fit its pixels")
        return PixelFile(path, pixels, photos, metadata["source"])
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise DataError(
            f"{option}={path} is not a whole file of pixels ({reason}). {_FIX}"
        ) from error


_FIX = f"Fix: make one with python -m tngexp.datasets.pack FOLDER FILE{SUFFIX}."


def _stored(listed: Any, pixels: Tensor) -> Iterator[StoredPhoto]:
    offset = 0
    for name, height, width, digest in listed:
        if not (height > 0 and width > 0):
            raise ValueError(f"{name} has no pixels")
        yield StoredPhoto(str(name), int(height), int(width), str(digest), offset, pixels)
        offset += height * width
