"""λ ladders and gain vectors."""

from __future__ import annotations

import pytest
import torch

from tngexp.rate import FixedRate, VariableRate
from tngexp.types import ConfigError


def test_fixed_rate_leaves_the_latent_alone() -> None:
    rate = FixedRate(0.01)
    y = torch.randn(2, 3, 4, 4)
    assert rate.sample(2) is None
    assert torch.equal(rate.scale(y, None), y)
    assert torch.equal(rate.unscale(y, None), y)
    assert rate.lmbda(None).item() == pytest.approx(0.01)


@pytest.mark.parametrize("lmbda", [0.0, -1.0, float("nan")])
def test_lambda_must_be_positive(lmbda: float) -> None:
    with pytest.raises(ConfigError, match="lmbda must be positive"):
        FixedRate(lmbda)


def test_variable_lambda_is_log_spaced() -> None:
    rate = VariableRate(M=4, levels=3, lmbda_min=0.001, lmbda_max=0.1)
    got = rate.lmbda(torch.tensor([0.0, 0.5, 1.0]))
    torch.testing.assert_close(got, torch.tensor([0.001, 0.01, 0.1]))


def test_gains_are_inverse_at_the_start_and_follow_the_square_root_of_lambda() -> None:
    rate = VariableRate(M=4, levels=5, lmbda_min=1.0, lmbda_max=16.0)
    y = torch.randn(3, 4, 2, 2)
    quality = torch.tensor([0.0, 0.3, 1.0])
    scaled = rate.scale(y, quality)
    torch.testing.assert_close(rate.unscale(scaled, quality), y)
    torch.testing.assert_close(scaled[2], y[2] * 2)  # (16 / 4) ** ½
    torch.testing.assert_close(scaled[0], y[0] / 2)


def test_gains_between_levels_are_geometric_means() -> None:
    rate = VariableRate(M=2, levels=2, lmbda_min=1.0, lmbda_max=4.0)
    with torch.no_grad():
        rate.log_gain_encoder.copy_(torch.randn(2, 2))
    y = torch.ones(1, 2, 1, 1)
    low, middle, high = (rate.scale(y, torch.tensor([q])) for q in (0.0, 0.5, 1.0))
    torch.testing.assert_close(middle, (low * high).sqrt())


def test_sampling_draws_levels_and_is_reproducible() -> None:
    rate = VariableRate(M=2, levels=4, lmbda_min=1.0, lmbda_max=4.0)
    draws = [rate.sample(256, torch.Generator().manual_seed(1)) for _ in range(2)]
    assert draws[0] is not None
    assert torch.equal(*draws)  # type: ignore[arg-type]
    torch.testing.assert_close(draws[0].unique(), torch.linspace(0, 1, 4))
    continuous = VariableRate(M=2, levels=4, lmbda_min=1.0, lmbda_max=4.0, continuous=True)
    values = continuous.sample(256)
    assert values is not None
    assert len(values.unique()) > 200


@pytest.mark.parametrize(
    ("levels", "low", "high"), [(1, 0.1, 1.0), (8, 1.0, 1.0), (8, 0.0, 1.0), (8, 2.0, 1.0)]
)
def test_variable_rate_refuses_empty_ranges(levels: int, low: float, high: float) -> None:
    with pytest.raises(ConfigError, match=r"levels|lmbda"):
        VariableRate(M=2, levels=levels, lmbda_min=low, lmbda_max=high)
