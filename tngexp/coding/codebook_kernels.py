"""The compiled loop that weighs codewords: integers in, integers out, like ``kernels.py``.

``cumulative`` comes from there; numba does not see when it changes: touch this file then.
"""

from __future__ import annotations

import numpy as np
from numba import types

from tngexp.coding.compiled import Int, Int32s, Int64s, UInt8s, UInt32s, compiled, read, write
from tngexp.coding.constants import EXP_STEPS, GRID
from tngexp.coding.families import LOG_BITS, LOG_STEP_BITS
from tngexp.coding.kernels import BAD_PARAMETER, OK, cumulative
from tngexp.coding.probability import MAX_POSITION, PRECISION, WEIGHT_BITS

__all__ = ["codebook_cdfs"]

_TOTAL = 1 << PRECISION
_HALF_SHIFT = PRECISION // 2
_HALF_CELL = GRID // 2
_WEIGHT_SUM = 1 << WEIGHT_BITS
_MASS_BITS = WEIGHT_BITS  # the least mass is 2**16, one unit of a family's nodes
_LOG_STEPS = 1 << LOG_STEP_BITS
_DISTANCE_SHIFT = LOG_BITS - (EXP_STEPS.bit_length() - 1)  # units of the logarithm → 1/64 nat


@compiled()
def _are_mixtures(first: Int, last: Int, mean: Int32s, weight: Int32s) -> Int:
    """Whether rows first … last − 1 are mixtures: positions in range, weights adding up."""
    for row in range(first, last):
        total = np.int64(0)
        for k in range(mean.shape[1]):
            w, m = np.int64(weight[row, k]), np.int64(mean[row, k])
            if w < 0 or m > MAX_POSITION or m < -MAX_POSITION:
                return False
            total += w
        if total != _WEIGHT_SUM:
            return False
    return True


@compiled()
def _logarithm(mass: Int, log: Int64s) -> Int:
    """ln(mass) in 2**−LOG_BITS nat for 2**16 ≤ mass ≤ 2**46, to half a step of the mantissa."""
    exponent = np.int64(_MASS_BITS)
    step = np.int64(16)
    while step > 0:
        exponent += step * ((mass >> (exponent + step)) > 0)
        step >>= 1
    mantissa = ((mass >> (exponent - LOG_STEP_BITS - 1)) + 1) >> 1  # 1024 … 2048
    return exponent * log[_LOG_STEPS] + log[mantissa - _LOG_STEPS]


@compiled(
    *(read(types.int64, 2), read(types.uint8, 2), read(types.int32, 2), read(types.int32, 2)),
    *(read(types.int64), read(types.int32), read(types.int64), read(types.int64)),
    *(write(types.int64), write(types.uint32)),
)
def codebook_cdfs(
    codebook: Int64s,
    scale: UInt8s,
    mean: Int32s,
    weight: Int32s,
    inverse: Int64s,
    nodes: Int32s,
    log: Int64s,
    exp: Int64s,
    weights: Int64s,
    cdf: UInt32s,
) -> Int:
    """Write the CDF of each group over the codewords to ``cdf``; return OK or BAD_PARAMETER.

    ``codebook`` is (g, L), and g rows of the parameters belong to a group. ``cdf`` has L + 3
    entries per group, ``weights`` takes L numbers.
    """
    dimensions, size = codebook.shape
    events = size + 2  # "below" and "above" have the floor alone
    for group in range(scale.shape[0] // dimensions):
        first = group * dimensions
        if not _are_mixtures(first, first + dimensions, mean, weight):
            return np.int64(BAD_PARAMETER)
        for j in range(size):
            weights[j] = 0
        for d in range(dimensions):
            i = first + d
            for j in range(size):
                x = codebook[d, j]
                end = cumulative(x + _HALF_CELL, i, scale, mean, weight, inverse, nodes)
                start = cumulative(x - _HALF_CELL, i, scale, mean, weight, inverse, nodes)
                weights[j] += _logarithm(max(end - start, np.int64(1 << _MASS_BITS)), log)
        best = weights[0]
        for j in range(1, size):
            best = max(best, weights[j])
        total = np.int64(0)
        for j in range(size):
            distance = (best - weights[j] + (1 << (_DISTANCE_SHIFT - 1))) >> _DISTANCE_SHIFT
            weights[j] = exp[distance] if distance < exp.size else np.int64(0)
            total += weights[j]
        begin = group * (events + 1)
        cdf[begin] = 0
        below = np.int64(0)
        for j in range(events - 1):
            # ⌊2**28 below / total⌋ in two steps, since 2**20 weights of 2**24 would overflow in one
            high = (below << _HALF_SHIFT) // total
            rest = (below << _HALF_SHIFT) - high * total
            share = (high << _HALF_SHIFT) + (rest << _HALF_SHIFT) // total
            cdf[begin + j + 1] = ((share * (_TOTAL - events)) >> PRECISION) + j + 1
            if j < size:
                below += weights[j]
        cdf[begin + events] = _TOTAL
    return np.int64(OK)
