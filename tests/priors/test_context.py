"""Context models: causality, schedules, and equality with plain raster order."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from tngexp.model.codec import Codec
from tngexp.priors import ConditionalPrior, MaskedContext, Mixture
from tngexp.priors.base import ContextModel
from tngexp.priors.steps import MaskStep, Step

CONTEXTS = ["hyperprior", "context", "checkerboard", "quadtree"]
M = 16


@pytest.fixture(params=CONTEXTS)
def context(request: pytest.FixtureRequest, make_codec: Callable[..., Codec]) -> ContextModel:
    prior = make_codec(prior=request.param).eval().prior
    assert isinstance(prior, ConditionalPrior)
    return prior.context


@pytest.mark.parametrize("size", [(4, 4), (5, 7), (1, 1), (8, 3)])
def test_schedule_covers_every_element_once(context: ContextModel, size: tuple[int, int]) -> None:
    count = torch.zeros(1, M, *size)
    steps = list(context.steps(*size, count.device))
    for step in steps:
        count = count + step.put(torch.zeros_like(count), torch.ones_like(step.take(count)))
    assert torch.equal(count, torch.ones_like(count))
    if isinstance(context, MaskedContext):
        assert len(steps) == size[1] + 3 * (size[0] - 1)
    else:
        assert len(steps) <= 10  # whatever the size


@torch.no_grad()
def test_parameters_depend_on_earlier_steps_only(context: ContextModel) -> None:
    size = (5, 6)
    features = torch.randn(1, context.feature_channels, *size)
    full = torch.randn(1, M, *size)
    known = torch.zeros_like(full)
    for step in context.steps(*size, full.device):
        raw = context(features, known, step)
        changed = known + (known == 0) * 100.0  # everything not decoded yet
        if step.index > 0 and hasattr(context, "mask"):
            # The masked convolution must not look; the others get zeros by construction.
            torch.testing.assert_close(context(features, changed, step), raw)
        known = step.put(known, step.take(full))
    assert torch.equal(known, full)


@torch.no_grad()
def test_flatten_and_unflatten_are_inverse(context: ContextModel) -> None:
    full = torch.randn(2, M, 5, 6)
    total = 0
    for step in context.steps(5, 6, full.device):
        part = step.take(full)
        values = step.flatten(part)
        total += values.shape[1]
        back = step.unflatten(values, part)
        base = torch.zeros_like(full)
        assert torch.equal(step.put(base.clone(), back), step.put(base.clone(), part))
    assert total == M * 30


@torch.no_grad()
def test_wavefront_equals_raster_order(make_codec: Callable[..., Codec]) -> None:
    codec = make_codec(prior="context").eval()
    prior = codec.prior
    assert isinstance(prior, ConditionalPrior)
    y = 4 * torch.randn(1, M, 4, 8)
    output = prior(y, codec.quantizer)
    z = torch.round(prior.latents(y).z)
    features = prior.hyper.synthesis(z)
    expected = raster(prior, features, y)
    torch.testing.assert_close(output.y_hat, expected)
    raw = prior.context.parallel(features, output.y_hat)
    assert raw is not None
    distribution = Mixture(raw, 1)
    residual = output.y_hat - on_grid(distribution.location)
    torch.testing.assert_close(residual, residual.round(), atol=1e-4, rtol=0)
    mass = distribution.likelihood(residual - 0.5, residual + 0.5)
    torch.testing.assert_close(output.y_bits, -torch.log2(mass.clamp(min=1e-9)), atol=1e-3, rtol=0)


def on_grid(location: Tensor) -> Tensor:
    """As evaluation and files have it."""
    return (location * 1024).round() / 1024


def raster(prior: ConditionalPrior, features: Tensor, y: Tensor) -> Tensor:
    """Position by position, each from the whole-image masked convolution."""
    y_hat = torch.zeros_like(y)
    for row in range(y.shape[2]):
        for column in range(y.shape[3]):
            raw = prior.context.parallel(features, y_hat)
            assert raw is not None
            location = on_grid(Mixture(raw, 1).location[:, :, row, column])
            y_hat[:, :, row, column] = (y[:, :, row, column] - location).round() + location
    return y_hat


def test_quadtree_says_what_m_must_be(make_codec: Callable[..., Codec]) -> None:
    from tngexp.types import ConfigError

    with pytest.raises(ConfigError, match="multiple of 4"):
        make_codec(prior="quadtree", **{"encoder.M": 10})


@pytest.mark.parametrize("prior", CONTEXTS)
@pytest.mark.parametrize("mixture", [1, 2])
@torch.no_grad()
def test_context_only_priors_cost_no_more_than_training_says(
    prior: str, mixture: int, make_codec: Callable[..., Codec]
) -> None:
    """Training bits (noise) bound evaluation bits (rounding) from above on average.

    Ballé et al. 2017, section 3: the relaxed rate is that of the density convolved with the
    noise, evaluated at noisy samples.
    """
    codec = make_codec(prior=prior, **{"prior.mixture": mixture})
    y = torch.randn(4, M, 8, 8)
    train = codec.train().prior(y, codec.quantizer).y_bits.sum()
    hard = codec.eval().prior(y, codec.quantizer).y_bits.sum()
    assert hard < train * 1.1


def test_a_quarter_step_equals_its_mask_with_gradients(make_codec: Callable[..., Codec]) -> None:
    prior = make_codec(prior="quadtree").eval().prior
    assert isinstance(prior, ConditionalPrior)
    size = (6, 8)
    for quarter, mask in zip(
        prior.context.steps(*size, torch.device("cpu")), _masks(prior.context, size), strict=True
    ):
        full = torch.randn(2, M, *size, requires_grad=True)
        other = torch.randn(2, M, *size, requires_grad=True)
        part = quarter.take(other)
        assert part.shape == (2, M, 3, 4)
        assert torch.equal(quarter.flatten(part), mask.flatten(other))
        assert torch.equal(quarter.unflatten(quarter.flatten(part), part), part)
        outward = torch.randn(2, M, *size)
        grads = torch.autograd.grad(quarter.put(full, part), [full, other], outward)
        wanted = torch.autograd.grad(mask.put(full, other), [full, other], outward)
        assert all(torch.equal(a, b) for a, b in zip(grads, wanted, strict=True))


def _masks(context: ContextModel, size: tuple[int, int]) -> list[Step]:
    """The same schedule as masks: what an odd size gets, cut to the even one."""
    steps = context.steps(size[0] + 1, size[1] + 1, torch.device("cpu"))
    cut = []
    for step in steps:
        assert isinstance(step, MaskStep)
        assert step.mask is not None
        cut.append(MaskStep(step.index, step.mask[..., : size[0], : size[1]]))
    return cut
