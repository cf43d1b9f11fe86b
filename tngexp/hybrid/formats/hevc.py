"""HEVC intra pictures (ITU-T H.265): streams of NAL units, and the quantizer of their slices."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from tngexp.hybrid.formats.base import FIELD_NAME, Format, Origin, UnknownOriginError
from tngexp.hybrid.formats.bits import BitReader

__all__ = ["HEVC", "START_CODE", "Sequence", "Unit", "read_pictures_origin", "split"]

_WHAT = "an HEVC stream"
START_CODE = b"\x00\x00\x01"
_VCL_END, _IDR, _VPS, _SPS, _PPS, _AUD, _SEI = 32, (19, 20), 32, 33, 34, 35, 39  # §7.4.2.2
_APPLICATION = 62  # of the types that the standard leaves to applications
_FIELD = bytes([_APPLICATION << 1, 1]) + FIELD_NAME
_STOP = b"\x80"  # a unit must not end in a zero byte
_INTRA = 2  # slice_type
_HEADERS_LENGTH = 4096  # bytes; more than what is read of any unit

# Table 8-10: QP of chroma for indices 30 … 43 where chroma is halved in both directions.
_CHROMA_QP = (29, 30, 31, 32, 33, 33, 34, 34, 35, 35, 36, 36, 37, 37)


class Sequence(NamedTuple):
    """What slice headers need of a sequence parameter set (§7.3.2.2)."""

    chroma_format: int  # 0 grey, 1 4:2:0, 2 4:2:2, 3 4:4:4
    separate_planes: bool  # coded as three grey pictures
    adaptive_offset: bool


class _Picture(NamedTuple):
    """What slices need of a picture parameter set (§7.3.2.3)."""

    sequence: int
    output_flag: bool
    extra_bits: int
    qp: int
    chroma_qps: tuple[int, int]  # offsets of Cb and Cr
    slice_chroma_qps: bool


class Unit(NamedTuple):
    """A NAL unit in its stream."""

    start: int  # of its start code, in bytes
    content: bytes  # from its header to where the next one starts


def matches(data: bytes) -> bool:
    """A start code of three or four bytes and the header of a unit that may come first."""
    start, one, header = data[:6].partition(b"\1")
    return (
        one == b"\1"
        and start in (b"\0\0", b"\0\0\0")
        and len(header) >= 2
        and header[0] >> 1 in (_VPS, _SPS, _AUD, _SEI)
        and header[1] == 1
    )


def read_origin(data: bytes) -> Origin:
    return read_pictures_origin((unit.content for unit in split(data)), {})


def read_field(data: bytes) -> bytes | None:
    for unit in split(data):
        if _is_field(unit):
            return unit.content.rstrip(b"\0")[len(_FIELD) : -len(_STOP)]
    return None


def write_field(data: bytes, content: bytes) -> bytes:
    """A unit for applications, which decoders skip.

    It follows the picture, as units of this type must (§7.4.2.4.4), but precedes others of its
    type: :mod:`tngexp.anchors.intra` wants its own at the end. ``content`` has no zero bytes, so
    that nothing in it looks like a start code.
    """
    units = list(split(data))
    parts = [(unit, data[unit.start : unit.start + 3] + unit.content) for unit in units]
    keep = [(unit, part) for unit, part in parts if not _is_field(unit)]
    behind = len(keep)
    while behind and _type(keep[behind - 1][0].content) == _APPLICATION:
        behind -= 1
    field = START_CODE + _FIELD + content + _STOP
    begin = data[: units[0].start]  # a zero, or none
    chunks = [part for _, part in keep]
    return b"".join([begin, *chunks[:behind], field, *chunks[behind:]])


def split(data: bytes) -> Iterator[Unit]:
    """Units of a byte stream (Annex B)."""
    start = data.find(START_CODE)
    while start >= 0:
        content = start + len(START_CODE)
        following = data.find(START_CODE, content)
        yield Unit(start, data[content : following if following >= 0 else None])
        start = following


def read_pictures_origin(units: Iterable[bytes], sequences: dict[int, Sequence]) -> Origin:
    """Origin by the first slice, Qstep = 2^((QP − 4) / 6) of §8.6.2 for 8 bits.

    A bit more per sample doubles both the levels and, as QpBdOffset, the step, so that the depth
    plays no part. QPs of single blocks may differ from their slice's and are not read: for those,
    arithmetic decoding would be needed.

    Args:
        units: from their headers on, without start codes.
        sequences: parameter sets that are known already, by number.

    Raises:
        UnknownOriginError: for anything but an intra picture with the quantizer alone.
    """
    pictures: dict[int, _Picture] = {}
    for unit in units:
        kind, layer = _type(unit), int.from_bytes(unit[:2], "big") >> 3 & 63
        if layer or len(unit) < 3:
            continue
        # §7.3.1.1: a 3 behind two zeros is there to prevent a start code.
        reader = BitReader(unit[2:_HEADERS_LENGTH].replace(b"\0\0\3", b"\0\0"), _WHAT)
        if kind == _SPS:
            number, sequence = _sequence(reader)
            sequences = {**sequences, number: sequence}
        elif kind == _PPS:
            number = reader.ue()
            pictures[number] = _picture(reader)
        elif kind < _VCL_END:
            if kind not in _IDR:
                raise UnknownOriginError(f"{_WHAT} that does not begin with an intra picture")
            return _origin(reader, sequences, pictures)
    raise UnknownOriginError(f"{_WHAT} without a picture")


def _type(unit: bytes) -> int:
    return unit[0] >> 1 & 63 if unit else -1


def _is_field(unit: Unit) -> bool:
    return unit.content.startswith(_FIELD)


def _sequence(reader: BitReader) -> tuple[int, Sequence]:
    """Number and content of a sequence parameter set."""
    reader.u(4)
    sub_layers = reader.u(3)  # beside the first
    reader.u(1)
    reader.u(88 + 8)  # profile and level, §7.3.3
    present = [(reader.flag(), reader.flag()) for _ in range(sub_layers)]
    reader.u(2 * (8 - sub_layers) if sub_layers else 0)
    for profile, level in present:
        reader.u(88 * profile + 8 * level)
    number = reader.ue()
    chroma_format = reader.ue()
    separate_planes = chroma_format == 3 and reader.flag()
    _skip_ue(reader, 2)  # width and height
    _skip_ue(reader, 4 if reader.flag() else 0)  # margins
    _skip_ue(reader, 3)  # depths, bits of a picture's number
    _skip_ue(reader, 3 * (sub_layers + 1 if reader.flag() else 1))  # buffers
    _skip_ue(reader, 6)  # sizes and depths of blocks
    if reader.flag():
        raise UnknownOriginError(f"{_WHAT} with scaling lists, which are not read")
    reader.u(1)
    return number, Sequence(chroma_format, separate_planes, reader.flag())


def _picture(reader: BitReader) -> _Picture:
    """A picture parameter set behind its own number."""
    sequence = reader.ue()
    reader.u(1)
    output_flag, extra_bits = reader.flag(), reader.u(3)
    reader.u(2)
    _skip_ue(reader, 2)
    qp = 26 + reader.se()
    reader.u(2)
    _skip_ue(reader, 1 if reader.flag() else 0)  # QPs of blocks
    chroma_qps = (reader.se(), reader.se())
    slice_chroma_qps = reader.flag()
    reader.u(2)
    if reader.flag():
        raise UnknownOriginError(f"{_WHAT} that may be lossless: it can bypass the quantizer")
    return _Picture(sequence, output_flag, extra_bits, qp, chroma_qps, slice_chroma_qps)


def _origin(
    reader: BitReader, sequences: dict[int, Sequence], pictures: dict[int, _Picture]
) -> Origin:
    """Origin by the header (§7.3.6.1) of the first slice of an IDR picture."""
    first = reader.flag()
    reader.u(1)
    picture = pictures.get(reader.ue())
    sequence = None if picture is None else sequences.get(picture.sequence)
    if not first or picture is None or sequence is None:
        raise UnknownOriginError(f"{_WHAT} that is damaged: its picture lacks parameters")
    reader.u(picture.extra_bits)
    if reader.ue() != _INTRA:
        raise UnknownOriginError(f"{_WHAT} that does not begin with an intra picture")
    reader.u(picture.output_flag + 2 * sequence.separate_planes)
    chroma_array = 0 if sequence.separate_planes else sequence.chroma_format
    if sequence.adaptive_offset:
        reader.u(2 if chroma_array else 1)
    qp = picture.qp + reader.se()
    offsets = picture.chroma_qps
    if picture.slice_chroma_qps:
        offsets = (offsets[0] + reader.se(), offsets[1] + reader.se())
    if not -48 <= qp <= 51:  # −QpBdOffset of 16 bits
        raise UnknownOriginError(f"{_WHAT} that is damaged: a QP of {qp}")
    chroma_qp = float(qp)
    if chroma_array:
        chroma_qp = sum(_chroma_qp(qp + offset, chroma_array) for offset in offsets) / 2
    return Origin("bpg", _step(qp), _step(chroma_qp), sequence.chroma_format in (1, 2))


def _chroma_qp(index: int, chroma_array: int) -> int:
    """§8.6.1."""
    if chroma_array != 1:
        return min(index, 51)
    if index < 30:
        return index
    return _CHROMA_QP[index - 30] if index <= 43 else min(index, 57) - 6


def _step(qp: float) -> float:
    return 2.0 ** ((qp - 4) / 6)


def _skip_ue(reader: BitReader, times: int) -> None:
    for _ in range(times):
        reader.ue()


# Of any depth: what the anchor ``hevc`` writes of 8 bits is coded with 10.
HEVC = Format("HEVC", matches, read_origin, read_field, write_field)
