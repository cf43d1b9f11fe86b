"""A small field in a standard image file, for the network that restores its picture.

Viewers skip it and show the picture as ever. It takes 12 bytes in JPEG and WebP, 14 in HEVC, 16 in
AVIF and 8 or 9 in BPG for a width of 64 to 8191 and a height of 128 to 16383 pixels.
"""

from __future__ import annotations

from typing import NamedTuple

from tngexp.hybrid.formats.base import UnknownOriginError
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

    Raises:
        UnknownOriginError: for a file that is damaged so that none could be found.
    """
    found = find_format(data)
    content = None if found is None else found.read_field(data)
    return None if content is None else _unpack(content)


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
    return found.write_field(data, _pack(note))


def _pack(note: Note) -> bytes:
    """2 · width + plain and height, in groups of 7 bits, lowest first; more follow a set high bit.

    Both numbers are positive and take as few bytes as they can. So no byte is zero, and no format
    has to escape any.
    """
    packed = bytearray()
    for number in (2 * note.width + note.plain, note.height):
        while number >= 128:
            packed.append(128 | number % 128)
            number //= 128
        packed.append(number)
    return bytes(packed)


def _unpack(packed: bytes) -> Note | None:
    """The reverse of :func:`_pack`; None for what it does not write."""
    numbers, number, shift = [], 0, 0
    for byte in packed:
        number |= (byte % 128) << shift
        shift += 7
        if byte < 128:
            numbers.append(number)
            number, shift = 0, 0
    if len(numbers) != 2 or numbers[0] < 2 or numbers[1] < 1:
        return None
    note = Note(numbers[0] // 2, numbers[1], numbers[0] % 2 == 1)
    if max(note.width, note.height) > _MAX_SIDE or _pack(note) != packed:
        return None
    return note
