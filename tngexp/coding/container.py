"""The ``.tng`` file: a header of a few bytes, the coded streams, two checksums.

The layout is told byte by byte, with an example, in ``docs/reference/bitstream.md``. A file of one
image without metadata spends 21 to 24 bytes beyond its streams. ``read`` trusts nothing: the
signature, the version, the CRC, then every field is checked before anything is done with it, and
the memory it takes is bounded by the size of the file.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from tngexp.coding.errors import BitstreamError

__all__ = [
    "MAX_PIXELS",
    "MODES",
    "SIGNATURE",
    "VERSION",
    "Container",
    "check_size",
    "fingerprint",
    "index_to_quality",
    "quality_to_index",
    "read",
    "write",
]

SIGNATURE = b"\x9eTNG"
VERSION = 1
MODES = ("L", "LA", "RGB", "RGBA")
MAX_PIXELS = 1 << 28  # what ``read`` accepts by default: 16384 × 16384
_MAX_SIDE = 1 << 20
_MODE_MASK, _QUALITY, _TILED, _METADATA, _RESERVED = 0x03, 0x04, 0x08, 0x10, 0x80
_COUNT_SHIFT, _COUNT_MASK, _COUNT_FOLLOWS = 5, 0x03, 3
_ICC, _ORIENTATION, _MODEL_NAME, _CICP = 1, 2, 3, 4
_FINGERPRINT_BYTES, _CHECKSUM_BYTES, _CRC_BYTES = 4, 2, 4
_MIN_BYTES = 4 + 1 + 1 + _FINGERPRINT_BYTES + 2 + _CHECKSUM_BYTES + _CRC_BYTES
_MAX_VARINT_BYTES = 5
_MAX_NAME_BYTES = 255
_CICP_BYTES = 4
_FOREIGN = {
    b"\xff\xd8\xff": "a JPEG",
    b"\x89PNG": "a PNG",
    b"RIFF": "a WebP or other RIFF",
    b"GIF8": "a GIF",
    b"BM": "a BMP",
    b"II*\0": "a TIFF",
    b"MM\0*": "a TIFF",
    b"BPG\xfb": "a BPG",
    b"PK": "a zip",
    b"\x1f\x8b": "a gzip",
}


@final
@dataclass(frozen=True)
class Container:
    """What a ``.tng`` file says, and the streams it carries."""

    width: int
    height: int
    mode: str  # one of MODES, of the original image
    model: bytes  # 4 bytes, ``fingerprint`` of the weights the streams were coded with
    streams: tuple[bytes, ...]
    symbols_checksum: int  # 16 bits, ``coding.symbols_checksum`` of what the streams decode to
    quality: int | None = None  # byte, see ``quality_to_index``; None for fixed-rate models
    tile: int = 0  # side of the tiles in pixels; 0 where the image was coded in one piece
    overlap: int = 0  # pixels that neighbouring tiles share
    icc: bytes | None = None  # colour profile of the original
    orientation: int | None = None  # EXIF orientation 1 … 8 still to be applied
    cicp: bytes | None = None  # 4 bytes of ITU-T H.273: primaries, transfer, matrix, full range
    model_name: str | None = None  # under which the weights can be found


def write(container: Container) -> bytes:
    """Return the bytes of the file. Raises ValueError for contents no reader would accept."""
    _check(container, MAX_PIXELS, ValueError)
    c = container
    flags = MODES.index(c.mode)
    body = bytearray(c.model)
    if c.quality is not None:
        flags |= _QUALITY
        body.append(c.quality)
    body += _varint(c.width) + _varint(c.height)
    if c.tile:
        flags |= _TILED
        body += _varint(c.tile) + _varint(c.overlap)
    count = min(len(c.streams) - 1, _COUNT_FOLLOWS)
    flags |= count << _COUNT_SHIFT
    if count == _COUNT_FOLLOWS:
        body += _varint(len(c.streams))
    if metadata := _write_metadata(c):
        flags |= _METADATA
        body += _varint(len(metadata)) + metadata
    for stream in c.streams[:-1]:
        body += _varint(len(stream))
    body += b"".join(c.streams)
    body += c.symbols_checksum.to_bytes(_CHECKSUM_BYTES, "little")
    data = SIGNATURE + bytes([VERSION, flags]) + bytes(body)
    return data + zlib.crc32(data).to_bytes(_CRC_BYTES, "little")


def read(data: bytes, max_pixels: int = MAX_PIXELS) -> Container:
    """Parse a file. Raises BitstreamError with the reason for anything but a sound ``.tng``."""
    _check_frame(data)
    reader = _Reader(data, 5, len(data) - _CRC_BYTES - _CHECKSUM_BYTES)
    flags = reader.take(1)[0]
    if flags & _RESERVED:
        raise BitstreamError("the header sets a flag this version does not know")
    model = reader.take(_FINGERPRINT_BYTES)
    quality = reader.take(1)[0] if flags & _QUALITY else None
    width, height = reader.varint(), reader.varint()
    tile, overlap = (reader.varint(), reader.varint()) if flags & _TILED else (0, 0)
    if flags & _TILED and not tile:
        raise BitstreamError("the header announces tiles of size zero")
    count = 1 + ((flags >> _COUNT_SHIFT) & _COUNT_MASK)
    if count > _COUNT_FOLLOWS:
        count = reader.varint()
    if not 1 <= count <= reader.left + 1:  # each length but the last takes a byte
        raise BitstreamError(f"the header announces {count} streams, which cannot be")
    metadata = _read_metadata(reader.take(reader.varint())) if flags & _METADATA else {}
    lengths = [reader.varint() for _ in range(count - 1)]
    streams = [reader.take(length) for length in lengths]
    streams.append(reader.take(reader.left))
    container = Container(
        width=width,
        height=height,
        mode=MODES[flags & _MODE_MASK],
        model=model,
        streams=tuple(streams),
        symbols_checksum=int.from_bytes(data[-6:-4], "little"),
        quality=quality,
        tile=tile,
        overlap=overlap,
        icc=metadata.get(_ICC),
        cicp=metadata.get(_CICP),
        orientation=int.from_bytes(metadata[_ORIENTATION], "little")
        if _ORIENTATION in metadata
        else None,
        model_name=_name(metadata.get(_MODEL_NAME)),
    )
    _check(container, max_pixels, BitstreamError)
    return container


def quality_to_index(quality: float) -> int:
    """Continuous quality 0 … 1 → the byte in the header; both sides then use that byte's value."""
    if not 0.0 <= quality <= 1.0:
        raise ValueError(f"quality must lie in 0 … 1, not {quality}")
    return round(quality * 255)


def index_to_quality(index: int) -> float:
    """Return the quality a header byte stands for."""
    return index / 255


def fingerprint(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """First 4 bytes of a SHA-256 over names, types, shapes and little-endian values, by name."""
    sha = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        little = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False)
        sha.update(f"{name}:{array.dtype.name}:{array.shape};".encode())
        sha.update(little.tobytes())
    return sha.digest()[:_FINGERPRINT_BYTES]


def _check_frame(data: bytes) -> None:
    if not data:
        raise BitstreamError("the file is empty")
    if not data.startswith(SIGNATURE):
        if SIGNATURE.startswith(data[:4]):
            raise BitstreamError("the file is cut short")
        for start, name in _FOREIGN.items():
            if data.startswith(start):
                raise BitstreamError(f"this is {name} file, not a .tng file")
        raise BitstreamError("this is not a .tng file")
    if len(data) < _MIN_BYTES:
        raise BitstreamError("the file is cut short")
    if data[4] != VERSION:
        raise BitstreamError(
            f"the file has format version {data[4]}, this program reads version {VERSION}: "
            "update tngexp, or the file is damaged"
        )
    if zlib.crc32(data[:-_CRC_BYTES]) != int.from_bytes(data[-_CRC_BYTES:], "little"):
        raise BitstreamError("the file is damaged or cut short (its checksum does not match)")


def check_size(
    width: int,
    height: int,
    max_pixels: int = MAX_PIXELS,
    error: type[Exception] = ValueError,
) -> None:
    """Raises ``error`` for an image that no file may hold."""
    if not (1 <= width <= _MAX_SIDE and 1 <= height <= _MAX_SIDE):
        raise error(f"an image of {width}×{height} pixels is not possible")
    if width * height > max_pixels:
        raise error(f"an image of {width}×{height} pixels exceeds the limit of {max_pixels} pixels")


def _check(c: Container, max_pixels: int, error: type[Exception]) -> None:
    if c.mode not in MODES:
        raise error(f"mode must be one of {', '.join(MODES)}, not {c.mode}")
    check_size(c.width, c.height, max_pixels, error)
    if c.tile and not (1 <= c.tile <= _MAX_SIDE and 0 <= c.overlap < c.tile):
        raise error(f"tiles of {c.tile} pixels with an overlap of {c.overlap} are not possible")
    if len(c.model) != _FINGERPRINT_BYTES or not c.streams:
        raise error("a file needs a model fingerprint of 4 bytes and at least one stream")
    if not 0 <= c.symbols_checksum <= 0xFFFF or not 0 <= (c.quality or 0) <= 0xFF:
        raise error("the symbols' checksum has 16 bits, the quality 8")
    if c.orientation is not None and not 1 <= c.orientation <= 8:
        raise error(f"EXIF orientation must be 1 … 8, not {c.orientation}")
    if c.cicp is not None and len(c.cicp) != _CICP_BYTES:
        raise error(f"a CICP mark has {_CICP_BYTES} bytes, not {len(c.cicp)}")
    if c.model_name is not None and not 1 <= len(c.model_name.encode()) <= _MAX_NAME_BYTES:
        raise error("the model's name must have 1 to 255 bytes")


def _write_metadata(c: Container) -> bytes:
    entries: list[tuple[int, bytes]] = []
    if c.icc is not None:
        entries.append((_ICC, c.icc))
    if c.orientation is not None:
        entries.append((_ORIENTATION, bytes([c.orientation])))
    if c.model_name is not None:
        entries.append((_MODEL_NAME, c.model_name.encode()))
    if c.cicp is not None:
        entries.append((_CICP, c.cicp))
    return b"".join(bytes([tag]) + _varint(len(value)) + value for tag, value in entries)


def _read_metadata(data: bytes) -> dict[int, bytes]:
    """Entries by tag, those with an unknown tag included: a later writer may add some."""
    reader = _Reader(data, 0, len(data))
    entries: dict[int, bytes] = {}
    while reader.left:
        tag = reader.take(1)[0]
        if tag in entries:
            raise BitstreamError(f"metadata entry {tag} appears twice")
        entries[tag] = reader.take(reader.varint())
    return entries


def _name(value: bytes | None) -> str | None:
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise BitstreamError("the model's name is not UTF-8") from None


def _varint(value: int) -> bytes:
    """Little-endian base 128; the high bit says that more follows."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


class _Reader:
    """Reads forward within bounds; running out is a BitstreamError, never an IndexError."""

    def __init__(self, data: bytes, position: int, end: int) -> None:
        self._data, self._position, self._end = data, position, end

    @property
    def left(self) -> int:
        return self._end - self._position

    def take(self, count: int) -> bytes:
        if count > self.left:
            raise BitstreamError("a length in the header points beyond the end of the file")
        start = self._position
        self._position += count
        return self._data[start : self._position]

    def varint(self) -> int:
        value = 0
        for i in range(_MAX_VARINT_BYTES):
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << (7 * i)
            if byte < 0x80:
                if byte == 0 and i:
                    break  # a longer spelling of a smaller number
                return value
        raise BitstreamError("the header holds a malformed number")
