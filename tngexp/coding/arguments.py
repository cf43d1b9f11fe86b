"""Checks of what callers hand to the entropy coder: integers, in range, of shapes that agree."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tngexp.coding.constants import GRID
from tngexp.coding.probability import MAX_SYMBOL, WEIGHT_BITS

__all__ = ["check_edges", "check_integers", "check_parameters", "check_symbols", "check_zero"]


def check_symbols(values: ArrayLike) -> NDArray[np.int32]:
    """Return symbols as a vector of int32."""
    array = np.asarray(values)
    if array.ndim != 1:
        raise ValueError(f"symbols must be one vector, not of shape {array.shape}")
    if array.dtype.itemsize > 4 and array.size and np.abs(array).max() > MAX_SYMBOL:
        raise ValueError(f"symbols must lie within ±{MAX_SYMBOL}")
    return check_integers(array, np.int32)


def check_edges(edges: ArrayLike) -> NDArray[np.int64]:
    """Return the inner cell edges of learned centers, ascending."""
    array = check_integers(edges, np.int64)
    if array.ndim != 1 or not array.size or not (np.diff(array) >= 0).all():
        raise ValueError("cell edges must be one ascending vector with at least one entry")
    return array


def check_zero(zero: int) -> int:
    """Return the half-width of the zero cell, in 1/256."""
    value = np.asarray(zero)
    if value.ndim or value.dtype.kind not in "iu" or not 1 <= value <= GRID - 1:
        raise ValueError(f"zero must be one integer from 1 to {GRID - 1}, not {zero!r}")
    return int(value)


def check_parameters(
    scale: ArrayLike, mean: ArrayLike | None, weight: ArrayLike | None
) -> tuple[NDArray[np.uint8], NDArray[np.int32], NDArray[np.int32]]:
    """Return (n, K) scales, means and weights, with zero means and whole weights where None."""
    scales = check_integers(scale, np.uint8)
    scales = scales[:, None] if scales.ndim == 1 else scales
    means = np.zeros(scales.shape, np.int32) if mean is None else check_integers(mean, np.int32)
    if weight is None:
        weights = np.full(scales.shape, 1 << WEIGHT_BITS, np.int32)
    else:
        weights = check_integers(weight, np.int32)
    means = means[:, None] if means.ndim == 1 else means
    weights = weights[:, None] if weights.ndim == 1 else weights
    if not (scales.ndim == 2 and scales.shape == means.shape == weights.shape):
        raise ValueError(
            f"scale {scales.shape}, mean {means.shape} and weight {weights.shape} must agree"
        )
    if scales.shape[1] == 0 or (weight is None and scales.shape[1] != 1):
        raise ValueError("a mixture of K > 1 components needs weights")
    return scales, means, weights


def check_integers(values: ArrayLike, dtype: type[Any]) -> NDArray[Any]:
    """Return contiguous integers of ``dtype``; refuse other kinds, and values it cannot hold."""
    array = np.asarray(values)
    if array.dtype.kind not in "iu":
        raise ValueError(f"the entropy coder takes integers, not {array.dtype}")
    if array.size and not np.can_cast(array.dtype, dtype):
        bounds = np.iinfo(dtype)
        if array.min() < bounds.min or array.max() > bounds.max:
            raise ValueError(f"values do not fit {bounds.dtype}")
    return np.ascontiguousarray(array, dtype)
