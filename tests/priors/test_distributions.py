"""Likelihoods against scipy in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from tngexp.priors import FactorizedDensity, Mixture, bits
from tngexp.priors.distributions import FAMILIES, parameters_per_element
from tngexp.quantizers import Codebook
from tngexp.types import Cells


def test_gaussian_mass_matches_scipy_far_into_both_tails() -> None:
    symbols = torch.arange(-12.0, 13).view(1, 1, -1)
    raw = torch.tensor([1.3, 0.4]).view(1, 2, 1).expand(1, 2, 25)
    distribution = Mixture(raw, 1)
    mass = distribution.likelihood(symbols - 0.5, symbols + 0.5)[0, 0].numpy()
    k = np.abs(np.arange(-12, 13))  # symmetric around the location, so the lower tail serves
    expected = stats.norm.cdf(-k + 0.5, scale=1.3) - stats.norm.cdf(-k - 0.5, scale=1.3)
    np.testing.assert_allclose(mass, expected, rtol=2e-4)


def test_mixture_mass_matches_scipy() -> None:
    raw = torch.randn(2, 9 * 4, 3, 5)
    raw[:, :12].abs_().add_(0.2)
    distribution = Mixture(raw, 3)
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
        Mixture(triple, 3).likelihood(edges - 0.5, edges + 0.5),
        Mixture(single, 1).likelihood(edges - 0.5, edges + 0.5),
    )


def test_soft_cells_charge_the_expected_bits() -> None:
    distribution = Mixture(torch.tensor([1.0, 0.0]).view(1, 2, 1), 1)
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
    mass = density.at(symbols.dim() - 2).likelihood(symbols - 0.5, symbols + 0.5)
    assert bool((mass > 0).all())
    torch.testing.assert_close(mass.sum(-1), torch.ones(1, 3), atol=1e-4, rtol=0)


def test_factorized_density_shares_edges_over_channels() -> None:
    density = FactorizedDensity(3)
    latent = torch.zeros(2, 3, 4, 4)
    edges = torch.tensor([-1.0, 2.0]).view(2, 1, 1, 1, 1)
    shared = density.at(latent.dim() - 2).likelihood(edges, edges + 1)
    full = density.at(latent.dim() - 2).likelihood(
        edges.expand(2, 2, 3, 4, 4), edges.expand(2, 2, 3, 4, 4) + 1
    )
    torch.testing.assert_close(shared.expand_as(full), full)


def test_a_clipped_scale_still_hears_that_it_should_grow() -> None:
    raw = torch.tensor([-1.0, 0.0]).view(1, 2, 1).requires_grad_()
    edge = torch.tensor([[[3.0]]])
    bits(Mixture(raw, 1), Cells(edge - 0.5, edge + 0.5)).sum().backward()
    grad = raw.grad
    assert grad is not None
    assert grad.isfinite().all()


FAMILY = {"gaussian": stats.norm, "laplace": stats.laplace, "logistic": stats.logistic}


@pytest.mark.parametrize("family", FAMILIES)
def test_families_match_scipy_in_both_tails(family: str) -> None:
    symbols = torch.arange(-12.0, 13).view(1, 1, -1)
    raw = torch.tensor([1.3, 0.4]).view(1, 2, 1).expand(1, 2, 25)
    distribution = Mixture(raw, 1, family)
    mass = distribution.likelihood(symbols - 0.5, symbols + 0.5)[0, 0].numpy()
    k = np.abs(np.arange(-12, 13))
    cdf = FAMILY[family].cdf
    expected = cdf(-k + 0.5, scale=1.3) - cdf(-k - 0.5, scale=1.3)
    np.testing.assert_allclose(mass, expected, rtol=2e-4)


@pytest.mark.parametrize("mixture", [1, 2])
def test_codewords_cost_their_share_of_the_codebook(mixture: int) -> None:
    """−log2 of the product of masses, normalised over the codebook, in float64."""
    words = torch.tensor([[0.0, 0.0], [1.5, -1.0], [-2.0, 0.25]])
    raw = torch.randn(1, parameters_per_element(mixture) * 4, 5)
    raw[:, : 4 * mixture].abs_().add_(0.5)
    distribution = Mixture(raw, mixture)
    chosen = torch.tensor([[[0, 1, 2, 0, 1], [2, 2, 1, 1, 0]]])  # (1, 2, 5)
    found = bits(distribution, Codebook.of(words).cells(chosen))
    assert found.shape == (1, 4, 5)
    masses = torch.stack(
        [
            distribution.likelihood(
                word.repeat(2).view(1, 4, 1) - 0.5, word.repeat(2).view(1, 4, 1) + 0.5
            )
            for word in words
        ]
    ).double()  # (L, 1, 4, 5)
    joint = masses.unflatten(2, (2, 2)).prod(3)
    share = (joint / joint.sum(0)).gather(0, chosen.unsqueeze(0))[0]
    expected = -torch.log2(share)
    torch.testing.assert_close(found[:, ::2].double() * 2, expected, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(found[:, ::2], found[:, 1::2])
