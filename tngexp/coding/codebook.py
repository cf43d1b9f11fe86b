"""Static tables for the codewords of a vector quantizer, from a distribution per coordinate.

A codeword stands for g neighbouring or related elements at once, each with a mixture of its own as
in ``Encoder.mixture``. Codeword l is coded with

    P(l) ∝ Π_d [F_d(c_ld + ½) − F_d(c_ld − ½)],

the mass of the unit cell around it, normalised over the codebook; a mass below 2**−30, where the
families' tables end, counts as 2**−30. The product is a sum of integer logarithms and its
normalisation an integer softmax, so both sides get the same tables:

    tables = codebook_tables(codebook, scale, mean, weight)
    encoder.table(indices, np.arange(n), tables)
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from tngexp.coding.arguments import check_integers, check_parameters
from tngexp.coding.constants import constants
from tngexp.coding.families import family_tables, find_family
from tngexp.coding.loading import load_compiled, raise_for
from tngexp.coding.probability import MAX_POSITION, MAX_SYMBOL, Tables

__all__ = ["codebook_tables"]


def codebook_tables(
    codebook: ArrayLike,
    scale: ArrayLike,
    mean: ArrayLike | None = None,
    weight: ArrayLike | None = None,
    *,
    family: str = "gaussian",
) -> Tables:
    """Return n static tables over the codewords, one for each group of g elements.

    Args:
        codebook: (L, g) codewords, relative to the elements' locations, in 1/256, ≤ 4096·256.
        scale: (n, g, K) or (n, g) scale indices 0 … 255.
        mean: like scale, in 1/256, |mean| ≤ 4096·256; None for zeros.
        weight: like scale, in 1/65536, adding up to 65536; None where K = 1.
        family: what the mixtures are of, one of ``FAMILIES``.

    The symbols of every table are 0 … L−1. As in all static tables others stay codable, at 28 bits
    and more: whoever decodes bytes that may be damaged checks the range. The memory of a call is
    4 n (L + 3) bytes, which the caller bounds by making tables for some groups at a time.
    """
    words = check_integers(codebook, np.int64)
    if words.ndim != 2 or not words.size or len(words) > MAX_SYMBOL:
        raise ValueError(
            f"a codebook has shape (L, g) with 1 to {MAX_SYMBOL} codewords, not {words.shape}"
        )
    if words.max() > MAX_POSITION or words.min() < -MAX_POSITION:
        raise ValueError(f"codewords must lie within ±{MAX_POSITION}")
    size, dimensions = words.shape
    shape = np.shape(scale)
    if len(shape) not in (2, 3) or shape[1] != dimensions:
        raise ValueError(
            f"scale must have shape (n, {dimensions}, K) for codewords of {dimensions} numbers, "
            f"not {shape}"
        )
    for name, values in (("mean", mean), ("weight", weight)):
        if values is not None and np.shape(values) != shape:
            raise ValueError(f"{name} {np.shape(values)} and scale {shape} must agree")
    rows = (shape[0] * dimensions, shape[2] if len(shape) == 3 else 1)
    parameters = check_parameters(
        np.reshape(scale, rows),
        None if mean is None else np.reshape(mean, rows),
        None if weight is None else np.reshape(weight, rows),
    )
    chosen = find_family(family)
    begin = np.arange(shape[0] + 1, dtype=np.int64) * (size + 3)
    cdf = np.empty(begin[-1], np.uint32)
    status = load_compiled("tngexp.coding.codebook_kernels").codebook_cdfs(
        np.ascontiguousarray(words.T),
        *parameters,
        chosen.inverse_scale,
        chosen.nodes,
        family_tables().log,
        constants().exp,
        np.empty(size, np.int64),
        cdf,
    )
    raise_for(load_compiled("tngexp.coding.kernels"), status)
    return Tables(cdf, begin, np.zeros(shape[0], np.int64))
