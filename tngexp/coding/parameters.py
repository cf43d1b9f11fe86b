"""From the outputs of exact networks to integer parameters, in one pass of a compiled loop."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tngexp.coding.constants import constants
from tngexp.coding.loading import load_compiled

__all__ = ["Parameters", "mixture_parameters"]

_KERNELS = "tngexp.coding.parameter_kernels"


class Parameters(NamedTuple):
    """Integer parameters of n elements with K components each."""

    location: NDArray[np.float64]  # (n,), multiples of 2⁻¹⁰
    scale: NDArray[np.uint8]  # (n, K), see quantize_scales
    mean: NDArray[np.int32]  # (n, K), relative to the location, in 1/256
    weight: NDArray[np.int32]  # (n, K), adding up to 65536


def mixture_parameters(
    scale: NDArray[np.float64],
    mean: NDArray[np.float64],
    logits: NDArray[np.float64] | None,
) -> Parameters:
    """Parameters as ``Encoder.mixture`` takes them, and where each element's symbol 0 sits.

    The location is the mean of the distribution on a grid of 2⁻¹⁰: of one component its own mean;
    of several the mean of their rounded means with their rounded weights. In numpy, step by step,
    it is ``quantize_scales``, ``weights_from_logits`` and ``quantize_means``.

    Args:
        scale: (K, n).
        mean: (K, n); clipped to ±2³⁰.
        logits: (K, n), rounded to 1/64 nat; None for K = 1.
    """
    count, size = mean.shape
    result = Parameters(
        np.empty(size),
        np.empty((size, count), np.uint8),
        np.empty((size, count), np.int32),
        np.empty((size, count), np.int32),
    )
    contiguous = [np.ascontiguousarray(v, np.float64) for v in (scale, mean)]
    nats = contiguous[1] if logits is None else np.ascontiguousarray(logits, np.float64)
    given = contiguous[0].view(np.int64), contiguous[1], nats, *_levels(), constants().exp
    load_compiled(_KERNELS).integer_parameters(*given, *result)
    return result


@lru_cache(maxsize=1)
def _levels() -> tuple[NDArray[np.int64], NDArray[np.int64], Any]:
    """Bit patterns of the edges between scale levels, and where to begin among them.

    ``bucket[p]`` is the number of edges below every double whose upper bits are ``first + p``.
    """
    shift = load_compiled(_KERNELS).BUCKET_BITS
    edge = constants().scale_edge.view(np.int64)
    first, last = edge[0] >> shift, edge[-1] >> shift
    bucket = np.searchsorted(edge, np.arange(first, last + 1) << shift)
    return edge, bucket.astype(np.int64), first
