"""The entropy coder against a reference in Python integers, against entropy, against damage."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtr

from tngexp.coding import (
    PRECISION,
    BitstreamError,
    Decoder,
    Encoder,
    build_tables,
    quantize_edges,
    quantize_means,
    quantize_scales,
    quantize_weights,
    symbols_checksum,
)
from tngexp.coding.constants import constants

TOTAL = 1 << PRECISION
MAX = 1 << 20
PHI, INVERSE, WINDOW = (
    [int(v) for v in table]
    for table in (constants().phi, constants().inverse_scale, constants().half_window)
)


# --- a second implementation, in unbounded Python integers, from docs/bitstream.md ---------------


def reference_cumulative(x, scale, mean, weight):
    """Σ_k w_k Φ((x − m_k)/σ_k) times 2**46, x in 1/256."""
    total = 0
    for s, m, w in zip(scale, mean, weight, strict=True):
        u = max(-8 << 32, min((8 << 32) - 1, (x - m) * INVERSE[s]))
        node, fraction = (u >> 25) + 1024, (u >> 9) & 0xFFFF
        total += w * (PHI[node] + ((PHI[node + 1] - PHI[node]) * fraction >> 16))
    return total


def reference_cdf(scale, mean, weight, edges):
    """F(0), …, F(L) of one element over the cells that meet at ``edges``."""
    size = len(edges) + 1
    inner = [
        ((reference_cumulative(x, scale, mean, weight) >> 18) * (TOTAL - size) >> PRECISION) + j
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


def ideal_bits(symbols, scale, mean, weight):
    """−Σ log2 P in float64 under the unquantized mixtures."""
    distance = np.abs(symbols[:, None] - mean)
    mass = ndtr((0.5 - distance) / scale) - ndtr((-0.5 - distance) / scale)
    return -np.log2((weight * mass).sum(1)).sum()


def encode(symbols, *parameters):
    encoder = Encoder()
    encoder.mixture(symbols, *parameters)
    return encoder.finish()


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


GOLDEN = (
    "81a60e4034ec016143d2eefff95ef2cc32f6aa8a363bb80fdd8694f26f2d7ba2d0e1feff0f37ae31204404b9d018e78f"
    "c80a9497b7674893ff2d68d87e"
)


def test_golden_bytes():
    """Files written today decode for ever: change these bytes only with the format version."""
    rng = np.random.RandomState(0)  # the legacy generator's stream is frozen by numpy's policy
    scale = rng.randint(0, 120, (24, 3), np.int64)
    mean = rng.randint(-300, 300, (24, 3), np.int64)
    weight = np.array([[60000, 5000, 536]] * 24)
    symbols = rng.randint(-2, 3, 24, np.int64)
    symbols[5], symbols[11] = -MAX, 9000
    encoder = Encoder()
    encoder.mixture(symbols, scale, mean, weight)
    channels, tables = np.arange(24) % 2, build_tables([[0.5, 0.5], [1.0]], [0, -1], 0.1, 0.2)
    encoder.table(symbols, channels, tables)
    encoder.centers(np.arange(24) % 4, [-200, 0, 130], scale, mean, weight)
    assert encoder.finish().hex() == GOLDEN
    decoder = Decoder(bytes.fromhex(GOLDEN))
    np.testing.assert_array_equal(decoder.mixture(scale, mean, weight), symbols)
    np.testing.assert_array_equal(decoder.table(channels, tables), symbols)
    centers = decoder.centers([-200, 0, 130], scale, mean, weight)
    np.testing.assert_array_equal(centers, np.arange(24) % 4)
    decoder.finish()


def test_nothing_coded_is_no_bytes():
    assert Encoder().finish() == b""
    assert encode(np.empty(0, np.int32), np.empty((0, 3), np.uint8)[:, :1]) == b""
    decoder = Decoder(b"")
    assert decoder.mixture(np.empty((0, 1), np.uint8)).size == 0
    decoder.finish()


# --- damage and misuse ----------------------------------------------------------------------------


def stream_and_parameters(n=300):
    rng = np.random.default_rng(5)
    symbols, scale, mean, weight = sample(rng, n, 3, 0.3, 3.0, 1.0)
    symbols[::50] = rng.integers(-MAX, MAX, symbols[::50].size)  # escapes
    parameters = quantize_scales(scale), quantize_means(mean), quantize_weights(weight)
    return symbols, parameters, encode(symbols, *parameters)


def test_every_truncation_is_noticed():
    _, parameters, data = stream_and_parameters(100)
    for length in range(len(data)):
        with pytest.raises(BitstreamError):
            decode_all(data[:length], parameters)


def test_flipped_bits_give_an_error_or_symbols_in_range():
    """A flip inside an escaped value changes that value only; the container's CRC catches it."""
    _, parameters, data = stream_and_parameters()
    rng = np.random.default_rng(6)
    noticed = 0
    for bit in rng.choice(len(data) * 8, 500, replace=False):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        decoder = Decoder(bytes(damaged))
        try:
            symbols = decoder.mixture(*parameters)
            decoder.finish()
        except BitstreamError:
            noticed += 1
        else:
            assert np.abs(symbols).max() <= MAX
    assert noticed >= 400


def test_random_bytes_never_crash():
    rng = np.random.default_rng(7)
    parameters = stream_and_parameters(50)[1]
    tables = build_tables([[0.5, 0.5], [1.0]], [0, -1], 0.1, 0.2)
    for _ in range(500):
        data = rng.bytes(rng.integers(0, 60))
        with pytest.raises(BitstreamError):
            decode_all(data, parameters)
        with pytest.raises(BitstreamError):  # endless cheap symbols end with the bytes too
            decode_table(data, tables)


def decode_table(data, tables):
    decoder = Decoder(data)
    decoder.table(np.arange(1000) % 2, tables)
    decoder.finish()


def decode_all(data, parameters):
    decoder = Decoder(data)
    decoder.mixture(*parameters)
    decoder.finish()


def test_other_probabilities_are_noticed_at_the_end():
    _, (scale, mean, weight), data = stream_and_parameters(100)
    other = mean.copy()
    other[40, 0] += 1
    with pytest.raises(BitstreamError):
        decode_all(data, (scale, other, weight))


@pytest.mark.parametrize(
    ("symbols", "scale", "mean", "weight", "message"),
    [
        ([0.5], [3], None, None, "integers"),
        ([MAX + 1], [3], None, None, "beyond|within"),
        ([2**40], [3], None, None, "within"),
        ([0], [256], None, None, "fit"),
        ([0], [[3, 3]], None, None, "weights"),
        ([0], [[3, 3]], [[0, 0]], [[65536, 1]], "add up"),
        ([0], [[3, 3]], [[0, 0]], [[65537, -1]], "add up"),
        ([0], [3], [2**21], None, "lie within"),
        ([0], [3], [0, 0], None, "agree"),
        ([0, 0], [3], None, None, "distributions"),
    ],
)
def test_misuse_is_a_value_error(symbols, scale, mean, weight, message):
    with pytest.raises(ValueError, match=message):
        encode(np.array(symbols), np.array(scale), mean, weight)


def test_centers_and_channels_outside_their_alphabet_are_refused():
    with pytest.raises(ValueError, match="alphabet"):
        Encoder().centers([3], [-10, 10], np.array([5]))
    with pytest.raises(ValueError, match="channels exist"):
        Encoder().table([0], [1], build_tables([[1.0]], [0]))
    with pytest.raises(ValueError, match="ascending"):
        Encoder().centers([0], [10, -10], np.array([5]))


def test_checksum_depends_on_values_and_order_but_not_on_type():
    a, b = np.array([1, -2]), np.array([3])
    assert symbols_checksum([a, b]) == symbols_checksum([a.astype(np.int32), b])
    assert symbols_checksum([a, b]) == symbols_checksum([np.concatenate([a, b])])
    assert symbols_checksum([a, b]) != symbols_checksum([b, a])


def test_numba_is_imported_only_when_something_is_coded():
    code = "import sys, tngexp.coding; assert 'numba' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_first_compile_is_announced_and_writes_the_same_bytes_for_any_processor(tmp_path):
    code = (
        "import importlib.util as u;"
        f"s = u.spec_from_file_location('t', {__file__!r});"
        "t = u.module_from_spec(s); s.loader.exec_module(t);"
        "t.Encoder(); t.test_golden_bytes()"
    )
    environment = {
        **os.environ,
        "NUMBA_CACHE_DIR": str(tmp_path),
        "NUMBA_CPU_NAME": "generic",
        "NUMBA_CPU_FEATURES": "",
    }
    for expected in (1, 0):  # the second process finds the cache
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr.count("compiling the entropy coder") == expected
