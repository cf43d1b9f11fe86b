"""JPEG (ITU-T T.81): tables of DQT segments, sampling factors of the frame header."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tngexp.hybrid.formats.base import (
    FIELD_NAME,
    Format,
    Origin,
    UnknownOriginError,
    geometric_mean,
)
from tngexp.hybrid.formats.bits import BitReader, cut

__all__ = ["JPEG"]

_WHAT = "a JPEG file"
_SOI = b"\xff\xd8"
_DQT, _SOS, _EOI, _APP0, _APP15, _COM = 0xDB, 0xDA, 0xD9, 0xE0, 0xEF, 0xFE
_TEM, _RST0, _RST7 = 0x01, 0xD0, 0xD7  # markers without a length, as SOI and EOI are
_DCT_FRAMES = {0xC0, 0xC1, 0xC2, 0xC9, 0xCA}  # baseline, extended and progressive
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # less DHT, JPG and DAC


class _Segment(NamedTuple):
    start: int  # of its marker, in bytes
    marker: int  # second byte of it
    payload: bytes  # after the length

    @property
    def end(self) -> int:
        return self.start + 4 + len(self.payload)


class _Component(NamedTuple):
    horizontal: int  # sampling factors
    vertical: int
    table: int


def matches(data: bytes) -> bool:
    """SOI and the first byte of another marker."""
    return data.startswith(_SOI + b"\xff")


def read_origin(data: bytes) -> Origin:
    """Steps are geometric means of each table over all AC coefficients.

    JPEG's DCT is orthonormal (§A.3.3), so that entries of tables are steps. All 63 count alike,
    since this makes steps compare with the single one of other codecs: a photo coded with the usual
    tables has the error that it has with the same step in HEVC from quality 75 on, and with half of
    it at quality 10 to 25, where high frequencies are zeros whatever their steps. The mean of the
    low frequencies alone is a third of that.

    Of four components the fourth, black, is left out; of files without luminance (RGB, CMYK) the
    first one takes its part.
    """
    tables: dict[int, float] = {}
    components: list[_Component] = []
    scale = 1.0
    for segment in _segments(data):
        if segment.marker == _DQT:
            tables |= _steps(segment.payload)
        elif segment.marker in _FRAMES:
            if segment.marker not in _DCT_FRAMES:
                raise UnknownOriginError(f"{_WHAT} of the lossless or hierarchical process")
            precision, components = _frame(segment.payload)
            scale = 2.0 ** (8 - precision)
    if not components:
        raise UnknownOriginError(f"{_WHAT} without a frame header")
    if not tables.keys() >= {component.table for component in components}:
        raise UnknownOriginError(f"{_WHAT} without quantization tables")
    luma, *chroma = components[:3]
    luma_step = scale * tables[luma.table]
    return Origin(
        "jpeg",
        luma_step,
        scale * geometric_mean(tables[c.table] for c in chroma) if chroma else luma_step,
        any(c.horizontal < luma.horizontal or c.vertical < luma.vertical for c in chroma),
    )


def read_field(data: bytes) -> bytes | None:
    for segment in _segments(data):
        if _is_field(segment):
            return segment.payload[len(FIELD_NAME) :]
    return None


def write_field(data: bytes, content: bytes) -> bytes:
    """A comment (§B.2.4.5), behind segments of applications, some of which have to come first."""
    segments = list(_segments(data))
    keep = [segment for segment in segments if not _is_field(segment)]
    leading = 0
    while leading < len(keep) and _APP0 <= keep[leading].marker <= _APP15:
        leading += 1
    payload = FIELD_NAME + content
    field = bytes([0xFF, _COM]) + (2 + len(payload)).to_bytes(2, "big") + payload
    parts = [data[segment.start : segment.end] for segment in keep]
    rest = data[segments[-1].end if segments else len(_SOI) :]
    return b"".join([_SOI, *parts[:leading], field, *parts[leading:], rest])


def _is_field(segment: _Segment) -> bool:
    return segment.marker == _COM and segment.payload.startswith(FIELD_NAME)


def _segments(data: bytes) -> Iterator[_Segment]:
    """Segments up to and with the header of the first scan (§B.1.1).

    Raises:
        UnknownOriginError: when there is no scan.
    """
    position = len(_SOI)
    while True:
        start = position
        prefix, marker = cut(data, position, 2, _WHAT)
        if prefix != 0xFF:
            raise UnknownOriginError(f"{_WHAT} that is damaged: no marker where one should be")
        if marker == 0xFF:  # any marker may have bytes before it that fill
            position += 1
            continue
        if marker == _EOI:
            raise UnknownOriginError(f"{_WHAT} without a picture")
        if marker in (0, _TEM) or _RST0 <= marker <= _RST7 + 1:
            raise UnknownOriginError(f"{_WHAT} that is damaged: marker {marker:02X} in its header")
        length = int.from_bytes(cut(data, position + 2, 2, _WHAT), "big")
        if length < 2:
            raise UnknownOriginError(f"{_WHAT} that is damaged: a segment of {length} bytes")
        yield _Segment(start, marker, cut(data, position + 4, length - 2, _WHAT))
        position += 2 + length
        if marker == _SOS:
            return


def _steps(payload: bytes) -> dict[int, float]:
    """Mean step of each table of a DQT segment (§B.2.4.1)."""
    steps = {}
    reader = BitReader(payload, f"{_WHAT} with a quantization table")
    while reader.left:
        precision, table = reader.u(4), reader.u(4)
        entries = [reader.u(16 if precision else 8) for _ in range(64)]
        if not all(entries):
            raise UnknownOriginError(f"{_WHAT} that is damaged: a quantizer step of 0")
        steps[table] = geometric_mean(entries[1:])
    return steps


def _frame(payload: bytes) -> tuple[int, list[_Component]]:
    """Bits of a sample, and the components (§B.2.2)."""
    reader = BitReader(payload, f"{_WHAT} with a frame header")
    precision = reader.u(8)
    reader.u(32)  # height and width
    components = []
    for _ in range(reader.u(8)):
        reader.u(8)  # identifier
        components.append(_Component(reader.u(4), reader.u(4), reader.u(8)))
    return precision, components


JPEG = Format("JPEG", matches, read_origin, read_field, write_field)
