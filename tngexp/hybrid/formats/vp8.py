"""VP8's frame header (RFC 6386 §9), up to the quantizers."""

from __future__ import annotations

import math
from itertools import accumulate
from typing import NamedTuple

from tngexp.hybrid.formats.base import UnknownOriginError
from tngexp.hybrid.formats.bits import cut

__all__ = ["Vp8Steps", "read_vp8_steps"]

_WHAT = "a lossy WebP file"
_SCALE = 0.5
"""Of VP8's steps to those of an orthonormal transform. The inverse transform (§14.3) turns the DC
coefficient 8 v into a flat block of value v, the orthonormal one of 4×4 turns 4 v into it, and the
other basis functions are in the same proportion."""

# §14.1: the steps of AC coefficients rise by 1, then 2, … (how many times). 245 is no slip here.
_RISES = ((1, 54), (2, 29), (3, 19), (4, 14), (5, 2), (6, 1), (4, 1), (5, 7))
_SEGMENTS = 4


class Vp8Steps(NamedTuple):
    """Steps of the AC coefficients of an orthonormal transform, in levels of 8 bits."""

    luma: float
    chroma: float


class _BoolDecoder:
    """The arithmetic decoder of §7.3."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._value = int.from_bytes(cut(data, 0, 2, _WHAT), "big")
        self._next = 2  # byte to come
        self._range = 255
        self._shifted = 0  # bits of the last byte that are used up

    def bit(self, probability: int = 128) -> int:
        """One bit that is 0 with ``probability`` / 256."""
        split = 1 + (((self._range - 1) * probability) >> 8)
        one = self._value >= split << 8
        self._range = self._range - split if one else split
        self._value -= split << 8 if one else 0
        while self._range < 128:
            self._range <<= 1
            self._value <<= 1
            self._shifted += 1
            if self._shifted == 8:
                (byte,) = cut(self._data, self._next, 1, _WHAT)
                self._value |= byte
                self._next += 1
                self._shifted = 0
        return int(one)

    def literal(self, bits: int) -> int:
        """An unsigned number, L(n)."""
        value = 0
        for _ in range(bits):
            value = 2 * value + self.bit()
        return value

    def optional(self, bits: int) -> int:
        """A number with its sign behind it if a flag says that it is there, else 0."""
        if not self.bit():
            return 0
        magnitude = self.literal(bits)
        return -magnitude if self.bit() else magnitude


def read_vp8_steps(frame: bytes) -> Vp8Steps:
    """Steps of a key frame.

    Where macroblocks belong to segments with quantizers of their own, steps are the geometric mean
    with the segments' shares as weights. These are known from the probabilities that the header
    gives for coding each macroblock's segment: encoders make them of the counts.

    Raises:
        UnknownOriginError: for anything but the beginning of a key frame.
    """
    tag = int.from_bytes(cut(frame, 0, 3, _WHAT), "little")  # §9.1
    if tag & 1 or cut(frame, 3, 3, _WHAT) != b"\x9d\x01\x2a":
        raise UnknownOriginError(f"{_WHAT} that is damaged: it does not begin with a key frame")
    decoder = _BoolDecoder(cut(frame, 10, tag >> 5, _WHAT))
    decoder.literal(2)  # colour space and clamping
    absolute, quantizers, shares = False, [0] * _SEGMENTS, [1.0, 0.0, 0.0, 0.0]
    if decoder.bit():  # §9.3
        absolute, quantizers, shares = _segments(decoder)
    decoder.literal(1 + 6 + 3)  # loop filter, §9.6
    if decoder.bit() and decoder.bit():
        for _ in range(8):
            decoder.optional(6)
    decoder.literal(2)  # partitions, §9.5
    base = decoder.literal(7)
    for _ in range(4):  # DC of luma, both of its second transform, DC of chroma
        chroma_delta = decoder.optional(4)
    chroma_delta = decoder.optional(4)
    indices = [q if absolute else base + q for q in quantizers]
    return Vp8Steps(_mean(indices, shares), _mean([q + chroma_delta for q in indices], shares))


def _segments(decoder: _BoolDecoder) -> tuple[bool, list[int], list[float]]:
    """Whether quantizers replace the frame's or add to it, these, and shares of macroblocks."""
    new_map, new_data = decoder.bit(), decoder.bit()
    absolute, quantizers = False, [0] * _SEGMENTS
    if new_data:
        absolute = decoder.bit() == 1
        quantizers = [decoder.optional(7) for _ in range(_SEGMENTS)]
        for _ in range(_SEGMENTS):
            decoder.optional(6)  # loop filter
    if not new_map:  # nothing says where segments are: all macroblocks are in the first
        return absolute, quantizers, [1.0, 0.0, 0.0, 0.0]
    first, low, high = ((decoder.literal(8) if decoder.bit() else 255) / 255 for _ in range(3))
    shares = [first * low, first * (1 - low), (1 - first) * high, (1 - first) * (1 - high)]
    return absolute, quantizers, shares


def _mean(indices: list[int], shares: list[float]) -> float:
    """Geometric mean of the steps of quantizer indices, each clamped to its range."""
    logs = (math.log(_AC_STEPS[min(max(index, 0), 127)]) for index in indices)
    return _SCALE * math.exp(sum(share * log for share, log in zip(shares, logs, strict=True)))


_AC_STEPS = list(accumulate((rise for rise, times in _RISES for _ in range(times)), initial=4))
