"""Tables for codewords against a reference in Python integers, and against scipy."""

from __future__ import annotations

import numpy as np
import pytest
from coder_reference import reference_sum
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tngexp.coding import (
    FAMILIES,
    PRECISION,
    Decoder,
    Encoder,
    codebook_tables,
    quantize_means,
    quantize_scales,
    quantize_weights,
)
from tngexp.coding.constants import constants
from tngexp.coding.families import family_tables

TOTAL = 1 << PRECISION
SCIPY = {"gaussian": stats.norm, "laplace": stats.laplace, "logistic": stats.logistic}
EXP, LOG = constants().exp.tolist(), family_tables().log.tolist()


def frequencies(tables):
    """(n, L + 2), "below" and "above" included."""
    cdf, n = tables.check().cdf.astype(np.int64), len(tables.offset)
    return np.diff(cdf.reshape(n, cdf.size // max(n, 1)), axis=1)


# --- a second implementation of docs/reference/bitstream.md, in unbounded Python integers ---------


def reference_log(mass):
    exponent = mass.bit_length() - 1
    return exponent * LOG[1024] + LOG[((mass >> exponent - 11) + 1) // 2 - 1024]


def reference_cdf(codebook, rows, family):
    scores = []
    for codeword in codebook:
        edges = [(c + 128, c - 128, row) for c, row in zip(codeword, rows, strict=True)]
        masses = [reference_sum(b, r, family) - reference_sum(a, r, family) for b, a, r in edges]
        scores.append(sum(reference_log(max(mass, 1 << 16)) for mass in masses))
    distances = [max(scores) - score + 512 >> 10 for score in scores]
    weights = [EXP[d] if d < 1024 else 0 for d in distances]
    size = len(weights) + 2
    below = [sum(weights[:j]) for j in range(len(weights) + 1)]
    inner = [((b << 28) // below[-1] * (TOTAL - size) >> 28) + j for j, b in enumerate(below, 1)]
    return [0, *inner, TOTAL]


# --- random problems ------------------------------------------------------------------------------


@st.composite
def problems(draw):
    """(codebook, scale, mean, weight), extremes included."""
    n, g, k = draw(st.integers(0, 6)), draw(st.integers(1, 4)), draw(st.integers(1, 3))
    size = draw(st.sampled_from([1, 2, 17]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    top = draw(st.sampled_from([1, 60, 256]))
    spread, reach = (draw(st.sampled_from([0, 300, 4096 * 256])) for _ in range(2))
    cuts = np.sort(rng.integers(0, 65537, (n, g, k - 1)), axis=-1)
    return (
        rng.integers(-reach, reach + 1, (size, g)),
        rng.integers(0, top, (n, g, k)),
        rng.integers(-spread, spread + 1, (n, g, k)),
        np.diff(cuts, axis=-1, prepend=0, append=65536),
    )


@settings(deadline=None)
@given(problems(), st.sampled_from(FAMILIES))
def test_tables_are_those_of_the_document(problem, family):
    codebook, *mixture = problem
    tables = codebook_tables(codebook, *mixture, family=family)
    assert (np.diff(tables.begin) == len(codebook) + 3).all()
    groups = zip(*(a.tolist() for a in mixture), strict=True)
    rows = [[list(zip(*p, strict=True)) for p in zip(*group, strict=True)] for group in groups]
    assert tables.cdf.tolist() == [
        border for group in rows for border in reference_cdf(codebook.tolist(), group, family)
    ]


@settings(deadline=None)
@given(problems(), st.sampled_from(FAMILIES), st.integers(0, 2**32))
def test_codewords_come_back_whatever_the_parameters(problem, family, seed):
    tables = codebook_tables(*problem, family=family)
    assert (frequencies(tables) >= 1).all()
    n = len(problem[1])
    symbols = np.random.default_rng(seed).integers(0, len(problem[0]), n)
    encoder = Encoder()
    encoder.table(symbols, np.arange(n), tables)
    decoder = Decoder(encoder.finish())
    np.testing.assert_array_equal(decoder.table(np.arange(n), tables), symbols)
    decoder.finish()


# --- against the probabilities in float64 ---------------------------------------------------------


def draw_mixtures(n, size, g, k, low, high, spread):
    """A codebook in 1/256 and unquantized mixtures, (n, g, K) each."""
    rng = np.random.default_rng(0)
    codebook = np.rint(rng.normal(0, spread, (size, g)) * 256).astype(int)
    scale = np.exp(rng.uniform(np.log(low), np.log(high), (n, g, k)))
    mean = rng.normal(0, spread / 2, (n, g, k))
    return codebook, scale, mean, rng.dirichlet(np.ones(k), (n, g))


def probabilities(family, codebook, scale, mean, weight):
    """(n, L) from the definition: products of masses of at least 2**-30."""
    codewords = codebook[:, :, None] / 256  # (L, g, 1)
    logits = []
    for s, m, w in zip(scale, mean, weight, strict=True):
        distance = np.abs(codewords - m)  # all families are symmetric: lower tails keep digits
        inside = SCIPY[family].cdf((0.5 - distance) / s)
        mass = (w * (inside - SCIPY[family].cdf((-0.5 - distance) / s))).sum(-1)
        logits.append(np.log(np.maximum(mass, 2.0**-30)).sum(-1))
    power = np.exp(np.array(logits) - np.max(logits, axis=1, keepdims=True))
    return power / power.sum(1, keepdims=True)


@pytest.mark.parametrize(
    ("size", "g", "k", "low", "high", "spread"),
    [
        (256, 4, 1, 0.3, 3.0, 1.5),
        (64, 8, 3, 0.3, 2.0, 1.0),
        (512, 2, 2, 0.5, 20.0, 10.0),
        (128, 8, 1, 0.11, 0.3, 0.5),
        (16, 4, 1, 0.11, 0.3, 1.0),  # often far from all codewords
    ],
)
@pytest.mark.parametrize("family", FAMILIES)
def test_cost_over_the_entropy_is_a_thousandth(family, size, g, k, low, high, spread):
    codebook, scale, mean, weight = draw_mixtures(200, size, g, k, low, high, spread)
    p = probabilities(family, codebook, scale, mean, weight)
    parameters = quantize_scales(scale), quantize_means(mean), quantize_weights(weight)
    tables = codebook_tables(codebook, *parameters, family=family)
    bits = -np.log2(frequencies(tables)[:, 1:-1] / TOTAL)
    entropy = -(p * np.log2(np.maximum(p, 1e-300))).sum()
    assert (p * bits).sum() <= entropy * 1.001
    rng = np.random.default_rng(1)
    symbols = (rng.random((200, 1)) > p.cumsum(1)[:, :-1]).sum(1)
    encoder = Encoder()
    encoder.table(symbols, np.arange(200), tables)
    assert len(encoder.finish()) <= bits[np.arange(200), symbols].sum() / 8 + 8


@pytest.mark.parametrize("family", FAMILIES)
def test_codewords_equally_out_of_reach_are_equally_likely(family):
    codebook = np.array([[900, -900], [2000, 5000], [4096 * 256, 4096 * 256], [-4000, 90000]])
    scale = np.zeros((3, 2), np.uint8)  # level 0: 0.11
    freq = frequencies(codebook_tables(codebook, scale, family=family))
    assert (freq[:, [0, -1]] == 1).all()
    assert np.ptp(freq[:, 1:-1]) <= 1


def test_a_codeword_out_of_reach_in_one_coordinate_keeps_the_floor():
    freq = frequencies(codebook_tables([[0, 0], [0, 90000]], np.full((1, 2), 60)))
    assert freq.tolist() == [[1, TOTAL - 3, 1, 1]]


def test_no_means_and_weights_are_zeros_and_one_component():
    codebook, scale = [[0, 0], [100, 300], [-70, 20]], np.array([[0, 30], [90, 255]])
    plain = codebook_tables(codebook, scale)
    full = codebook_tables(
        codebook, scale[..., None], np.zeros((2, 2, 1), int), np.full((2, 2, 1), 65536)
    )
    np.testing.assert_array_equal(plain.cdf, full.cdf)


GOLDEN = {
    "gaussian": ("77c20320029009c6b794136820489ffb3fd2ce12e0dbbe02102862a9f6"),
    "laplace": ("113e0b201199acdeb7254b3fc126697c202ad49fbf"),
    "logistic": ("43760a20194c460c9ab391b11810a09ee5d4a01f"),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_golden_bytes(family):
    """Files written today decode for ever: change these bytes only with the format version."""
    rng = np.random.RandomState(0)  # the legacy generator's stream is frozen by numpy's policy
    codebook = rng.randint(-400, 400, (9, 3), np.int64)
    scale = rng.randint(0, 120, (24, 3, 2), np.int64)
    mean = rng.randint(-300, 300, (24, 3, 2), np.int64)
    weight = np.array([[[60000, 5536]] * 3] * 24)
    symbols = rng.randint(0, 9, 24, np.int64)
    tables = codebook_tables(codebook, scale, mean, weight, family=family)
    encoder = Encoder()
    encoder.table(symbols, np.arange(24), tables)
    assert encoder.finish().hex() == GOLDEN[family]
    decoder = Decoder(bytes.fromhex(GOLDEN[family]))
    np.testing.assert_array_equal(decoder.table(np.arange(24), tables), symbols)
    decoder.finish()


# --- misuse ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("codebook", "scale", "mean", "weight", "message"),
    [
        ([[0.5]], [[3]], None, None, "integers"),
        ([0, 1], [[3]], None, None, r"shape \(L, g\)"),
        (np.empty((0, 1), int), [[3]], None, None, r"shape \(L, g\)"),
        (np.empty((3, 0), int), np.empty((1, 0), int), None, None, r"shape \(L, g\)"),
        ([[2**21]], [[3]], None, None, "codewords must lie within"),
        ([[-(2**63)]], [[3]], None, None, "codewords must lie within"),
        ([[0]], [3], None, None, r"shape \(n, 1, K\)"),
        ([[0]], [[3, 3]], None, None, r"shape \(n, 1, K\)"),
        ([[0]], [[256]], None, None, "fit"),
        ([[0]], [[[3, 3]]], None, None, "weights"),
        ([[0]], [[[3, 3]]], [[[0, 0]]], [[[65536, 1]]], "add up"),
        ([[0]], [[[3, 3]]], [[[0, 0]]], [[[65537, -1]]], "add up"),
        ([[0]], [[3]], [[2**21]], None, "lie within"),
        ([[0, 0]], [[3, 3]], [[0], [0]], None, "agree"),
        ([[0, 0]], [[3, 3]], None, [[65536], [65536]], "agree"),
    ],
)
def test_misuse_is_a_value_error(codebook, scale, mean, weight, message):
    with pytest.raises(ValueError, match=message):
        codebook_tables(codebook, scale, mean, weight)


def test_unknown_families_are_refused():
    with pytest.raises(ValueError, match="gaussian, laplace, logistic"):
        codebook_tables([[0]], [[3]], family="cauchy")
