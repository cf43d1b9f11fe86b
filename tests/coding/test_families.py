"""The tables of the families beside the Gaussian are their definitions' values, for ever."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from tngexp.coding.constants import constants, digest
from tngexp.coding.families import FAMILIES, family_tables, find_family, generate

SHA256 = "710cb467ddb805fc3a4798d32a3a90a70fff6f1dcc7a33a971a34ee5df3de0ca"
NODES = 3 * np.arange(-1024, 1025) / 128  # in scales


def test_shipped_tables_are_pinned():
    assert digest(family_tables()) == SHA256


def test_definitions_reproduce_the_shipped_tables():
    assert digest(generate()) == SHA256


@pytest.mark.parametrize("name", ["laplace", "logistic"])
def test_nodes_are_the_cdf_to_half_a_unit(name):
    nodes = find_family(name).nodes
    expected = getattr(stats, name).cdf(NODES) * 2**30
    assert np.abs(nodes - expected).max() <= 0.5 + 1e-6
    assert (np.diff(nodes) >= 0).all()
    assert (nodes[0], nodes[1024], nodes[-1]) == (0, 2**29, 2**30)  # the kink of Laplace: a node


@pytest.mark.parametrize("name", FAMILIES)
def test_windows_reach_to_where_tails_fall_below_the_floor(name):
    distribution = {"gaussian": stats.norm}.get(name) or getattr(stats, name)
    reach = find_family(name).half_window / (256 * constants().scale)  # in scales
    assert reach.max() <= (6 if name == "gaussian" else 21)
    assert distribution.sf(reach + 2 / (256 * 0.11)).max() < 1.07 * 2**-30  # Φ(−6) is 1.06 · 2⁻³⁰


@pytest.mark.parametrize(("name", "unit"), [("gaussian", 1), ("laplace", 3), ("logistic", 3)])
def test_scales_become_units_of_the_nodes(name, unit):
    expected = 2**24 / (unit * constants().scale)
    np.testing.assert_allclose(find_family(name).inverse_scale, expected, atol=0.51)


def test_logarithms_span_one_octave():
    expected = np.log1p(np.arange(1025) / 1024) * 65536
    np.testing.assert_allclose(family_tables().log, expected, atol=0.5 + 1e-6)


def test_tables_are_read_only():
    with pytest.raises(ValueError, match="read-only"):
        find_family("laplace").nodes[0] = 1


def test_unknown_families_are_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"'cauchy'.*gaussian, laplace, logistic"):
        find_family("cauchy")
