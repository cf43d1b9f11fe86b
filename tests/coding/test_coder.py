"""The entropy coder against a reference in Python integers, and against entropy."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from coder_reference import encode, reference_sum, sample
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtr

from tngexp.coding import (
    PRECISION,
    Decoder,
    Encoder,
    build_tables,
    quantize_edges,
    quantize_means,
    quantize_scales,
    quantize_weights,
)
from tngexp.coding.constants import constants

TOTAL = 1 << PRECISION
MAX = 1 << 20
PHI, INVERSE, WINDOW = (
    [int(v) for v in table]
    for table in (constants().phi, constants().inverse_scale, constants().half_window)
)


# --- a second implementation, in unbounded Python integers, from docs/reference/bitstream.md ------


def reference_cdf(scale, mean, weight, edges):
    """F(0), …, F(L) of one element over the cells that meet at ``edges``."""
    size, row = len(edges) + 1, list(zip(scale, mean, weight, strict=True))
    inner = [
        ((reference_sum(x, row, "gaussian") >> 18) * (TOTAL - size) >> PRECISION) + j
        for j, x in enumerate(edges, 1)
    ]
    return [0, *inner, TOTAL]


def reference_window(scale, mean, weight):
    used = [(m, WINDOW[s]) for s, m, w in zip(scale, mean, weight, strict=True) if w]
    return min(m - h + 128 for m, h in used) // 256, max(m + h + 128 for m, h in used) // 256


def reference_intervals(symbol, scale, mean, weight):
    """The (start, frequency) pairs that code one lattice symbol, escapes included."""
    low, high = reference_window(scale, mean, weight)
    edges = [256 * s - 128 for s in range(low, high + 2)]
    cdf = reference_cdf(scale, mean, weight, edges)
    j = max(0, min(symbol - low + 1, high - low + 2))
    intervals = [(cdf[j], cdf[j + 1] - cdf[j])]
    if not low <= symbol <= high:
        value = (low - symbol if symbol < low else symbol - high) - 1 + 1
        length = value.bit_length() - 1
        intervals.append((length << PRECISION - 5, 1 << PRECISION - 5))
        if length:
            rest = value - (1 << length)
            intervals.append((rest << PRECISION - length, 1 << PRECISION - length))
    return intervals


def reference_stream(intervals):
    state, words = 1 << 32, []
    for start, freq in reversed(intervals):
        if state >= freq << 64 - PRECISION:
            words.append(state & 0xFFFFFFFF)
            state >>= 32
        state = (state // freq << PRECISION) + state % freq + start
    head = state.to_bytes((state.bit_length() + 7) // 8, "little")
    return head + b"".join(word.to_bytes(4, "little") for word in reversed(words))


# --- random problems ------------------------------------------------------------------------------


@st.composite
def mixtures(draw, max_size=40):
    """(scale, mean, weight) of a few elements, extremes included."""
    n, k = draw(st.integers(1, max_size)), draw(st.integers(1, 5))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    top = draw(st.sampled_from([1, 30, 256]))
    spread = draw(st.sampled_from([0, 100, 3000, 4096 * 256]))
    cuts = np.sort(rng.integers(0, 65537, (n, k - 1)), axis=1)
    weight = np.diff(cuts, axis=1, prepend=0, append=65536)
    if draw(st.booleans()):  # one component alone: the others must not widen the window
        weight = np.eye(k, dtype=np.int64)[rng.integers(0, k, n)] * 65536
    return (
        rng.integers(0, top, (n, k)).astype(np.uint8),
        rng.integers(-spread, spread + 1, (n, k)).astype(np.int32),
        weight.astype(np.int32),
    )


@st.composite
def problems(draw):
    scale, mean, weight = draw(mixtures())
    reach = draw(st.sampled_from([1, 3, 50, 5000, MAX]))
    seed = draw(st.integers(0, 2**32))
    symbols = np.random.default_rng(seed).integers(-reach, reach + 1, len(scale))
    return symbols, scale, mean, weight


def ideal_bits(symbols, scale, mean, weight):
    """−Σ log2 P in float64 under the unquantized mixtures."""
    distance = np.abs(symbols[:, None] - mean)
    mass = ndtr((0.5 - distance) / scale) - ndtr((-0.5 - distance) / scale)
    return -np.log2((weight * mass).sum(1)).sum()


# --- theorems -------------------------------------------------------------------------------------


@settings(deadline=None)
@given(problems())
def test_bytes_equal_the_reference_and_decode(problem):
    symbols, scale, mean, weight = problem
    rows = zip(*(a.tolist() for a in problem), strict=True)
    data = encode(*problem)
    assert data == reference_stream([pair for row in rows for pair in reference_intervals(*row)])
    decoder = Decoder(data)
    np.testing.assert_array_equal(decoder.mixture(scale, mean, weight), symbols)
    decoder.finish()


@settings(deadline=None)
@given(mixtures(max_size=5))
def test_every_symbol_has_a_frequency_and_they_add_up(mixture):
    for row in zip(*(a.tolist() for a in mixture), strict=True):
        low, high = reference_window(*row)
        cdf = reference_cdf(*row, [256 * s - 128 for s in range(low, high + 2)])
        assert min(np.diff(cdf)) >= 1
        assert (cdf[0], cdf[-1]) == (0, TOTAL)


@settings(deadline=None)
@given(mixtures(), st.lists(st.integers(-3000, 3000), min_size=1, max_size=40), st.randoms())
def test_learned_centers_code_every_index(mixture, edges, random):
    edges = sorted(edges)  # equal edges make empty cells, whose symbols stay codable
    symbols = [random.randint(0, len(edges)) for _ in mixture[0]]
    encoder = Encoder()
    encoder.centers(symbols, edges, *mixture)
    data = encoder.finish()
    rows = zip(symbols, *(a.tolist() for a in mixture), strict=True)
    cdfs = [(s, reference_cdf(*row, edges)) for s, *row in rows]
    assert data == reference_stream([(cdf[s], cdf[s + 1] - cdf[s]) for s, cdf in cdfs])
    decoder = Decoder(data)
    np.testing.assert_array_equal(decoder.centers(edges, *mixture), symbols)
    decoder.finish()


@settings(deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 6), st.sampled_from([2, 40, MAX]))
def test_tables_round_trip(seed, channels, reach):
    rng = np.random.default_rng(seed)
    pmfs = [rng.dirichlet(np.full(rng.integers(1, 60), 0.1)) for _ in range(channels)]
    tables = build_tables(pmfs, rng.integers(-40, 40, channels), 1e-9, 1e-4)
    indices = rng.integers(0, channels, 200)
    symbols = rng.integers(-reach, reach + 1, 200)
    encoder = Encoder()
    encoder.table(symbols, indices, tables)
    decoder = Decoder(encoder.finish())
    np.testing.assert_array_equal(decoder.table(indices, tables), symbols)
    decoder.finish()


def test_steps_may_depend_on_earlier_ones_and_mix_kinds():
    rng = np.random.default_rng(3)
    tables = build_tables([[0.2, 0.5, 0.3]], [-1], 1e-6, 1e-6)
    edges = quantize_edges([-1.0, 0.0, 1.0])
    steps = [rng.integers(-1, 2, 7) for _ in range(20)]
    encoder = Encoder()
    for previous, symbols in pairwise(steps):
        encoder.mixture(symbols, quantize_scales(np.exp(previous)))
        encoder.table(symbols, np.zeros(7, np.int32), tables)
        encoder.centers(symbols + 1, edges, quantize_scales(np.exp(previous)))
    decoder, previous = Decoder(encoder.finish()), steps[0]
    for symbols in steps[1:]:
        scale = quantize_scales(np.exp(previous))
        np.testing.assert_array_equal(decoder.mixture(scale), symbols)
        np.testing.assert_array_equal(decoder.table(np.zeros(7, np.int32), tables), symbols)
        previous = decoder.centers(edges, scale) - 1
    decoder.finish()


@pytest.mark.parametrize(
    ("components", "low", "high", "spread", "expected"),
    [
        (1, 0.11, 0.18, 0.0, 0.012),  # where most symbols cost a hundredth of a bit
        (3, 0.11, 0.18, 0.3, 0.015),
        (1, 0.5, 5.0, 0.0, 2.8),
        (3, 0.5, 5.0, 1.0, 2.9),
        (3, 8.0, 150.0, 1.0, 7.5),
    ],
)
def test_size_is_the_entropy_of_the_unquantized_model(components, low, high, spread, expected):
    rng = np.random.default_rng(0)
    symbols, scale, mean, weight = sample(rng, 200_000, components, low, high, spread)
    bits = ideal_bits(symbols, scale, mean, weight)
    assert bits / symbols.size == pytest.approx(expected, rel=0.25)
    data = encode(symbols, quantize_scales(scale), quantize_means(mean), quantize_weights(weight))
    assert len(data) <= bits / 8 * 1.003 + 8


def test_table_size_is_the_entropy():
    rng = np.random.default_rng(1)
    pmfs = [[0.5, 0.25, 0.25], [0.001, 0.998, 0.001]]
    symbols = np.concatenate([rng.choice(3, 50_000, p=p) for p in pmfs])
    channels = np.repeat([0, 1], 50_000)
    bits = -np.log2(np.array(pmfs)[channels, symbols]).sum()
    encoder = Encoder()
    encoder.table(symbols, channels, build_tables(pmfs, [0, 0]))
    assert len(encoder.finish()) <= bits / 8 * 1.001 + 8


def test_nothing_coded_is_no_bytes():
    assert Encoder().finish() == b""
    assert encode(np.empty(0, np.int32), np.empty((0, 3), np.uint8)[:, :1]) == b""
    decoder = Decoder(b"")
    assert decoder.mixture(np.empty((0, 1), np.uint8)).size == 0
    decoder.finish()
