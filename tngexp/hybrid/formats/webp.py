"""WebP's container (RFC 9649 §2): chunks of RIFF."""

from __future__ import annotations

from typing import NamedTuple

from tngexp.hybrid.formats.base import FIELD_NAME, Format, Origin, UnknownOriginError
from tngexp.hybrid.formats.bits import cut
from tngexp.hybrid.formats.vp8 import read_vp8_steps

__all__ = ["WEBP"]

_WHAT = "a WebP file"
_HEADER = 12  # "RIFF", size of the rest, "WEBP"
_ANIMATION = 0x02  # flag of VP8X, §2.7.1


class _Chunk(NamedTuple):
    name: bytes
    payload: bytes


def matches(data: bytes) -> bool:
    return data[:4] == b"RIFF" and data[8:_HEADER] == b"WEBP"


def read_origin(data: bytes) -> Origin:
    """Of the lossy format, which always halves chroma in both directions (RFC 6386 §2)."""
    chunks = {chunk.name: chunk.payload for chunk in reversed(_chunks(data))}  # the first counts
    if (b"VP8X" in chunks and cut(chunks[b"VP8X"], 0, 1, _WHAT)[0] & _ANIMATION) or (
        b"ANMF" in chunks
    ):
        raise UnknownOriginError(f"{_WHAT} that is an animation")
    if b"VP8L" in chunks:
        raise UnknownOriginError(f"{_WHAT} that is lossless: nothing is quantized")
    if b"VP8 " not in chunks:
        raise UnknownOriginError(f"{_WHAT} without a picture")
    luma, chroma = read_vp8_steps(chunks[b"VP8 "])
    return Origin("webp", luma, chroma, True)


def read_field(data: bytes) -> bytes | None:
    for chunk in _chunks(data):
        if chunk.name == FIELD_NAME:
            return chunk.payload
    return None


def write_field(data: bytes, content: bytes) -> bytes:
    """An unknown chunk as the last one, which readers ignore (§2.7.1.6)."""
    chunks = [chunk for chunk in _chunks(data) if chunk.name != FIELD_NAME]
    body = b"WEBP" + b"".join(map(_pack, [*chunks, _Chunk(FIELD_NAME, content)]))
    return b"RIFF" + len(body).to_bytes(4, "little") + body + data[_end(data) :]


def _end(data: bytes) -> int:
    """Where the container ends; bytes behind it mean nothing."""
    return 8 + int.from_bytes(data[4:8], "little")


def _chunks(data: bytes) -> list[_Chunk]:
    end = _end(data)
    data = cut(data, 0, end, _WHAT)
    chunks = []
    position = _HEADER
    while position < end:
        header = cut(data, position, 8, _WHAT)
        size = int.from_bytes(header[4:], "little")
        chunks.append(_Chunk(header[:4], cut(data, position + 8, size, _WHAT)))
        position += 8 + size + size % 2
    return chunks


def _pack(chunk: _Chunk) -> bytes:
    size = len(chunk.payload)
    return chunk.name + size.to_bytes(4, "little") + chunk.payload + bytes(size % 2)


WEBP = Format("WebP", matches, read_origin, read_field, write_field)
