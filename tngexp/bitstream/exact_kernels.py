"""The compiled loops of exact networks: one pass over memory where torch makes many."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numba import types
from numpy.typing import NDArray

from tngexp.coding.compiled import Int, compiled, read, write

__all__ = ["DIGITS", "depthwise", "join_digits", "round_to_grid", "split_digits"]

DIGITS = 3  # of an activation, −128 … 127 each in base 256; ±2²¹ needs no more

Bytes: TypeAlias = NDArray[np.int8]
Doubles: TypeAlias = NDArray[np.float64]
Integers: TypeAlias = NDArray[np.int32]

_BLOCK = 64  # channels at a time: all taps of a kernel for them stay in the first cache
_DIGITS: Any = types.Array(types.int8, 3, "C")
_MATRIX: Any = types.Array(types.float64, 2, "C")
_FEATURES: Any = types.Array(types.float64, 4, "C")


@compiled(
    *(read(types.float64, 4), read(types.float64, 3), read(types.float64), _FEATURES),
)
def depthwise(x: Doubles, weight: Doubles, bias: Doubles, out: Doubles) -> Int:
    """Correlate each channel of ``x`` (B, h, w, C) with its own kernel.

    ``weight`` is (r, s, C), ``bias`` (C,); the output has h + 2p − r + 1 rows with p rows of zeros
    above and below the image, and alike for columns, so that the sizes tell p.
    """
    rows, columns, channels = weight.shape
    batch, height, width, _ = x.shape
    above = (out.shape[1] - height + rows - 1) // 2
    left = (out.shape[2] - width + columns - 1) // 2
    for first in range(0, channels, _BLOCK):
        last = min(first + _BLOCK, channels)
        for place in range(batch * out.shape[1] * out.shape[2]):
            s = place % out.shape[2]
            r = place // out.shape[2] % out.shape[1]
            # Unsigned indices need no test for negative ones, which stops vectorisation.
            b = np.uintp(place // (out.shape[1] * out.shape[2]))
            target, side = np.uintp(r), np.uintp(s)
            for c in range(first, last):
                out[b, target, side, np.uintp(c)] = bias[np.uintp(c)]
            for i in range(max(0, above - r), min(rows, height + above - r)):
                for j in range(max(0, left - s), min(columns, width + left - s)):
                    source, beside = np.uintp(r + i - above), np.uintp(s + j - left)
                    tap, shift = np.uintp(i), np.uintp(j)
                    for c in range(first, last):
                        k = np.uintp(c)
                        out[b, target, side, k] += weight[tap, shift, k] * x[b, source, beside, k]
    return np.int64(0)


@compiled(read(types.float64), types.float64, types.float64, write(types.float64))
def round_to_grid(x: Doubles, steps: float, limit: float, out: Doubles) -> Int:
    """Round to multiples of 1/steps (half to even), a power of two, and clamp to ±limit."""
    for i in range(x.size):
        place = np.uintp(i)
        out[place] = min(max(np.rint(x[place] * steps) / steps, -limit), limit)
    return np.int64(0)


@compiled(
    *(read(types.float64, 2), types.float64, types.float64),
    *(write(types.int32), _DIGITS),
)
def split_digits(x: Doubles, steps: float, limit: float, row: Integers, out: Bytes) -> Int:
    """Digits of ``x`` (n, C) on the grid of ``round_to_grid``, in units of 1/steps.

    x·steps = d₀ + 256·d₁ + 65536·d₂ with digits in −128 … 127; ``out`` is (n, 3, C), and ``row``
    (C,) is scratch. Returns how many digits there are that are not zero everywhere, at least one.
    """
    # One loop for each thing that is written, because such loops are vectorised.
    channels = row.size
    some_middle, some_high = np.int32(0), np.int32(0)
    bound = limit * steps
    for i in range(x.shape[0]):
        place = np.uintp(i)
        for c in range(channels):
            k = np.uintp(c)
            row[k] = np.int32(min(max(np.rint(x[place, k] * steps), -bound), bound))
        for c in range(channels):
            k = np.uintp(c)
            out[place, np.uintp(0), k] = np.int8(row[k])
        for c in range(channels):
            k = np.uintp(c)
            rest = (row[k] + np.int32(128)) >> np.int32(8)
            row[k] = rest
            some_middle |= rest
            out[place, np.uintp(1), k] = np.int8(rest)
        for c in range(channels):
            k = np.uintp(c)
            rest = (row[k] + np.int32(128)) >> np.int32(8)
            some_high |= rest
            out[place, np.uintp(2), k] = np.int8(rest)
    if some_high != 0:
        return np.int64(3)
    return np.int64(2) if some_middle != 0 else np.int64(1)


@compiled(read(types.int32, 3), read(types.float64), types.float64, _MATRIX)
def join_digits(products: Integers, bias: Doubles, step: float, out: Doubles) -> Int:
    """(Σ_s products[s]·256**s + bias)·step of ``products`` (L, n, O), bias (O,), in float64."""
    levels, size, channels = products.shape
    for i in range(size):
        row = np.uintp(i)
        for c in range(channels):
            k = np.uintp(c)
            out[row, k] = bias[k] + products[np.uintp(0), row, k]
        power = np.float64(256)
        for s in range(1, levels):
            level = np.uintp(s)
            for c in range(channels):
                k = np.uintp(c)
                out[row, k] += products[level, row, k] * power
            power *= 256
        for c in range(channels):
            out[row, np.uintp(c)] *= step
    return np.int64(0)
