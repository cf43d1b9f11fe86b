"""Families and dead zones against a reference in Python integers, and against entropy."""

from __future__ import annotations

import numpy as np
import pytest
from coder_reference import TABLES, reference_sum
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tngexp.coding import (
    FAMILIES,
    PRECISION,
    Decoder,
    Encoder,
    quantize_means,
    quantize_scales,
    quantize_weights,
)

TOTAL = 1 << PRECISION
MAX = 1 << 20
SCIPY = {"gaussian": stats.norm, "laplace": stats.laplace, "logistic": stats.logistic}


def lower_edge(symbol, zero):
    return 256 * symbol - (zero if symbol <= 0 else 256 - zero)


# --- a second implementation of docs/reference/bitstream.md, in unbounded Python integers ---------


def reference_window(row, family, zero):
    """The symbols in whose cells the window ends, found by looking at cells one after the other."""
    reach = TABLES[family][1]
    found = []
    for x in (min(m - reach[s] for s, m, w in row if w), max(m + reach[s] for s, m, w in row if w)):
        symbol = x // 256 - 2
        while lower_edge(symbol + 1, zero) <= x:
            symbol += 1
        found.append(symbol)
    return found


def reference_interval(symbol, row, family, zero):
    """(start, frequency) of a lattice symbol in its window, or of "below" or "above" it."""
    low, high = reference_window(row, family, zero)
    size = high - low + 3
    j = max(0, min(symbol - low + 1, size - 1))

    def border(j):
        if j in (0, size):
            return j and TOTAL
        x = lower_edge(low + j - 1, zero)
        return ((reference_sum(x, row, family) >> 18) * (TOTAL - size) >> PRECISION) + j

    return border(j), border(j + 1) - border(j)


def intervals(encoder):
    """What the encoder noted for its one call."""
    ((starts, freqs),) = encoder._chunks
    return list(zip(starts.tolist(), freqs.tolist(), strict=True))


# --- random problems ------------------------------------------------------------------------------


@st.composite
def mixtures(draw):
    """(scale, mean, weight) of a few elements, extremes included."""
    n, k = draw(st.integers(1, 30)), draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    top, spread = draw(st.sampled_from([1, 30, 256])), draw(st.sampled_from([0, 300, 4096 * 256]))
    cuts = np.sort(rng.integers(0, 65537, (n, k - 1)), axis=1)
    weight = np.diff(cuts, axis=1, prepend=0, append=65536)
    return rng.integers(0, top, (n, k)), rng.integers(-spread, spread + 1, (n, k)), weight


FAMILY, ZERO = st.sampled_from(FAMILIES), st.sampled_from([1, 60, 127, 128, 129, 200, 255])


@settings(deadline=None)
@given(mixtures(), FAMILY, ZERO, st.sampled_from([1, 3, 50, 5000, MAX]), st.integers(0, 2**32))
def test_lattice_symbols_come_back_whatever_the_parameters(mixture, family, zero, reach, seed):
    symbols = np.random.default_rng(seed).integers(-reach, reach + 1, len(mixture[0]))
    encoder = Encoder()
    encoder.mixture(symbols, *mixture, family=family, zero=zero)
    decoder = Decoder(encoder.finish())
    decoded = decoder.mixture(*mixture, family=family, zero=zero)
    np.testing.assert_array_equal(decoded, symbols)
    decoder.finish()


@settings(deadline=None)
@given(mixtures(), FAMILY, ZERO, st.integers(-4, 4))
def test_intervals_are_those_of_the_document(mixture, family, zero, symbol):
    rows = [
        list(zip(*row, strict=True)) for row in zip(*(a.tolist() for a in mixture), strict=True)
    ]
    inside = [
        low <= symbol <= high for low, high in (reference_window(r, family, zero) for r in rows)
    ]
    encoder = Encoder()
    encoder.mixture(np.full(len(rows), symbol), *mixture, family=family, zero=zero)
    noted = iter(intervals(encoder))
    for row, within in zip(rows, inside, strict=True):
        assert next(noted) == reference_interval(symbol, row, family, zero)
        if not within:  # an escape: 5 bits of length, then that many bits
            start, _ = next(noted)
            if start:
                next(noted)
    assert next(noted, None) is None


@settings(deadline=None)
@given(mixtures(), FAMILY, st.lists(st.integers(-3000, 3000), min_size=1, max_size=40))
def test_learned_centers_come_back(mixture, family, edges):
    edges = sorted(edges)
    symbols = np.arange(len(mixture[0])) % (len(edges) + 1)
    encoder = Encoder()
    encoder.centers(symbols, edges, *mixture, family=family)
    decoder = Decoder(encoder.finish())
    np.testing.assert_array_equal(decoder.centers(edges, *mixture, family=family), symbols)
    decoder.finish()


# --- against entropy ------------------------------------------------------------------------------


def draw_symbols(family, zero, components, low, high):
    """Unquantized mixtures, symbols drawn from them and −Σ log2 P in float64."""
    rng, n = np.random.default_rng(0), 100_000
    scale = np.exp(rng.uniform(np.log(low), np.log(high), (n, components)))
    mean = rng.normal(0, 1.0, (n, components)) * scale * (components > 1)
    weight = rng.dirichlet(np.ones(components), n)
    pick = (rng.random((n, 1)) > weight.cumsum(1)[:, :-1]).sum(1)
    rows, distribution, half = np.arange(n), SCIPY[family], zero / 256
    y = distribution.rvs(mean[rows, pick], scale[rows, pick], random_state=rng)
    symbols = np.where(np.abs(y) < half, 0, np.sign(y) * np.ceil(np.abs(y) - half))
    lower = np.where(symbols <= 0, symbols - half, symbols + half - 1)
    upper = np.where(symbols < 0, symbols + 1 - half, symbols + half)
    a, b = (lower[:, None] - mean) / scale, (upper[:, None] - mean) / scale
    right = a > 0  # the survival function keeps the digits of the upper tail
    mass = np.where(right, distribution.sf(a) - distribution.sf(b), 0)
    mass += np.where(right, 0, distribution.cdf(b) - distribution.cdf(a))
    return symbols.astype(int), scale, mean, weight, -np.log2((weight * mass).sum(1)).sum()


@pytest.mark.parametrize("zero", [40, 128, 190])
@pytest.mark.parametrize(
    ("components", "low", "high"), [(1, 0.11, 0.3), (1, 0.5, 5.0), (3, 0.3, 4.0), (2, 8.0, 150.0)]
)
@pytest.mark.parametrize("family", FAMILIES)
def test_size_is_the_entropy_of_the_unquantized_model(family, components, low, high, zero):
    symbols, scale, mean, weight, bits = draw_symbols(family, zero, components, low, high)
    encoder = Encoder()
    parameters = quantize_scales(scale), quantize_means(mean), quantize_weights(weight)
    encoder.mixture(symbols, *parameters, family=family, zero=zero)
    assert len(encoder.finish()) <= bits / 8 * 1.001 + 8


@pytest.mark.parametrize("family", FAMILIES)
def test_plain_rounding_is_the_dead_zone_of_half_a_cell(family):
    symbols, scale, mean, weight, _ = draw_symbols(family, 128, 2, 0.3, 4.0)
    parameters = quantize_scales(scale), quantize_means(mean), quantize_weights(weight)
    plain, zoned = Encoder(), Encoder()
    plain.mixture(symbols, *parameters, family=family)
    zoned.mixture(symbols, *parameters, family=family, zero=128)
    assert plain.finish() == zoned.finish()


GOLDEN = {
    ("gaussian", 100): ("e6b0e0f9ca8001f2dcfff9fe9339d15c960fdf04f18f365bc41ac488d448bb"),
    ("gaussian", 177): ("ccf5102d3081980288dcfff93141eb106712dcbf6df78f36f16eaf7f88d448bb"),
    ("laplace", 100): ("73f556160153c43a698985fff984ada44a4920853602f00e6f05f49334"),
    ("laplace", 177): ("28ff9ade1164fa7a32d084fff9758998a81ef08536c98150ff05f49334"),
    ("logistic", 100): ("ed45df37f97e0f068d84fff9220e4434243785366b5b1c2fbd08286f"),
    ("logistic", 177): ("dd33721e45ee38175f84fff9e8cec582c687853611d16a1fbd08286f"),
}


@pytest.mark.parametrize(("family", "zero"), [(f, z) for f in FAMILIES for z in (100, 177)])
def test_golden_bytes(family, zero):
    """Files written today decode for ever: change these bytes only with the format version."""
    rng = np.random.RandomState(0)  # the legacy generator's stream is frozen by numpy's policy
    scale = rng.randint(0, 120, (16, 2), np.int64)
    mean = rng.randint(-300, 300, (16, 2), np.int64)
    weight = np.array([[60000, 5536]] * 16)
    symbols = rng.randint(-2, 3, 16, np.int64)
    symbols[5], symbols[11] = -MAX, 9000
    expected = GOLDEN[family, zero]
    encoder = Encoder()
    encoder.mixture(symbols, scale, mean, weight, family=family, zero=zero)
    encoder.centers(np.arange(16) % 3, [-200, 130], scale, mean, weight, family=family)
    assert encoder.finish().hex() == expected
    decoder = Decoder(bytes.fromhex(expected))
    decoded = decoder.mixture(scale, mean, weight, family=family, zero=zero)
    np.testing.assert_array_equal(decoded, symbols)
    centers = decoder.centers([-200, 130], scale, mean, weight, family=family)
    np.testing.assert_array_equal(centers, np.arange(16) % 3)
    decoder.finish()


# --- misuse ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("zero", [0, 256, -128, 0.5, 128.0, True, [128], None])
def test_impossible_dead_zones_are_refused(zero):
    with pytest.raises(ValueError, match="zero must be one integer from 1 to 255"):
        Encoder().mixture([0], [3], zero=zero)
    with pytest.raises(ValueError, match="zero must be one integer from 1 to 255"):
        Decoder(b"").mixture([3], zero=zero)


def test_unknown_families_are_refused():
    calls = [
        lambda: Encoder().mixture([0], [3], family="cauchy"),
        lambda: Encoder().centers([0], [0], [3], family="cauchy"),
        lambda: Decoder(b"").mixture([3], family="cauchy"),
        lambda: Decoder(b"").centers([0], [3], family="cauchy"),
    ]
    for call in calls:
        with pytest.raises(ValueError, match="gaussian, laplace, logistic"):
            call()


@pytest.mark.parametrize("scale", [np.array([-1], np.int8), np.array([300], np.uint16)])
def test_parameters_of_any_integer_type_must_fit(scale):
    with pytest.raises(ValueError, match="fit uint8"):
        Encoder().mixture([0], scale)
