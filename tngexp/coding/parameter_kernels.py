"""The compiled loop from what networks predict to integer parameters of mixtures.

Its floating point is rounding of exact values to integers and one division whose floor is exact
(see ``_weight``); nothing here can differ by machine.
"""

from __future__ import annotations

import numpy as np
from numba import types

from tngexp.coding.compiled import Int, Int32s, Int64s, compiled, read, write
from tngexp.coding.constants import EXP_STEPS, GRID
from tngexp.coding.probability import LOCATION_GRID, MAX_POSITION, WEIGHT_BITS

__all__ = ["BUCKET_BITS", "integer_parameters"]

BUCKET_BITS = 45  # of a double, dropped: what is left is the exponent and 7 bits of mantissa

_MEAN_LIMIT = np.float64(2**40)
_LOGIT_LIMIT = np.float64(2**30)
_WHOLE = 1 << WEIGHT_BITS
_COARSER = float(GRID) / LOCATION_GRID


@compiled()
def _level(bits: Int, edge: Int64s, bucket: Int64s, first: Int) -> Int:
    """How many of the edges lie below a scale; doubles above 0 rise with their bit patterns."""
    place = (bits >> BUCKET_BITS) - first
    if place < 0:
        return np.int64(0)
    level = bucket[min(place, np.int64(bucket.size - 1))]
    while level < edge.size and bits > edge[level]:
        level += 1
    return level


@compiled()
def _weight(power: Int, total: Int) -> Int:
    """(power · 2¹⁶ + total/2) / total, rounded down.

    The dividend is below 2⁴¹ and the divisor below 2³⁰, so a quotient that is no integer is at
    least 2⁻³⁰ away from one: more than the division in double precision is off.
    """
    return np.int64(np.float64((power << WEIGHT_BITS) + (total >> 1)) / np.float64(total))


_DOUBLES = read(types.float64, 2)
_MATRIX8 = types.Array(types.uint8, 2, "C")
_MATRIX32 = types.Array(types.int32, 2, "C")


@compiled(
    *(read(types.int64, 2), _DOUBLES, _DOUBLES),
    *(read(types.int64), read(types.int64), types.int64, read(types.int64)),
    *(write(types.float64), _MATRIX8, _MATRIX32, _MATRIX32),
)
def integer_parameters(
    scale_bits: Int64s,
    mean: Int64s,
    logit: Int64s,
    edge: Int64s,
    bucket: Int64s,
    first: Int,
    exp: Int64s,
    location: Int64s,
    level: Int64s,
    offset: Int32s,
    weight: Int32s,
) -> Int:
    """Fill ``location`` (n,), ``level``, ``offset`` and ``weight`` (n, K); inputs are (K, n)."""
    count, size = mean.shape
    for i in range(size):
        largest = -_LOGIT_LIMIT
        for k in range(count):
            level[i, k] = _level(scale_bits[k, i], edge, bucket, first)
            if count > 1:
                nats = np.rint(logit[k, i] * EXP_STEPS)
                largest = max(largest, min(max(nats, -_LOGIT_LIMIT), _LOGIT_LIMIT))
        if count == 1:
            center = np.rint(mean[0, i] * LOCATION_GRID)
            location[i] = min(max(center, -_MEAN_LIMIT), _MEAN_LIMIT) / LOCATION_GRID
            offset[i, 0], weight[i, 0] = 0, _WHOLE
            continue
        total = np.int64(0)
        for k in range(count):
            nats = np.rint(logit[k, i] * EXP_STEPS)
            nats = min(max(nats, -_LOGIT_LIMIT), _LOGIT_LIMIT)
            distance = np.int64(largest - nats)
            power = exp[distance] if distance < exp.size else np.int64(0)
            weight[i, k] = power
            total += power
        heaviest, missing = np.int64(0), np.int64(_WHOLE)
        for k in range(count):
            share = _weight(np.int64(weight[i, k]), total)
            weight[i, k] = share
            missing -= share
            if share > weight[i, heaviest]:
                heaviest = np.int64(k)
        weight[i, heaviest] += missing
        middle = np.int64(0)
        for k in range(count):
            center = min(max(np.rint(mean[k, i] * LOCATION_GRID), -_MEAN_LIMIT), _MEAN_LIMIT)
            middle += np.int64(weight[i, k]) * np.int64(center)
        middle = (middle + (_WHOLE >> 1)) >> WEIGHT_BITS
        location[i] = np.float64(middle) / LOCATION_GRID
        for k in range(count):
            center = min(max(np.rint(mean[k, i] * LOCATION_GRID), -_MEAN_LIMIT), _MEAN_LIMIT)
            apart = np.rint((center - middle) * _COARSER)
            offset[i, k] = min(max(apart, np.float64(-MAX_POSITION)), np.float64(MAX_POSITION))
    return np.int64(0)
