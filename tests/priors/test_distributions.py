"""Likelihoods against scipy in float64."""

from __future__ import annotations

import numpy as np
import torch
from scipy import stats

from tngexp.priors import FactorizedDensity, GaussianMixture, bits
from tngexp.types import Cells


def test_gaussian_mass_matches_scipy_far_into_both_tails() -> None:
    symbols = torch.arange(-12.0, 13).view(1, 1, -1)
    raw = torch.tensor([1.3, 0.4]).view(1, 2, 1).expand(1, 2, 25)
    distribution = GaussianMixture(raw, 1)
    mass = distribution.likelihood(symbols - 0.5, symbols + 0.5)[0, 0].numpy()
    k = np.abs(np.arange(-12, 13))  # symmetric around the location, so the lower tail serves
    expected = stats.norm.cdf(-k + 0.5, scale=1.3) - stats.norm.cdf(-k - 0.5, scale=1.3)
    np.testing.assert_allclose(mass, expected, rtol=2e-4)


def test_mixture_mass_matches_scipy() -> None:
    raw = torch.randn(2, 9 * 4, 3, 5)
    raw[:, :12].abs_().add_(0.2)
    distribution = GaussianMixture(raw, 3)
    scale, mean, logits = raw.double().view(2, 3, 3, 4, 3, 5).unbind(1)
    weight = logits.softmax(1)
    location = (weight * mean).sum(1)
    torch.testing.assert_close(distribution.location.double(), location, atol=1e-6, rtol=1e-5)
    symbols = torch.randint(-3, 4, (2, 4, 3, 5)).double()
    expected = sum(
        weight[:, k].numpy()
        * (
            stats.norm.cdf((symbols + 0.5 + location - mean[:, k]) / scale[:, k])
            - stats.norm.cdf((symbols - 0.5 + location - mean[:, k]) / scale[:, k])
        )
        for k in range(3)
    )
    mass = distribution.likelihood((symbols - 0.5).float(), (symbols + 0.5).float())
    np.testing.assert_allclose(mass.numpy(), expected, rtol=1e-3, atol=1e-6)


def test_mixture_of_equal_components_is_the_gaussian() -> None:
    single = torch.randn(1, 2 * 4, 6)
    scale, mean = single.chunk(2, 1)
    triple = torch.cat([scale.repeat(1, 3, 1), mean.repeat(1, 3, 1), torch.randn(1, 12, 6)], 1)
    edges = torch.randn(1, 4, 6)
    torch.testing.assert_close(
        GaussianMixture(triple, 3).likelihood(edges - 0.5, edges + 0.5),
        GaussianMixture(single, 1).likelihood(edges - 0.5, edges + 0.5),
    )


def test_soft_cells_charge_the_expected_bits() -> None:
    distribution = GaussianMixture(torch.tensor([1.0, 0.0]).view(1, 2, 1), 1)
    lower = torch.tensor([-1e4, -0.5, 0.5]).view(3, 1, 1, 1)
    upper = torch.tensor([-0.5, 0.5, 1e4]).view(3, 1, 1, 1)
    weight = torch.tensor([0.2, 0.5, 0.3]).view(3, 1, 1, 1)
    cost = -np.log2(np.diff(stats.norm.cdf([-np.inf, -0.5, 0.5, np.inf])))
    expected = (np.array([0.2, 0.5, 0.3]) * cost).sum()
    got = bits(distribution, Cells(lower, upper, weight))
    assert got.shape == (1, 1, 1)
    np.testing.assert_allclose(got.item(), expected, rtol=1e-5)


def test_factorized_density_is_a_distribution_per_channel() -> None:
    density = FactorizedDensity(3)
    symbols = torch.arange(-300.0, 301).view(1, 1, -1).expand(1, 3, -1)
    mass = density.at(symbols).likelihood(symbols - 0.5, symbols + 0.5)
    assert bool((mass > 0).all())
    torch.testing.assert_close(mass.sum(-1), torch.ones(1, 3), atol=1e-4, rtol=0)


def test_factorized_density_shares_edges_over_channels() -> None:
    density = FactorizedDensity(3)
    latent = torch.zeros(2, 3, 4, 4)
    edges = torch.tensor([-1.0, 2.0]).view(2, 1, 1, 1, 1)
    shared = density.at(latent).likelihood(edges, edges + 1)
    full = density.at(latent).likelihood(
        edges.expand(2, 2, 3, 4, 4), edges.expand(2, 2, 3, 4, 4) + 1
    )
    torch.testing.assert_close(shared.expand_as(full), full)


def test_a_clipped_scale_still_hears_that_it_should_grow() -> None:
    raw = torch.tensor([-1.0, 0.0]).view(1, 2, 1).requires_grad_()
    edge = torch.tensor([[[3.0]]])
    bits(GaussianMixture(raw, 1), Cells(edge - 0.5, edge + 0.5)).sum().backward()
    grad = raw.grad
    assert grad is not None
    assert grad.isfinite().all()
