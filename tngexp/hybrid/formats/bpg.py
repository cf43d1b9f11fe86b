"""BPG (bellard.org/bpg, specification 0.9.5): a short header before the units of HEVC."""

from __future__ import annotations

from typing import NamedTuple

from tngexp.hybrid.formats.base import Format, Origin, UnknownOriginError
from tngexp.hybrid.formats.bits import BitReader, cut
from tngexp.hybrid.formats.hevc import START_CODE, Sequence, read_pictures_origin, split

__all__ = ["BPG"]

_WHAT = "a BPG file"
_MAGIC = b"BPG\xfb"
_EXTENSION, _ALPHA2, _ANIMATION = 0x08, 0x04, 0x01  # of the sixth byte
_ALPHA1, _DEPTH = 0x10, 0x0F  # of the fifth; the depth less 8
_CHROMA_FORMATS = {0: 0, 1: 1, 2: 2, 3: 3, 4: 1, 5: 2}  # by pixel_format; 4 and 5 are as in video
_TAG = 0x74 << 14 | 0x6E << 7 | 0x47
"""Of the field: the letters tnG, which as all tags is written in groups of 7 bits."""


class _Parts(NamedTuple):
    """A file, cut open."""

    flags: bytes  # two bytes behind the magic number
    sizes: list[int]  # width, height, bytes of the picture's data or 0
    extensions: list[tuple[int, bytes]]  # tag and content
    rest: bytes  # from HEVC's header on


def matches(data: bytes) -> bool:
    return data.startswith(_MAGIC)


def read_origin(data: bytes) -> Origin:
    """Of the colour planes; their QP stands in a slice header as in any stream of HEVC."""
    parts = _split(data)
    if parts.flags[1] & _ANIMATION:
        raise UnknownOriginError(f"{_WHAT} that is an animation")
    chroma_format = _CHROMA_FORMATS.get(parts.flags[0] >> 5)
    if chroma_format is None:
        raise UnknownOriginError(f"{_WHAT} that is damaged: an unknown pixel format")
    reader = BitReader(parts.rest, _WHAT)
    if parts.flags[0] & _ALPHA1 or parts.flags[1] & _ALPHA2:
        reader.take(_ue7(reader))  # the header of the alpha plane, whose units are of layer 1
    header = BitReader(reader.take(_ue7(reader)), _WHAT)
    for _ in range(5):  # sizes and depths of blocks
        header.ue()
    sequence = Sequence(chroma_format, False, header.flag())
    units = split(START_CODE + reader.take(reader.left // 8))  # the first one has none
    return read_pictures_origin((unit.content for unit in units), {0: sequence})


def is_deep(data: bytes) -> bool:
    return cut(data, len(_MAGIC), 1, _WHAT)[0] & _DEPTH > 0


def read_field(data: bytes) -> bytes | None:
    return dict(_split(data).extensions).get(_TAG)


def write_field(data: bytes, content: bytes) -> bytes:
    """Extension data with a tag of one's own: decoders ignore the tags that they do not know."""
    parts = _split(data)
    extensions = [(tag, value) for tag, value in parts.extensions if tag != _TAG]
    block = b"".join(
        _pack_ue7(tag) + _pack_ue7(len(value)) + value
        for tag, value in [*extensions, (_TAG, content)]
    )
    flags = bytes([parts.flags[0], parts.flags[1] | _EXTENSION])
    sizes = b"".join(map(_pack_ue7, [*parts.sizes, len(block)]))
    return _MAGIC + flags + sizes + block + parts.rest


def _split(data: bytes) -> _Parts:
    reader = BitReader(data, _WHAT)
    reader.take(len(_MAGIC))
    flags = reader.take(2)
    sizes = [_ue7(reader) for _ in range(3)]
    extensions = []
    if flags[1] & _EXTENSION:
        block = BitReader(reader.take(_ue7(reader)), _WHAT)
        while block.left:
            extensions.append((_ue7(block), block.take(_ue7(block))))
    return _Parts(flags, sizes, extensions, reader.take(reader.left // 8))


def _ue7(reader: BitReader) -> int:
    """An unsigned number of 32 bits, 7 in each byte, highest first; the last has no high bit."""
    value = 0
    for _ in range(5):
        more = reader.flag()
        value = value << 7 | reader.u(7)
        if not more:
            return value
    raise UnknownOriginError(f"{_WHAT} that is damaged: a number of too many bytes")


def _pack_ue7(value: int) -> bytes:
    groups = [value & 127]
    while value := value >> 7:
        groups.append(128 | value & 127)
    return bytes(reversed(groups))


BPG = Format("BPG", matches, read_origin, read_field, write_field, is_deep)
