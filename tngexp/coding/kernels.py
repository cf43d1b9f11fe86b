"""The compiled inner loops: integers in, integers out, no floating point anywhere.

An element's alphabet is numbered j = 0 … L−1. On the integer lattice j = 0 and j = L−1 stand for
"below" and "above" the window and j = 1 … L−2 for the symbols in it; with learned centers j is the
symbol. Symbol j owns the frequencies [F(j), F(j+1)) of 2**PRECISION, where F(0) = 0,
F(L) = 2**PRECISION and, with x_j the lower edge of cell j and Φ the family's CDF,

    F(j) = ⌊ ⌊Σ_k w_k Φ((x_j − m_k)/σ_k)⌋ · (2**PRECISION − L) / 2**PRECISION ⌋ + j,

which rises by at least one from each j to the next whatever the parameters are. ``inverse``,
``half_window`` and ``nodes`` are the family's tables; ``zero`` is the half-width of the lattice's
zero cell in 1/256 (128: plain rounding), without meaning for learned centers.

All arithmetic is int64 except the coder's state; mixing int64 with uint64 would silently become
float64 in numba, hence the explicit casts. ``codebook_kernels.py`` calls ``cumulative``.
"""

from __future__ import annotations

import numpy as np
from numba import types

from tngexp.coding.compiled import (
    Int,
    Int32s,
    Int64s,
    UInt8s,
    UInt32s,
    UInt64s,
    compiled,
    read,
    write,
)
from tngexp.coding.constants import GRID, INVERSE_BITS, PHI_BITS, PHI_RANGE, PHI_STEPS
from tngexp.coding.probability import MAX_POSITION, MAX_SYMBOL, PRECISION, WEIGHT_BITS

__all__ = [
    "BAD_ESCAPE",
    "BAD_PARAMETER",
    "BAD_SYMBOL",
    "NO_CAPACITY",
    "OK",
    "UNDERRUN",
    "cumulative",
    "decode_mixture",
    "decode_table",
    "mixture_intervals",
    "push",
    "table_intervals",
]

OK, NO_CAPACITY, UNDERRUN, BAD_ESCAPE, BAD_PARAMETER, BAD_SYMBOL = 0, -1, -2, -3, -4, -5

_TOTAL = 1 << PRECISION
_STEP_BITS = PHI_STEPS.bit_length() - 1
_NODE_SHIFT = INVERSE_BITS - _STEP_BITS  # fixed point → table node
_FRACTION_BITS = 16  # of the linear interpolation between nodes
_FRACTION_SHIFT = _NODE_SHIFT - _FRACTION_BITS
_FRACTION_MASK = (1 << _FRACTION_BITS) - 1
_CENTER = PHI_RANGE * PHI_STEPS
_LIMIT = PHI_RANGE << INVERSE_BITS
_SUM_SHIFT = WEIGHT_BITS + PHI_BITS - PRECISION
_WEIGHT_SUM = 1 << WEIGHT_BITS
_GRID_BITS = GRID.bit_length() - 1
_LENGTH_BITS = 5  # of an escaped value's bit length
_MAX_LENGTH = MAX_SYMBOL.bit_length()  # 21
_STATE_MIN = np.uint64(1 << 32)
_WORD_BITS = np.uint64(32)
_WORD_MASK = np.uint64(0xFFFFFFFF)
_RENORM_BITS = np.uint64(64 - PRECISION)
_PRECISION = np.uint64(PRECISION)
_SLOT_MASK = np.uint64(_TOTAL - 1)

_int64 = types.int64
_WRITE32 = write(types.uint32)
_MIXTURE = (
    *(read(types.uint8, 2), read(types.int32, 2), read(types.int32, 2), read(_int64), _int64),
    *(read(_int64), read(_int64), read(types.int32)),
)
_TABLE = (read(types.uint32), read(_int64), read(_int64))
_CURSOR = write(types.uint64)
_SYMBOLS = write(types.int32)


@compiled()
def _window(
    i: Int,
    scale: UInt8s,
    mean: Int32s,
    weight: Int32s,
    half_window: Int64s,
    edges: Int64s,
    zero: Int,
) -> tuple[Int, Int]:
    """Return (alphabet size, first symbol) of element i, or size 0 if bad."""
    first, last, total = np.int64(1 << 40), np.int64(-(1 << 40)), np.int64(0)
    for k in range(mean.shape[1]):
        w, m, h = np.int64(weight[i, k]), np.int64(mean[i, k]), half_window[scale[i, k]]
        if w < 0 or m > MAX_POSITION or m < -MAX_POSITION:
            return np.int64(0), np.int64(0)
        total += w
        if w > 0:
            first, last = min(first, m - h), max(last, m + h)
    if total != _WEIGHT_SUM:
        return np.int64(0), np.int64(0)
    if edges.size > 0:
        return np.int64(edges.size + 1), np.int64(0)
    low, high = _cell_of(first, zero), _cell_of(last, zero)
    return high - low + 3, low


@compiled()
def _cell_of(x: Int, zero: Int) -> Int:
    """The symbol whose cell position x lies in; one of the terms is 0."""
    below, above = (x + zero) >> _GRID_BITS, ((x - zero) >> _GRID_BITS) + 1
    return min(below, np.int64(0)) + max(above, np.int64(0))


@compiled()
def cumulative(
    x: Int,
    i: Int,
    scale: UInt8s,
    mean: Int32s,
    weight: Int32s,
    inverse: Int64s,
    nodes: Int32s,
) -> Int:
    """Σ_k w_k Φ((x − m_k)/σ_k) of element i, times 2**(WEIGHT_BITS + PHI_BITS)."""
    total = np.int64(0)
    for k in range(mean.shape[1]):
        u = (x - np.int64(mean[i, k])) * inverse[scale[i, k]]
        u = min(max(u, np.int64(-_LIMIT)), np.int64(_LIMIT - 1))
        node = (u >> _NODE_SHIFT) + _CENTER
        low = np.int64(nodes[node])
        rise = (np.int64(nodes[node + 1]) - low) * ((u >> _FRACTION_SHIFT) & _FRACTION_MASK)
        total += np.int64(weight[i, k]) * (low + (rise >> _FRACTION_BITS))
    return total


@compiled()
def _start(
    j: Int,
    size: Int,
    low: Int,
    i: Int,
    scale: UInt8s,
    mean: Int32s,
    weight: Int32s,
    inverse: Int64s,
    nodes: Int32s,
    edges: Int64s,
    zero: Int,
) -> Int:
    """F(j) for 0 ≤ j ≤ size."""
    if j == 0:
        return np.int64(0)
    if j == size:
        return np.int64(_TOTAL)
    if edges.size > 0:
        x = edges[j - 1]
    else:
        symbol = low + j - 1
        x = (symbol << _GRID_BITS) + (-zero if symbol <= 0 else zero - GRID)
    total = cumulative(x, i, scale, mean, weight, inverse, nodes)
    return (((total >> _SUM_SHIFT) * (_TOTAL - size)) >> PRECISION) + j


@compiled()
def _put_escape(excess: Int, starts: UInt32s, freqs: UInt32s, n: Int) -> Int:
    """Append excess ≥ 0 as 5 bits of length, then that many bits: Exp-Golomb in plain bits."""
    value = excess + 1
    length = np.int64(0)
    while (value >> (length + 1)) > 0:
        length += 1
    starts[n] = length << (PRECISION - _LENGTH_BITS)
    freqs[n] = 1 << (PRECISION - _LENGTH_BITS)
    n += 1
    if length > 0:
        starts[n] = (value - (np.int64(1) << length)) << (PRECISION - length)
        freqs[n] = np.int64(1) << (PRECISION - length)
        n += 1
    return n


@compiled(read(types.int32), *_MIXTURE, _WRITE32, _WRITE32)
def mixture_intervals(
    symbols: Int32s,
    scale: UInt8s,
    mean: Int32s,
    weight: Int32s,
    edges: Int64s,
    zero: Int,
    inverse: Int64s,
    half_window: Int64s,
    nodes: Int32s,
    starts: UInt32s,
    freqs: UInt32s,
) -> Int:
    """Write the intervals that code ``symbols``; return how many, NO_CAPACITY or BAD_…"""
    n = np.int64(0)
    capacity = starts.size - 2  # an escaped symbol takes three
    for i in range(symbols.size):
        size, low = _window(i, scale, mean, weight, half_window, edges, zero)
        if size == 0:
            return np.int64(BAD_PARAMETER)
        symbol = np.int64(symbols[i])
        j = symbol
        if edges.size == 0:
            j = min(max(symbol - low + 1, np.int64(0)), size - 1)
            if abs(symbol) > MAX_SYMBOL:
                return np.int64(BAD_SYMBOL)
        elif symbol < 0 or symbol >= size:
            return np.int64(BAD_SYMBOL)
        if n >= capacity:
            return np.int64(NO_CAPACITY)
        start = _start(j, size, low, i, scale, mean, weight, inverse, nodes, edges, zero)
        end = _start(j + 1, size, low, i, scale, mean, weight, inverse, nodes, edges, zero)
        starts[n] = start
        freqs[n] = end - start
        n += 1
        if edges.size == 0 and (j == 0 or j == size - 1):
            excess = low - 1 - symbol if j == 0 else symbol - low - size + 2
            n = _put_escape(excess, starts, freqs, n)
    return n


@compiled(read(types.int32), read(types.int32), *_TABLE, _WRITE32, _WRITE32)
def table_intervals(
    symbols: Int32s,
    channels: Int32s,
    cdf: UInt32s,
    begin: Int64s,
    offset: Int64s,
    starts: UInt32s,
    freqs: UInt32s,
) -> Int:
    """Like ``mixture_intervals`` for one static table per channel."""
    n = np.int64(0)
    capacity = starts.size - 2
    for i in range(symbols.size):
        channel = np.int64(channels[i])
        if channel < 0 or channel >= offset.size:
            return np.int64(BAD_PARAMETER)
        first, size = begin[channel], begin[channel + 1] - begin[channel] - 1
        symbol = np.int64(symbols[i])
        if abs(symbol) > MAX_SYMBOL:
            return np.int64(BAD_SYMBOL)
        if n >= capacity:
            return np.int64(NO_CAPACITY)
        low = np.int64(offset[channel])
        j = min(max(symbol - low + 1, np.int64(0)), size - 1)
        starts[n] = cdf[first + j]
        freqs[n] = np.int64(cdf[first + j + 1]) - np.int64(cdf[first + j])
        n += 1
        if j == 0 or j == size - 1:
            excess = low - 1 - symbol if j == 0 else symbol - low - size + 2
            n = _put_escape(excess, starts, freqs, n)
    return n


@compiled(read(types.uint32), read(types.uint32), _CURSOR, _WRITE32)
def push(starts: UInt32s, freqs: UInt32s, state: UInt64s, words: UInt32s) -> Int:
    """rANS: push intervals, last first, onto state; return the number of words written."""
    x = state[0]
    n = np.int64(0)
    for i in range(starts.size - 1, -1, -1):
        freq = np.uint64(freqs[i])
        if x >= freq << _RENORM_BITS:
            words[n] = np.uint32(x & _WORD_MASK)
            n += 1
            x >>= _WORD_BITS
        quotient = x // freq
        x = (quotient << _PRECISION) + (x - quotient * freq) + np.uint64(starts[i])
    state[0] = x
    return n


@compiled()
def _pop(x: Int, start: Int, freq: Int, words: UInt32s, position: Int) -> tuple[Int, Int]:
    """Undo one push; return the new state (0 at the end of the data) and word position."""
    x = np.uint64(freq) * (x >> _PRECISION) + (x & _SLOT_MASK) - np.uint64(start)
    if x < _STATE_MIN:
        if position >= words.size:
            return np.uint64(0), position
        x = (x << _WORD_BITS) | np.uint64(words[position])
        position += 1
    return x, position


@compiled()
def _pop_escape(x: Int, words: UInt32s, position: Int) -> tuple[Int, Int, Int]:
    """Return (state, position, excess); a negative excess or a zero state is an error."""
    shift = np.int64(PRECISION - _LENGTH_BITS)
    length = np.int64(x & _SLOT_MASK) >> shift
    x, position = _pop(x, length << shift, np.int64(1) << shift, words, position)
    if length > _MAX_LENGTH:
        return x, position, np.int64(-1)
    value = np.int64(0)
    if length > 0 and x != np.uint64(0):
        shift = np.int64(PRECISION) - length
        value = np.int64(x & _SLOT_MASK) >> shift
        x, position = _pop(x, value << shift, np.int64(1) << shift, words, position)
    return x, position, value + (np.int64(1) << length) - 1


@compiled(*_MIXTURE, read(types.uint32), _CURSOR, _int64, _SYMBOLS)
def decode_mixture(
    scale: UInt8s,
    mean: Int32s,
    weight: Int32s,
    edges: Int64s,
    zero: Int,
    inverse: Int64s,
    half_window: Int64s,
    nodes: Int32s,
    words: UInt32s,
    cursor: UInt64s,
    guess: Int,
    symbols: Int32s,
) -> Int:
    """Fill ``symbols``; ``cursor`` = (state, words read). ``guess``: where the search begins."""
    x, position = cursor[0], np.int64(cursor[1])
    for i in range(symbols.size):
        size, low = _window(i, scale, mean, weight, half_window, edges, zero)
        if size == 0:
            return np.int64(BAD_PARAMETER)
        slot = np.int64(x & _SLOT_MASK)
        left = guess if edges.size > 0 else min(max(1 - low, np.int64(0)), size - 1)
        start = _start(left, size, low, i, scale, mean, weight, inverse, nodes, edges, zero)
        step = 1 + (size >> 5)  # about 0.4 σ where σ is wide
        if slot >= start:  # gallop upward to an F(right) above the slot
            right = left + 1
            end = _start(right, size, low, i, scale, mean, weight, inverse, nodes, edges, zero)
            while slot >= end:
                left, start = right, end
                right = min(left + step, size)
                step += step
                end = _start(right, size, low, i, scale, mean, weight, inverse, nodes, edges, zero)
        else:
            right, end = left, start
            while slot < start:
                right, end = left, start
                left = max(right - step, np.int64(0))
                step += step
                start = _start(left, size, low, i, scale, mean, weight, inverse, nodes, edges, zero)
        while right - left > 1:
            middle = (left + right) >> 1
            f = _start(middle, size, low, i, scale, mean, weight, inverse, nodes, edges, zero)
            if slot >= f:
                left, start = middle, f
            else:
                right, end = middle, f
        x, position = _pop(x, start, end - start, words, position)
        symbol = left
        if edges.size == 0:
            symbol = low + left - 1
            if (left == 0 or left == size - 1) and x != np.uint64(0):
                x, position, excess = _pop_escape(x, words, position)
                symbol = symbol - excess if left == 0 else symbol + excess
                if excess < 0 or abs(symbol) > MAX_SYMBOL:
                    return np.int64(BAD_ESCAPE)
        if x == np.uint64(0):
            return np.int64(UNDERRUN)
        symbols[i] = symbol
    cursor[0], cursor[1] = x, np.uint64(position)
    return np.int64(OK)


@compiled(read(types.int32), *_TABLE, read(types.uint32), _CURSOR, _SYMBOLS)
def decode_table(
    channels: Int32s,
    cdf: UInt32s,
    begin: Int64s,
    offset: Int64s,
    words: UInt32s,
    cursor: UInt64s,
    symbols: Int32s,
) -> Int:
    """Like ``decode_mixture`` for one static table per channel."""
    x, position = cursor[0], np.int64(cursor[1])
    for i in range(symbols.size):
        channel = np.int64(channels[i])
        if channel < 0 or channel >= offset.size:
            return np.int64(BAD_PARAMETER)
        first = begin[channel]
        slot = np.int64(x & _SLOT_MASK)
        left, right = first, begin[channel + 1] - 1
        last = right - 1
        while right - left > 1:
            middle = (left + right) >> 1
            if slot >= np.int64(cdf[middle]):
                left = middle
            else:
                right = middle
        start = np.int64(cdf[left])
        x, position = _pop(x, start, np.int64(cdf[right]) - start, words, position)
        symbol = np.int64(offset[channel]) + left - first - 1
        if left in (first, last) and x != np.uint64(0):
            x, position, excess = _pop_escape(x, words, position)
            symbol = symbol - excess if left == first else symbol + excess
            if excess < 0 or abs(symbol) > MAX_SYMBOL:
                return np.int64(BAD_ESCAPE)
        if x == np.uint64(0):
            return np.int64(UNDERRUN)
        symbols[i] = symbol
    cursor[0], cursor[1] = x, np.uint64(position)
    return np.int64(OK)
