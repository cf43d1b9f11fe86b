"""AVIF's container: boxes of ISO/IEC 14496-12, and pictures as items of ISO/IEC 23008-12."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tngexp.hybrid.formats.av1 import read_av1_origin
from tngexp.hybrid.formats.base import FIELD_NAME, Format, Origin, UnknownOriginError
from tngexp.hybrid.formats.bits import BitReader, cut

__all__ = ["AVIF"]

_WHAT = "an AVIF file"
_HIGH_DEPTH = 0x40  # of the third byte of a configuration: 10 or 12 bits
_IN_FILE, _IN_META = 0, 1  # construction_method: where an item's bytes are


class _Box(NamedTuple):
    name: bytes
    start: int  # of its header, in bytes
    payload: bytes
    endless: bool  # it goes on to the end of the file, instead of having a size


def matches(data: bytes) -> bool:
    """A first box with brands, one of which says AVIF."""
    return data[4:8] == b"ftyp" and bool({b"avif", b"avis"} & _brands(data))


def read_origin(data: bytes) -> Origin:
    """Of the primary item, of a grid's first tile; alpha is another item."""
    if data[8:12] == b"avis":
        raise UnknownOriginError(f"{_WHAT} that is an animation")
    boxes = _named(_boxes(data))
    if b"meta" not in boxes:
        raise UnknownOriginError(f"{_WHAT} without a picture")
    meta = _named(_boxes(boxes[b"meta"][4:]))  # behind version and flags
    if not {b"pitm", b"iloc", b"iinf"} <= meta.keys():
        raise UnknownOriginError(f"{_WHAT} without a picture")
    item = _primary(BitReader(meta[b"pitm"], _WHAT))
    kinds = _kinds(meta[b"iinf"])
    if kinds.get(item) == b"grid":
        item = _first_tile(item, meta.get(b"iref", b""))
    if kinds.get(item) != b"av01":
        raise UnknownOriginError(f"{_WHAT} whose picture is not coded with AV1")
    return read_av1_origin(_item(item, BitReader(meta[b"iloc"], _WHAT), data, meta))


def read_field(data: bytes) -> bytes | None:
    for box in _boxes(data):
        if _is_field(box):
            return box.payload[len(FIELD_NAME) :]
    return None


def write_field(data: bytes, content: bytes) -> bytes:
    """A box of free space at the end, where it moves nothing; readers skip those (§8.1.2)."""
    boxes = list(_boxes(data))
    if boxes and _is_field(boxes[-1]):
        data = data[: boxes.pop().start]
    parts = []
    for box, end in zip(boxes, [*(box.start for box in boxes[1:]), len(data)], strict=True):
        part = data[box.start : end]
        if box.endless:  # now something follows
            part = len(part).to_bytes(4, "big") + part[4:]
        if _is_field(box):  # what is behind it stays where it is
            part = part[: -len(box.payload)] + bytes(len(box.payload))
        parts.append(part)
    payload = FIELD_NAME + content
    return b"".join([*parts, (8 + len(payload)).to_bytes(4, "big"), b"free", payload])


def is_deep(data: bytes) -> bool:
    """By what the configuration of any of its pictures (AV1 in ISOBMFF §2.3) says."""
    payload = data
    for name, header in ((b"meta", 4), (b"iprp", 0), (b"ipco", 0)):
        payload = _named(_boxes(payload)).get(name, b"")[header:]
    configurations = (box.payload for box in _boxes(payload) if box.name == b"av1C")
    return any(cut(content, 2, 1, _WHAT)[0] & _HIGH_DEPTH for content in configurations)


def _brands(data: bytes) -> set[bytes]:
    """Major and compatible brands; the version between them cannot be taken for one."""
    end = min(int.from_bytes(data[:4], "big"), len(data))
    return {data[position : position + 4] for position in range(8, end, 4)}


def _is_field(box: _Box) -> bool:
    return box.name == b"free" and box.payload.startswith(FIELD_NAME)


def _boxes(data: bytes) -> Iterator[_Box]:
    position = 0
    while position < len(data):
        header = 8
        size = int.from_bytes(cut(data, position, 4, _WHAT), "big")
        name = cut(data, position + 4, 4, _WHAT)
        endless = size == 0
        if endless:
            size = len(data) - position
        elif size == 1:
            size = int.from_bytes(cut(data, position + 8, 8, _WHAT), "big")
            header = 16
        if size < header:
            raise UnknownOriginError(f"{_WHAT} that is damaged: a box of {size} bytes")
        payload = cut(data, position + header, size - header, _WHAT)
        yield _Box(name, position, payload, endless)
        position += size


def _named(boxes: Iterator[_Box]) -> dict[bytes, bytes]:
    """Payloads by name, the first of each."""
    payloads: dict[bytes, bytes] = {}
    for box in boxes:
        payloads.setdefault(box.name, box.payload)
    return payloads


def _primary(reader: BitReader) -> int:
    """Number of the primary item (23008-12 §8.11.4)."""
    version = reader.u(8)
    reader.u(24)
    return reader.u(32 if version else 16)


def _kinds(payload: bytes) -> dict[int, bytes]:
    """Type of each item, by number (§8.11.6)."""
    reader = BitReader(payload, _WHAT)
    version = reader.u(8)
    reader.u(24 + (32 if version else 16))
    kinds = {}
    for box in _boxes(reader.take(reader.left // 8)):
        entry = BitReader(box.payload, _WHAT)
        version = entry.u(8)
        entry.u(24)
        if version < 2:
            continue  # items without a type
        number = entry.u(32 if version > 2 else 16)
        entry.u(16)
        kinds[number] = entry.take(4)
    return kinds


def _first_tile(grid: int, references: bytes) -> int:
    """First item that another one is made of (§8.11.12); that one itself if nothing says it."""
    long = references[:1] == b"\1"
    for box in _boxes(references[4:]):
        reader = BitReader(box.payload, _WHAT)
        source = reader.u(32 if long else 16)
        if box.name == b"dimg" and source == grid and reader.u(16):
            return reader.u(32 if long else 16)
    return grid


def _item(wanted: int, reader: BitReader, data: bytes, meta: dict[bytes, bytes]) -> bytes:
    """The bytes of an item (§8.11.3)."""
    version = reader.u(8)
    reader.u(24)
    offset_bits, length_bits, base_bits, index_bits = (8 * reader.u(4) for _ in range(4))
    if version == 0:
        index_bits = 0
    number_bits = 32 if version > 1 else 16
    for _ in range(reader.u(number_bits)):
        number = reader.u(number_bits)
        method = reader.u(16) & 15 if version else _IN_FILE
        reader.u(16)
        base = reader.u(base_bits)
        extents = reader.u(16)
        if number != wanted:
            reader.skip(extents * (index_bits + offset_bits + length_bits))
            continue
        if method not in (_IN_FILE, _IN_META):
            raise UnknownOriginError(f"{_WHAT} whose picture is put together from other items")
        source = data if method == _IN_FILE else meta.get(b"idat", b"")
        parts = []
        for _ in range(extents if offset_bits + length_bits else min(extents, 1)):
            reader.u(index_bits)
            offset = base + reader.u(offset_bits)
            length = reader.u(length_bits) or max(len(source) - offset, 0)  # 0: all of it
            parts.append(cut(source, offset, length, _WHAT))
        return b"".join(parts)
    raise UnknownOriginError(f"{_WHAT} without a picture")


AVIF = Format("AVIF", matches, read_origin, read_field, write_field, is_deep)
