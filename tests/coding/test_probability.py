"""Quantizing parameters and building tables: exact, closest, and adding up."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tngexp.coding.constants import constants
from tngexp.coding.probability import (
    PRECISION,
    Tables,
    build_tables,
    quantize_edges,
    quantize_means,
    quantize_scales,
    quantize_weights,
    weights_from_logits,
)

TOTAL = 1 << PRECISION


def test_scales_go_to_the_level_nearest_by_ratio():
    scale = np.geomspace(0.12, 170, 1001)
    level = constants().scale[quantize_scales(scale)]
    assert (np.abs(np.log2(level / scale)) <= 1 / 48 + 1e-12).all()
    np.testing.assert_array_equal(quantize_scales(constants().scale), np.arange(256))
    np.testing.assert_array_equal(quantize_scales([0.0, 1e9]), [0, 255])


def test_scale_levels_are_decided_by_the_stored_edges_alone():
    edge = constants().scale_edge
    near = np.concatenate([edge, np.nextafter(edge, 0), np.nextafter(edge, np.inf)])
    values = np.concatenate([near, np.geomspace(1e-300, 1e300, 999), [0.0, -1.0, np.inf]])
    np.testing.assert_array_equal(quantize_scales(values), np.searchsorted(edge, values))


def test_means_round_half_to_even_and_saturate():
    means = quantize_means([0.5 / 256, 1.5 / 256, -0.25, 1e9, -1e9])
    np.testing.assert_array_equal(means, [0, 2, -64, 4096 * 256, -4096 * 256])


def test_edges_must_ascend():
    np.testing.assert_array_equal(quantize_edges([-1.5, 0.25]), [-384, 64])
    with pytest.raises(ValueError, match="ascending"):
        quantize_edges([1.0, 0.0])


@given(hnp.arrays(np.float64, (5, 3), elements=st.floats(1e-6, 1e6)))
def test_weights_add_up_and_stay_close(weight):
    quantized = quantize_weights(weight)
    assert (quantized.sum(-1) == 65536).all()
    assert (quantized >= 0).all()
    share = weight / weight.sum(-1, keepdims=True)
    assert np.abs(quantized / 65536 - share).max() <= 3 / 65536


@given(hnp.arrays(np.int32, (5, 4), elements=st.integers(-(2**31), 2**31 - 1)))
def test_integer_softmax_adds_up_for_any_logits(logits):
    weight = weights_from_logits(logits)
    assert (weight.sum(-1) == 65536).all()
    assert (weight >= 0).all()


@given(hnp.arrays(np.int32, (5, 4), elements=st.integers(-512, 512)))
def test_integer_softmax_is_a_softmax(logits):
    power = np.exp(logits / 64)
    share = power / power.sum(-1, keepdims=True)
    assert np.abs(weights_from_logits(logits) / 65536 - share).max() <= 3 / 65536


def test_integer_softmax_refuses_floats():
    with pytest.raises(ValueError, match="integers"):
        weights_from_logits(np.zeros((2, 3)))


@given(st.lists(st.lists(st.floats(0, 1), min_size=1, max_size=300), min_size=1, max_size=5))
def test_tables_give_every_symbol_its_share_and_at_least_one(pmfs):
    tables = build_tables(pmfs, np.arange(len(pmfs)), below=1e-3, above=1e-9)
    for channel, pmf in enumerate(pmfs):
        cdf = tables.cdf[tables.begin[channel] : tables.begin[channel + 1]].astype(np.int64)
        freq = np.diff(cdf)
        assert cdf[0] == 0
        assert cdf[-1] == TOTAL
        assert freq.min() >= 1
        mass = np.array([1e-3, *pmf, 1e-9])
        assert np.abs(freq - mass / mass.sum() * TOTAL).max() <= mass.size + 2


@pytest.mark.parametrize("bad", [[], [[-0.1, 0.5]], [[np.nan]], [[np.inf]], [[0.0]], [[]]])
def test_tables_refuse_what_is_no_distribution(bad):
    with pytest.raises(ValueError, match="pmf"):
        build_tables(bad, [0])


@pytest.mark.parametrize(
    ("cdf", "begin", "offset"),
    [
        ([0, 5, 5, TOTAL], [0, 4], [0]),  # a symbol without frequency
        ([0, 5, TOTAL - 1], [0, 3], [0]),  # does not add up
        ([1, 5, TOTAL], [0, 3], [0]),  # does not begin at 0
        ([0, 5, TOTAL], [0, 2], [0]),  # layout does not cover the data
        ([0, TOTAL], [0, 2], [0]),  # nothing left for symbols
        ([0, 5, TOTAL], [0, 3], [2**30]),  # offset out of bounds
    ],
)
def test_tables_from_outside_are_checked(cdf, begin, offset):
    with pytest.raises(ValueError, match=r"table|CDF"):
        Tables(np.array(cdf, np.uint32), np.array(begin), np.array(offset)).check()
