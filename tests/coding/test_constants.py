"""The shipped integers are the definitions' values, on every machine, for ever."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from tngexp.coding.constants import constants, digest, generate

SHA256 = "da8abaf94beb31e8026ef03d442848bfbeda2acccd13a138b3d982313ab0dde4"


def test_shipped_tables_are_pinned():
    assert digest(constants()) == SHA256


def test_definitions_reproduce_the_shipped_tables():
    assert digest(generate()) == SHA256


def test_phi_is_the_normal_cdf_to_half_a_unit():
    nodes = norm.cdf(np.arange(-1024, 1025) / 128) * 2**30
    assert np.abs(constants().phi - nodes).max() <= 0.5 + 1e-6
    assert (np.diff(constants().phi) >= 0).all()


def test_scale_grid_spans_its_range_in_even_ratios():
    scale, edge = constants().scale, constants().scale_edge
    assert scale[0] == 0.11
    assert scale[-1] > 173
    np.testing.assert_allclose(scale[1:] / scale[:-1], 2 ** (1 / 24), rtol=1e-12)
    np.testing.assert_allclose(edge, np.sqrt(scale[1:] * scale[:-1]), rtol=1e-12)
    np.testing.assert_allclose(constants().inverse_scale, 2**24 / scale, atol=0.51)


def test_tables_are_read_only():
    with pytest.raises(ValueError, match="read-only"):
        constants().phi[0] = 1
