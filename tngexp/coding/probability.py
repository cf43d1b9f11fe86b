"""Integer probabilities: what the networks predict, on the grids the entropy coder works with.

The distribution of an element is Σ_k w_k N(m_k, σ_k) relative to its own location, or a mixture of
another family (``families.py``), in integers:

- ``scale``: index i of σ_i = 0.11 · 2^(i/24), i = 0 … 255 (0.11 … 173.7);
- ``mean``: m in 1/256;
- ``weight``: w in 1/65536, adding up to 65536 exactly. Finer than the 1/256 that would do for the
  bulk: a component that explains one symbol in a thousand must not round to nothing.

How they become frequencies is told in ``kernels.py``, and byte by byte in
``docs/reference/bitstream.md``. Every function here takes exact values to exact values: comparisons
with stored constants, rounding to a grid and integer arithmetic, but no exp, log or softmax, whose
last bit varies by machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tngexp.coding.constants import (
    EXP_STEPS,
    GRID,
    SCALE_LEVELS,
    SCALE_MIN,
    SCALE_PER_OCTAVE,
    constants,
)

__all__ = [
    "LOCATION_GRID",
    "MAX_POSITION",
    "MAX_SYMBOL",
    "PRECISION",
    "WEIGHT_BITS",
    "Tables",
    "build_tables",
    "quantize_edges",
    "quantize_means",
    "quantize_scales",
    "quantize_weights",
    "weights_from_logits",
]

PRECISION = 28  # frequencies add up to 2**28, so a floor of 1 over a wide window costs nothing
WEIGHT_BITS = 16  # weights add up to 2**16
LOCATION_GRID = 1024  # locations are multiples of 2⁻¹⁰, the exact networks' input grid
MAX_SYMBOL = 1 << 20  # larger magnitudes are refused on both sides
MAX_POSITION = 4096 * GRID  # component means and cell edges stay within ±4096 symbols
_MAX_TABLE = 1 << 20  # symbols in one static table


class Tables(NamedTuple):
    """Static integer CDFs, one per channel, concatenated.

    Channel c has ``cdf[begin[c] : begin[c + 1]]``, rising from 0 to 2**PRECISION. Its first
    interval is "below ``offset[c]``", its last "above the table"; both are followed by an escape
    code. Between them interval 1 is symbol ``offset[c]``, interval 2 the next, and so on.
    """

    cdf: NDArray[np.uint32]  # (Σ lengths,)
    begin: NDArray[np.int64]  # (C + 1,)
    offset: NDArray[np.int64]  # (C,)

    def check(self) -> Tables:
        """Return self with canonical dtypes; raise ValueError if the tables could not be coded."""
        cdf = np.ascontiguousarray(self.cdf, np.uint32)
        begin = np.ascontiguousarray(self.begin, np.int64)
        offset = np.ascontiguousarray(self.offset, np.int64)
        if not (
            cdf.ndim == begin.ndim == offset.ndim == 1
            and offset.size + 1 == begin.size
            and begin[0] == 0
            and begin[-1] == cdf.size
            and (np.diff(begin) >= 3).all()
            and (offset >= -MAX_SYMBOL).all()
            and (offset <= MAX_SYMBOL).all()
        ):
            raise ValueError("inconsistent table layout: begin, offset and cdf do not agree")
        rises = np.diff(cdf.astype(np.int64)) > 0
        rises[begin[1:-1] - 1] = True  # from one table's end to the next one's start
        if not (rises.all() and (cdf[begin[:-1]] == 0).all()):
            raise ValueError("a table's CDF must rise from 0 at every symbol")
        if not (cdf[begin[1:] - 1] == 1 << PRECISION).all():
            raise ValueError(f"a table's CDF must end at 2**{PRECISION}")
        return Tables(cdf, begin, offset)


def build_tables(
    pmfs: Sequence[ArrayLike],
    offsets: ArrayLike,
    below: ArrayLike | float = 0.0,
    above: ArrayLike | float = 0.0,
) -> Tables:
    """Turn per-channel probabilities into integer tables: once, at export; they travel along.

    Args:
        pmfs: for each of C channels, P(offset), P(offset + 1), … as float64, any positive length.
        offsets: (C,) the symbol that the first entry of each pmf stands for.
        below, above: (C,) or scalar, probability of everything under and over the table.

    Probabilities need not add up exactly; they are normalised. Every interval gets at least 1.
    """
    first = np.asarray(offsets, np.int64)
    under = np.broadcast_to(np.asarray(below, np.float64), first.shape)
    over = np.broadcast_to(np.asarray(above, np.float64), first.shape)
    if len(pmfs) != first.size:
        raise ValueError(f"{len(pmfs)} pmfs but {first.size} offsets")
    cdfs = []
    for channel, pmf in enumerate(pmfs):
        inside = np.asarray(pmf, np.float64)
        masses = np.concatenate([under[channel : channel + 1], inside, over[channel : channel + 1]])
        if inside.ndim != 1 or not 1 <= inside.size <= _MAX_TABLE:
            raise ValueError(f"pmf of channel {channel} must be a vector of 1 to 2**20 entries")
        if not (np.isfinite(masses).all() and (masses >= 0).all() and masses.sum() > 0):
            raise ValueError(f"pmf of channel {channel} has negative, infinite or no mass")
        cumulative = np.concatenate([[0.0], np.cumsum(masses)]) / masses.sum()
        floor = np.arange(masses.size + 1)
        scaled = np.rint(cumulative * ((1 << PRECISION) - masses.size)).astype(np.int64)
        cdf = scaled + floor
        cdf[-1] = 1 << PRECISION
        cdfs.append(cdf)
    return Tables(
        cdf=np.concatenate(cdfs).astype(np.uint32),
        begin=np.cumsum([0, *(cdf.size for cdf in cdfs)], dtype=np.int64),
        offset=first.reshape(-1),
    ).check()


def quantize_scales(scale: ArrayLike) -> NDArray[np.uint8]:
    """Index of the nearest level, by ratio; below 0.11 is level 0, above 173.7 level 255."""
    values, edge = np.asarray(scale, np.float64), constants().scale_edge
    lower, upper = np.append(-np.inf, edge), np.append(edge, np.inf)
    # log2 only guesses; the comparisons with the stored edges decide (3 × as fast as searchsorted)
    guess = np.log2(np.maximum(values, float(SCALE_MIN)) / float(SCALE_MIN)) * SCALE_PER_OCTAVE
    level = np.rint(np.minimum(guess, SCALE_LEVELS - 1)).astype(np.intp)
    level -= values <= lower[level]
    level += values > upper[level]
    return level.astype(np.uint8)


def quantize_means(mean: ArrayLike) -> NDArray[np.int32]:
    """Component means, relative to the element's location, in 1/256 (half to even)."""
    scaled = np.rint(np.asarray(mean, np.float64) * GRID)
    return np.clip(scaled, -MAX_POSITION, MAX_POSITION).astype(np.int32)


def quantize_edges(edges: ArrayLike) -> NDArray[np.int64]:
    """Inner cell edges of L learned centers, (L − 1,) ascending, in 1/256; order is kept."""
    scaled = np.rint(np.asarray(edges, np.float64) * GRID)
    if scaled.ndim != 1 or not (np.diff(scaled) >= 0).all():
        raise ValueError("cell edges must be one ascending vector")
    return np.clip(scaled, -MAX_POSITION, MAX_POSITION).astype(np.int64)


def quantize_weights(weight: ArrayLike) -> NDArray[np.int32]:
    """Mixture weights (…, K), non-negative with any sum, in 1/65536 adding up exactly.

    Deterministic for a given float64 input, but a softmax before it is not: a decoder that has to
    repeat the encoder's weights uses ``weights_from_logits``.
    """
    weights = np.asarray(weight, np.float64)
    share = weights / weights.sum(-1, keepdims=True)
    return _settle(np.rint(share * (1 << WEIGHT_BITS)).astype(np.int64))


def weights_from_logits(logits: ArrayLike) -> NDArray[np.int32]:
    """Softmax over the last axis in integers: (…, K) logits in 1/64 nat → weights in 1/65536."""
    table = constants().exp
    integer = np.asarray(logits)
    if integer.dtype.kind not in "iu":
        raise ValueError(f"logits must be integers in 1/{EXP_STEPS} nat, not {integer.dtype}")
    distance = integer.max(-1, keepdims=True).astype(np.int64) - integer
    power = np.where(distance < table.size, table[np.minimum(distance, table.size - 1)], 0)
    total = power.sum(-1, keepdims=True)
    return _settle(((power << WEIGHT_BITS) + total // 2) // total)


def _settle(weight: NDArray[np.int64]) -> NDArray[np.int32]:
    """Give the largest weight (the first of equals) what rounding left over."""
    largest = weight.argmax(-1)[..., None]
    missing = (1 << WEIGHT_BITS) - weight.sum(-1, keepdims=True)
    settled = np.take_along_axis(weight, largest, -1) + missing
    np.put_along_axis(weight, largest, settled, -1)
    return weight.astype(np.int32)
