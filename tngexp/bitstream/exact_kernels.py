"""The compiled loops of exact networks: one pass over memory where torch makes many."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numba import types
from numpy.typing import NDArray

from tngexp.coding.compiled import Int, compiled, read, write

__all__ = ["depthwise", "round_to_grid"]

Doubles: TypeAlias = NDArray[np.float64]
_PLANES: Any = types.Array(types.float64, 3, "C")


_INPUTS = read(types.float64, 3), read(types.float64, 3), read(types.float64)


@compiled(*_INPUTS, _PLANES)
def depthwise(x: Doubles, weight: Doubles, bias: Doubles, out: Doubles) -> Int:
    """Correlate each plane of ``x`` (B·C, h, w) with its channel's kernel.

    ``weight`` is (C, r, s), ``bias`` (C,); the output has h + 2p − r + 1 rows with p rows of zeros
    above and below the plane, and alike for columns, so that the sizes tell p.
    """
    channels, rows, columns = weight.shape
    planes, height, width = x.shape
    above = (out.shape[1] - height + rows - 1) // 2
    left = (out.shape[2] - width + columns - 1) // 2
    for p in range(planes):
        c, plane = p % channels, np.uintp(p)
        for r in range(out.shape[1]):
            for s in range(out.shape[2]):
                out[p, r, s] = bias[c]
        for i in range(rows):
            for j in range(columns):
                tap, shift = weight[c, i, j], j - left
                left_end, right_end = max(0, -shift), min(out.shape[2], width - shift)
                for r in range(max(0, above - i), min(out.shape[1], height + above - i)):
                    # Unsigned indices need no test for negative ones, which stops vectorisation.
                    source, target = np.uintp(r + i - above), np.uintp(r)
                    for s in range(left_end, right_end):
                        column = np.uintp(s + shift)
                        out[plane, target, np.uintp(s)] += tap * x[plane, source, column]
    return np.int64(0)


@compiled(read(types.float64), types.float64, types.float64, write(types.float64))
def round_to_grid(x: Doubles, steps: float, limit: float, out: Doubles) -> Int:
    """Round to multiples of 1/steps (half to even), a power of two, and clamp to ±limit."""
    for i in range(x.size):
        place = np.uintp(i)
        out[place] = min(max(np.rint(x[place] * steps) / steps, -limit), limit)
    return np.int64(0)
