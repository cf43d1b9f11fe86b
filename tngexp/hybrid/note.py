"""A small field in a standard image file, for the network that restores its picture.

Viewers skip it and show the picture as ever. It takes 12 bytes in JPEG and WebP, 14 in HEVC, 16 in
AVIF and 8 or 9 in BPG for a width of 64 to 8191 and a height of 128 to 16383 pixels; where it says
that the picture is to be shown as decoded, one more, and two in WebP.

Editors keep fields that they do not know, JPEG's comments above all. So what a note says may be of
an earlier picture: its size is for :func:`tngexp.hybrid.scaling.factor_between` to judge, and the
mark counts only while the quantizer steps are those that it was made with.
"""

from __future__ import annotations

import zlib
from typing import NamedTuple

from tngexp.hybrid.formats.base import Format, UnknownOriginError
from tngexp.hybrid.origin import find_format

__all__ = ["Note", "add_note", "read_note"]

_MAX_SIDE = 2**26 - 1  # pixels; twice that fits into four groups of 7 bits


class Note(NamedTuple):
    """What the decoder cannot see in the file itself."""

    width: int  # of the picture before it was made smaller, in pixels
    height: int
    plain: bool = False  # to be shown as decoded: the network would make it worse


def read_note(data: bytes) -> Note | None:
    """The note in a file; None where there is none, or something else in its place.

    It is not ``plain`` any more where the file was coded again, with other steps.

    Raises:
        UnknownOriginError: for a file that is damaged so that none could be found.
    """
    found = find_format(data)
    content = None if found is None else found.read_field(data)
    if found is None or content is None:
        return None
    numbers = _unpack(content)
    if numbers is None:
        return None
    (both, height), check = numbers[:2], numbers[2:]
    # Files written before there was a check have none.
    plain = both % 2 == 1 and (not check or check == [_check(found, data)])
    return Note(both // 2, height, plain)


def add_note(data: bytes, note: Note) -> bytes:
    """The file with this note instead of one that it may have; it shows the same picture.

    Raises:
        UnknownOriginError: for a file of a kind that takes no note, or a damaged one.
        ValueError: for a side that is not in 1 … 2²⁶ − 1.
    """
    if not (1 <= note.width <= _MAX_SIDE and 1 <= note.height <= _MAX_SIDE):
        raise ValueError(f"a picture of {note.width} × {note.height} pixels")
    found = find_format(data)
    if found is None:
        raise UnknownOriginError("a file of a kind that takes no note")
    numbers = [2 * note.width + note.plain, note.height]
    return found.write_field(data, _pack(numbers + [_check(found, data)] * note.plain))


def _check(kind: Format, data: bytes) -> int:
    """1 … 127 of how a file was coded; it fits into one byte that is not zero."""
    try:
        origin = kind.read_origin(data)
    except UnknownOriginError:  # lossless, perhaps
        steps = ""
    else:
        steps = f"{origin.luma_step:.4g} {origin.chroma_step:.4g}"
    return 1 + zlib.crc32(steps.encode()) % 127


def _pack(numbers: list[int]) -> bytes:
    """Numbers in groups of 7 bits, lowest first; more follow a set high bit.

    They are 2 · width + plain, height and, of a plain picture, the check. All are positive and take
    as few bytes as they can. So no byte is zero, and no format has to escape any.
    """
    packed = bytearray()
    for number in numbers:
        while number >= 128:
            packed.append(128 | number % 128)
            number //= 128
        packed.append(number)
    return bytes(packed)


def _unpack(packed: bytes) -> list[int] | None:
    """The reverse of :func:`_pack`; None for what :func:`add_note` does not write."""
    numbers, number, shift = [], 0, 0
    for byte in packed:
        number |= (byte % 128) << shift
        shift += 7
        if byte < 128:
            numbers.append(number)
            number, shift = 0, 0
    if not 2 <= len(numbers) <= 3 or min(numbers) < 1 or _pack(numbers) != packed:
        return None
    both, height, *check = numbers
    if not (1 <= both // 2 <= _MAX_SIDE and height <= _MAX_SIDE):
        return None
    if check and (both % 2 == 0 or check[0] > 127):
        return None
    return numbers
