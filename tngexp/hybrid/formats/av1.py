"""AV1's headers (AV1 Bitstream & Decoding Process Specification), up to the quantizer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tngexp.hybrid.formats.av1_tables import AC_STEPS, CHROMA_WEIGHTS, LUMA_WEIGHTS
from tngexp.hybrid.formats.base import Origin, UnknownOriginError, geometric_mean
from tngexp.hybrid.formats.bits import BitReader

__all__ = ["read_av1_origin"]

_WHAT = "an AVIF file"
_SEQUENCE, _FRAME_HEADER, _FRAME = 1, 3, 6  # obu_type, §6.2.2
_SELECT = 2  # by each frame: SELECT_SCREEN_CONTENT_TOOLS and SELECT_INTEGER_MV
_KEY = 0  # frame_type
_MAX_TILE_WIDTH, _MAX_TILE_AREA, _MAX_TILES = 4096, 4096 * 2304, 64  # per direction, §3
_SCALE = 1 / 8
"""Of AV1's steps to those of an orthonormal transform: coefficients of 8 bits have three bits more
(§7.13.3; those of large blocks fewer, which dequantization in §7.12.3 makes up for)."""


class _Sequence(NamedTuple):
    """What frame headers need of a sequence header (§5.5)."""

    reduced: bool  # header of a still picture
    frame_times: int  # bits of a presentation time in the frame header, or 0
    buffer_times: int  # bits of a removal time
    timed_points: list[int]  # operating points that may have one: operating_point_idc
    decoder_model: bool
    size_bits: tuple[int, int]
    size: tuple[int, int]  # width and height
    id_bits: int  # of a frame's number, or 0
    superblock: int  # 64 or 128 pixels
    screen_tools: int
    integer_vectors: int
    order_bits: int
    superres: bool
    depth: int  # 8, 10 or 12 bits
    planes: int  # 1 or 3
    subsampled: bool
    separate_v: bool  # quantizer deltas of the two planes of chroma


def read_av1_origin(data: bytes) -> Origin:
    """Of the first frame of a sequence of OBUs, which has to be a key frame.

    Quantizers of single blocks may differ from their frame's, by segments or by deltas, and are
    not read: for those, arithmetic decoding would be needed. Matrices, which libaom's tuning for
    pictures uses, count by the geometric mean of what they multiply steps with, as in JPEG.

    Raises:
        UnknownOriginError: for lossless frames, and what is no such sequence.
    """
    sequence = None
    for kind, payload in _units(data):
        if kind == _SEQUENCE:
            sequence = _sequence(BitReader(payload, _WHAT))
        elif kind in (_FRAME, _FRAME_HEADER):
            if sequence is None:
                break
            return _frame(BitReader(payload, _WHAT), sequence)
    raise UnknownOriginError(f"{_WHAT} that is damaged: its picture lacks headers")


def _units(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Type and payload of OBUs (§5.3)."""
    reader = BitReader(data, _WHAT)
    while reader.left:
        reader.u(1)
        kind, extended, sized = reader.u(4), reader.flag(), reader.flag()
        reader.u(1 + 8 * extended)
        yield kind, reader.take(_leb128(reader) if sized else reader.left // 8)


def _leb128(reader: BitReader) -> int:
    value = 0
    for shift in range(0, 56, 7):
        more = reader.flag()
        value |= reader.u(7) << shift
        if not more:
            return value
    raise UnknownOriginError(f"{_WHAT} that is damaged: a size of too many bytes")


def _sequence(reader: BitReader) -> _Sequence:
    profile = reader.u(3)
    reader.u(1)
    reduced = reader.flag()
    frame_times, buffer_times, timed_points, decoder_model = 0, 0, list[int](), False
    if reduced:
        reader.u(5)
    else:
        equal_intervals, delay_bits = True, 0
        if reader.flag():  # timing, §5.5.3
            reader.u(64)
            equal_intervals = reader.flag()
            if equal_intervals:
                reader.ue()
            decoder_model = reader.flag()
            if decoder_model:  # §5.5.4
                delay_bits = reader.u(5) + 1
                reader.u(32)
                buffer_times = reader.u(5) + 1
                frame_times = reader.u(5) + 1
        if equal_intervals:
            frame_times = 0
        delays = reader.flag()
        for _ in range(reader.u(5) + 1):
            point = reader.u(12)
            if reader.u(5) > 7:
                reader.u(1)
            if decoder_model and reader.flag():
                reader.u(2 * delay_bits + 1)
                timed_points.append(point)
            if delays and reader.flag():
                reader.u(4)
    size_bits = (reader.u(4) + 1, reader.u(4) + 1)
    size = (reader.u(size_bits[0]) + 1, reader.u(size_bits[1]) + 1)
    id_bits = 0
    if not reduced and reader.flag():
        id_bits = reader.u(4) + 2
        id_bits += reader.u(3) + 1
    superblock = 128 if reader.flag() else 64
    reader.u(2)
    screen_tools, integer_vectors, order_bits = _SELECT, _SELECT, 0
    if not reduced:
        reader.u(4)
        order = reader.flag()
        reader.u(2 * order)
        screen_tools = _SELECT if reader.flag() else reader.u(1)
        if screen_tools:
            integer_vectors = _SELECT if reader.flag() else reader.u(1)
        order_bits = reader.u(3) + 1 if order else 0
    superres = reader.flag()
    reader.u(2)
    return _Sequence(
        *(reduced, frame_times, buffer_times, timed_points, decoder_model, size_bits, size),
        *(id_bits, superblock, screen_tools, integer_vectors, order_bits, superres),
        *_colour(reader, profile),
    )


def _colour(reader: BitReader, profile: int) -> tuple[int, int, bool, bool]:
    """Depth, planes, whether chroma is subsampled, separate deltas: §5.5.2."""
    depth = 10 if reader.flag() else 8
    if profile == 2 and depth == 10 and reader.flag():
        depth = 12
    grey = profile != 1 and reader.flag()
    described = (reader.u(8), reader.u(8), reader.u(8)) if reader.flag() else (2, 2, 2)
    if grey:
        return depth, 1, False, False
    if described == (1, 13, 0):  # sRGB
        return depth, 3, False, reader.flag()
    reader.u(1)
    across, down = profile != 1, profile == 0
    if profile == 2 and depth == 12:
        across = reader.flag()
        down = across and reader.flag()
    reader.u(2 * (across and down))
    return depth, 3, across, reader.flag()


def _frame(reader: BitReader, sequence: _Sequence) -> Origin:
    """The uncompressed header (§5.9.2) of a key frame."""
    shown, resilient = True, True
    if not sequence.reduced:
        if reader.flag() or reader.u(2) != _KEY:
            raise UnknownOriginError(f"{_WHAT} that does not begin with a key frame")
        shown = reader.flag()
        if shown:
            reader.u(sequence.frame_times)
        else:
            reader.u(1)
            resilient = reader.flag()
    fixed_probabilities = reader.flag()
    tools = sequence.screen_tools
    tools = reader.u(1) if tools == _SELECT else tools
    if tools and sequence.integer_vectors == _SELECT:
        reader.u(1)
    reader.u(sequence.id_bits)
    own_size = not sequence.reduced and reader.flag()
    reader.u(sequence.order_bits)
    if sequence.decoder_model and reader.flag():
        for point in sequence.timed_points:
            # The only layers of a still picture are the lowest ones.
            if point == 0 or (point & 1 and point >> 8 & 1):
                reader.u(sequence.buffer_times)
    if not shown and reader.u(8) != 255 and resilient and sequence.order_bits:
        reader.u(8 * sequence.order_bits)
    full_width, height = sequence.size
    if own_size:
        full_width, height = (reader.u(bits) + 1 for bits in sequence.size_bits)
    width = full_width
    if sequence.superres and reader.flag():  # coded narrower, §5.9.8
        divisor = reader.u(3) + 9
        width = (full_width * 8 + divisor // 2) // divisor
    if reader.flag():
        reader.u(32)  # size for display
    if tools and width == full_width:
        reader.u(1)
    if not sequence.reduced and not fixed_probabilities:
        reader.u(1)
    _skip_tiles(reader, width, height, sequence.superblock)
    return _quantizer(reader, sequence)


def _skip_tiles(reader: BitReader, width: int, height: int, superblock: int) -> None:
    """§5.9.15."""
    columns, rows = -(-width // superblock), -(-height // superblock)
    widest = _MAX_TILE_WIDTH // superblock
    least_columns = _log2(widest, columns)
    least = max(least_columns, _log2(_MAX_TILE_AREA // superblock**2, rows * columns))
    if reader.flag():  # of equal size
        column_bits = _increments(reader, least_columns, _log2(1, min(columns, _MAX_TILES)))
        least_rows = max(least - column_bits, 0)
        row_bits = _increments(reader, least_rows, _log2(1, min(rows, _MAX_TILES)))
    else:
        widths = _tile_sides(reader, columns, widest)
        area = rows * columns >> (least + 1) if least else rows * columns
        heights = _tile_sides(reader, rows, max(area // max(widths), 1))
        column_bits, row_bits = _log2(1, len(widths)), _log2(1, len(heights))
    if column_bits or row_bits:
        reader.u(column_bits + row_bits + 2)


def _log2(unit: int, target: int) -> int:
    """Smallest k with unit · 2^k ≥ target."""
    return max(0, (-(-target // unit) - 1).bit_length())


def _increments(reader: BitReader, least: int, most: int) -> int:
    value = least
    while value < most and reader.flag():
        value += 1
    return value


def _tile_sides(reader: BitReader, total: int, most: int) -> list[int]:
    sides = []
    while total > 0:
        side = reader.ns(min(total, most)) + 1
        sides.append(side)
        total -= side
    return sides


def _quantizer(reader: BitReader, sequence: _Sequence) -> Origin:
    """§5.9.12."""
    base = reader.u(8)
    dc_deltas = [_delta(reader)]  # of luma, whose AC coefficients have none
    ac_deltas = []  # of chroma
    separate = sequence.planes > 1 and sequence.separate_v and reader.flag()
    for _ in range(0 if sequence.planes == 1 else 2 if separate else 1):
        dc_deltas.append(_delta(reader))
        ac_deltas.append(_delta(reader))
    if base == 0 and not any(dc_deltas) and not any(ac_deltas):
        raise UnknownOriginError(f"{_WHAT} that is lossless: nothing is quantized")
    levels = (15, 15, 15)
    if reader.flag():
        luma_level, u_level = reader.u(4), reader.u(4)
        levels = (luma_level, u_level, reader.u(4) if sequence.separate_v else u_level)
    steps = [
        AC_STEPS[sequence.depth][min(max(base + delta, 0), 255)] * weight
        for delta, weight in zip(
            (0, *(ac_deltas * 2)[:2]),  # Cb and Cr share one unless each has its own
            (LUMA_WEIGHTS[levels[0]], *(CHROMA_WEIGHTS[level] for level in levels[1:])),
            strict=False,  # there may be no chroma
        )
    ]
    scale = _SCALE * 2.0 ** (8 - sequence.depth)
    chroma_step = geometric_mean(steps[1:]) if ac_deltas else steps[0]
    return Origin("avif", scale * steps[0], scale * chroma_step, sequence.subsampled)


def _delta(reader: BitReader) -> int:
    return reader.su(7) if reader.flag() else 0
