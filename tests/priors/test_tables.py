"""Probabilities that integer tables are made of, against the density's own CDF in float64."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tngexp.priors import FactorizedDensity
from tngexp.priors.tables import probabilities
from tngexp.quantizers import Centers, Codebook, Integers

TAIL = 1 / (1 + np.exp(21.0))


@pytest.fixture
def density() -> FactorizedDensity:
    density = FactorizedDensity(4, init_scale=6.0)
    density.location.copy_(torch.tensor([0.0, 0.3, -2.7, 0.50049]))
    return density


def cdf(density: FactorizedDensity, x: NDArray[np.float64]) -> NDArray[np.float64]:
    """F_c at residuals x (C, n), around locations in multiples of 2⁻¹⁰."""
    exact = copy.deepcopy(density).double()
    location = (exact.location * 1024).round() / 1024
    at = torch.from_numpy(x) + location.unsqueeze(1)
    with torch.no_grad():
        return torch.sigmoid(exact.logits(at.unsqueeze(1))).squeeze(1).numpy()


@pytest.mark.parametrize("zero", [128, 90, 170])
def test_integers_are_cut_where_the_tails_are_empty(density: FactorizedDensity, zero: int) -> None:
    masses, first, below, above, location = probabilities(density, Integers(zero=zero))
    np.testing.assert_allclose(location, (density.location.double() * 1024).round() / 1024)
    for channel, mass in enumerate(masses):
        symbols = np.arange(first[channel], first[channel] + len(mass))
        half = zero / 256
        lower = np.where(symbols > 0, symbols - 1 + half, symbols - half)
        upper = np.where(symbols < 0, symbols + 1 - half, symbols + half)
        edges = np.concatenate([lower, upper[-1:]])
        np.testing.assert_allclose(lower[1:], upper[:-1])  # so that the cells tile the line
        values = cdf(density, np.tile(edges, (4, 1)))[channel]
        np.testing.assert_allclose(mass, np.diff(values), atol=1e-12)
        np.testing.assert_allclose(below[channel], values[0], rtol=1e-6)
        np.testing.assert_allclose(above[channel], 1 - values[-1], rtol=1e-3, atol=1e-15)
        np.testing.assert_allclose(mass.sum() + below[channel] + above[channel], 1, atol=1e-12)
        # Empty beyond, and not yet a symbol earlier.
        assert below[channel] <= TAIL < values[1]
        assert above[channel] <= TAIL < 1 - values[-2]


def test_a_density_without_end_leaves_the_rest_to_escapes() -> None:
    density = FactorizedDensity(1, init_scale=1e6)
    masses, first, below, above, _ = probabilities(density, Integers())
    assert first.tolist() == [-8192]
    assert len(masses[0]) == 2 * 8192 + 1
    assert below[0] > 0.1
    assert above[0] > 0.1
    assert masses[0].sum() + below[0] + above[0] == pytest.approx(1, abs=1e-6)


def test_centers_share_all_there_is(density: FactorizedDensity) -> None:
    alphabet = Centers.of(torch.tensor([-2.0, -0.5, 0.25, 1.5]))
    masses, first, below, above, _ = probabilities(density, alphabet)
    edges = np.concatenate([[-1e4], alphabet.edges.numpy() / 256, [1e4]])
    values = cdf(density, np.tile(edges, (4, 1)))
    for channel, mass in enumerate(masses):
        np.testing.assert_allclose(mass, np.diff(values[channel]), atol=1e-12)
        assert mass.sum() == pytest.approx(1)
    assert first.tolist() == [0, 0, 0, 0]
    assert below == above == 0


def test_codewords_share_by_the_product_of_their_sides(density: FactorizedDensity) -> None:
    words = np.array([[0.0, 0.0], [1.5, -1.0], [-2.0, 0.25]])
    masses, first, _, _, _ = probabilities(density, Codebook.of(torch.from_numpy(words)))
    assert first.tolist() == [0, 0]
    assert len(masses) == 2  # groups of two channels
    for group, mass in enumerate(masses):
        sides = [
            cdf(density, np.tile(words[:, d] + 0.5, (4, 1)))[2 * group + d]
            - cdf(density, np.tile(words[:, d] - 0.5, (4, 1)))[2 * group + d]
            for d in range(2)
        ]
        joint = sides[0] * sides[1]
        np.testing.assert_allclose(mass, joint / joint.sum(), rtol=1e-9)
