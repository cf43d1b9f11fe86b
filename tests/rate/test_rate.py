"""Gain vectors."""

from __future__ import annotations

import pytest
import torch

from tngexp.rate import FixedRate, VariableRate
from tngexp.types import ConfigError


def test_fixed_rate_leaves_the_latent_alone() -> None:
    rate = FixedRate()
    y = torch.randn(2, 3, 4, 4)
    assert rate.sample(2) is None
    assert torch.equal(rate.scale(y, None), y)
    assert torch.equal(rate.unscale(y, None), y)
    assert not rate.state_dict()


def test_gains_are_inverse_at_the_start_and_follow_the_square_root_of_lambda() -> None:
    rate = VariableRate(M=4, levels=5)
    rate.spread(16.0)  # e.g. λ from 1 to 16
    y = torch.randn(3, 4, 2, 2)
    quality = torch.tensor([0.0, 0.3, 1.0])
    scaled = rate.scale(y, quality)
    torch.testing.assert_close(rate.unscale(scaled, quality), y)
    torch.testing.assert_close(scaled[2], y[2] * 2)  # (16 / 4) ** ½
    torch.testing.assert_close(scaled[0], y[0] / 2)


def test_a_new_rate_is_spread_over_compressais_ladder() -> None:
    y = torch.ones(1, 2, 1, 1)
    high = VariableRate(M=2, levels=3).scale(y, torch.ones(1))
    torch.testing.assert_close(high, 27**0.25 * y)


def test_gains_between_levels_are_geometric_means() -> None:
    rate = VariableRate(M=2, levels=2)
    with torch.no_grad():
        rate.log_gain_encoder.copy_(torch.randn(2, 2))
    y = torch.ones(1, 2, 1, 1)
    low, middle, high = (rate.scale(y, torch.tensor([q])) for q in (0.0, 0.5, 1.0))
    torch.testing.assert_close(middle, (low * high).sqrt())


def trained(levels: int) -> VariableRate:
    """Gains of no pattern, as after a training."""
    rate = VariableRate(M=3, levels=levels)
    with torch.no_grad():
        rate.log_gain_encoder.normal_()
        rate.log_gain_decoder.normal_()
    return rate


@pytest.mark.parametrize("levels", [4, 7])
@pytest.mark.parametrize("new", [(0.02, 0.05), (0.02, 0.08)])
def test_rescaled_gains_are_equal_at_equal_lambda(new: tuple[float, float], levels: int) -> None:
    old = (0.01, 0.08)
    before, after = trained(4), VariableRate(M=3, levels=levels)
    after.load_state_dict(before.state_dict()) if levels == 4 else adopt(after, before)
    after.rescale(old, new)
    assert len(after.log_gain_encoder) == levels
    level = torch.linspace(0, 1, levels)  # between the new levels the old ones are no longer seen
    lmbda = new[0] * (new[1] / new[0]) ** level
    old_quality = torch.log(lmbda / old[0]) / torch.log(torch.tensor(old[1] / old[0]))
    y = torch.randn(levels, 3, 2, 2)
    torch.testing.assert_close(after.scale(y, level), before.scale(y, old_quality))
    torch.testing.assert_close(after.unscale(y, level), before.unscale(y, old_quality))


def adopt(rate: VariableRate, other: VariableRate) -> None:
    rate.log_gain_encoder = torch.nn.Parameter(other.log_gain_encoder.detach().clone())
    rate.log_gain_decoder = torch.nn.Parameter(other.log_gain_decoder.detach().clone())


def test_rescaling_goes_straight_on_beyond_the_old_range() -> None:
    rate = trained(3)
    first, second = rate.log_gain_encoder.detach()[:2]
    rate.log_gain_encoder.requires_grad_(False)
    rate.rescale((1.0, 16.0), (0.25, 16.0))  # levels at ¼, 2 and 16 instead of 1, 4 and 16
    torch.testing.assert_close(rate.log_gain_encoder[0], first - (second - first))
    torch.testing.assert_close(rate.log_gain_encoder[1], (first + second) / 2)
    assert not rate.log_gain_encoder.requires_grad
    assert rate.log_gain_decoder.requires_grad


def test_sampling_draws_levels_and_is_reproducible() -> None:
    rate = VariableRate(M=2, levels=4)
    draws = [rate.sample(256, torch.Generator().manual_seed(1)) for _ in range(2)]
    assert draws[0] is not None
    assert torch.equal(*draws)  # type: ignore[arg-type]
    torch.testing.assert_close(draws[0].unique(), torch.linspace(0, 1, 4))
    continuous = VariableRate(M=2, levels=4, continuous=True)
    values = continuous.sample(256)
    assert values is not None
    assert len(values.unique()) > 200


def test_variable_rate_refuses_a_single_level() -> None:
    with pytest.raises(ConfigError, match="levels"):
        VariableRate(M=2, levels=1)


def test_each_rate_says_whether_it_takes_a_quality() -> None:
    assert FixedRate.variable is False
    assert VariableRate.variable is True


def test_the_last_level_is_reached_and_nothing_lies_beyond_the_ends() -> None:
    rate = VariableRate(M=1, levels=4)
    levels = torch.tensor([0.0, 1.0, -2.0, 5.0])  # on no straight line
    with torch.no_grad():
        rate.log_gain_encoder.copy_(levels[:, None])
    y = torch.ones(1, 1, 1, 1)

    def log_gain(quality: float | None) -> float:
        value = None if quality is None else torch.tensor([quality])
        return float(rate.scale(y, value).detach().log())

    assert [log_gain(level / 3) for level in range(4)] == pytest.approx(levels.tolist(), abs=1e-5)
    assert log_gain(5 / 6) == pytest.approx((-2.0 + 5.0) / 2, abs=1e-5)
    assert log_gain(-0.2) == pytest.approx(0.0, abs=1e-5)
    assert log_gain(1.2) == pytest.approx(5.0, abs=1e-5)
    assert log_gain(None) == pytest.approx(log_gain(0.5), abs=1e-6)


def test_gains_can_be_carried_over_in_training() -> None:
    rate = VariableRate(M=2, levels=3)
    rate.rescale((1.0, 4.0), (0.5, 8.0))
    assert all(p.requires_grad and p.is_leaf for p in rate.parameters())
