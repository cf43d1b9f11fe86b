"""What tests of the entropy coder share: its formula in Python integers, and problems to code."""

from __future__ import annotations

import numpy as np

from tngexp.coding import FAMILIES, Encoder
from tngexp.coding.families import find_family

TABLES = {name: [table.tolist() for table in find_family(name)] for name in FAMILIES}


def reference_sum(x, row, family):
    """Σ_k w_k Φ((x − m_k)/σ_k) times 2**46, x in 1/256, as docs/reference/bitstream.md has it.

    ``row`` holds (scale, mean, weight) of each component.
    """
    inverse, _, nodes = TABLES[family]
    total = 0
    for s, m, w in row:
        u = max(-8 << 32, min((8 << 32) - 1, (x - m) * inverse[s]))
        n, fraction = (u >> 25) + 1024, (u >> 9) & 0xFFFF
        total += w * (nodes[n] + ((nodes[n + 1] - nodes[n]) * fraction >> 16))
    return total


def sample(rng, n, components, low, high, spread):
    """Unquantized mixtures and symbols drawn from them."""
    scale = np.exp(rng.uniform(np.log(low), np.log(high), (n, components)))
    mean = rng.normal(0, spread, (n, components)) * scale
    weight = rng.dirichlet(np.ones(components), n)
    mean -= (mean * weight).sum(1, keepdims=True)
    pick = (rng.random((n, 1)) > weight.cumsum(1)[:, :-1]).sum(1)
    rows = np.arange(n)
    y = rng.normal(mean[rows, pick], scale[rows, pick])
    return np.rint(y).astype(np.int32), scale, mean, weight


def encode(symbols, *parameters):
    encoder = Encoder()
    encoder.mixture(symbols, *parameters)
    return encoder.finish()
