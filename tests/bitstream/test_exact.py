"""Exact networks: equal to float up to their grids, and the same in any order of summation."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from support import options
from torch import nn

from tngexp.bitstream.exact import ExactConvolution, exact_copy, to_grid
from tngexp.model.codec import Codec
from tngexp.priors import ConditionalPrior
from tngexp.priors.quadtree import QuadtreeContext
from tngexp.types import ConfigError

LAYERS = {
    "plain": nn.Conv2d(12, 8, 3, padding=1),
    "strided": nn.Conv2d(12, 8, 5, stride=2, padding=2),
    "grouped": nn.Conv2d(12, 8, 3, padding=1, groups=4),
    "depthwise": nn.Conv2d(12, 12, 5, padding=2, groups=12),
    "transposed": nn.ConvTranspose2d(12, 8, 5, 2, padding=2, output_padding=1),
    "pointwise, no bias": nn.Conv2d(12, 8, 1, bias=False),
}


@pytest.fixture(params=LAYERS)
def layer(request: pytest.FixtureRequest) -> nn.Module:
    return LAYERS[request.param]


@torch.no_grad()
def test_a_layer_is_the_float_layer_up_to_its_grids(layer: nn.Module) -> None:
    x = 4 * torch.randn(1, 12, 9, 7)
    exact = exact_copy(layer)(x)
    assert exact.dtype == torch.float64
    expected = layer.double()(to_grid(x))
    torch.testing.assert_close(exact, expected, atol=5e-3, rtol=1e-3)
    layer.float()


@torch.no_grad()
def test_a_layer_gives_integers_below_two_to_53(layer: nn.Module) -> None:
    exact = exact_copy(layer)
    assert isinstance(exact, ExactConvolution)
    worst = torch.full((1, 12, 9, 7), 1e9)  # clamped to the limit
    y = exact(worst * torch.randn(1, 12, 9, 7).sign())
    step = min_step(exact)
    assert torch.equal(torch.round(y / step), y / step)
    assert float((y.abs() / step).max()) < 2**53


def min_step(layer: ExactConvolution) -> float:
    """The grid of a layer's output: that of its weights times the activations' 2⁻¹⁰."""
    bits = 0
    while not torch.equal(torch.round(layer.weight * 2.0**bits), layer.weight * 2.0**bits):
        bits += 1
    return 2.0 ** -(bits + 10)


@torch.no_grad()
def test_order_of_summation_does_not_matter(layer: nn.Module) -> None:
    if getattr(layer, "groups", 1) != 1:
        return  # permuting channels would mix groups; the plain layers show the point
    exact = exact_copy(layer)
    x = 4 * torch.randn(1, 12, 9, 7)
    order = torch.randperm(12)
    shuffled = exact_copy(layer)
    axis = 0 if isinstance(layer, nn.ConvTranspose2d) else 1
    shuffled.weight = shuffled.weight.index_select(axis, order)
    assert torch.equal(exact(x), shuffled(x[:, order]))
    assert not torch.equal(layer(x), float_shuffled(layer, x, order, axis)), (
        "in float32 the order shows; if it does not, this test shows nothing"
    )


def float_shuffled(
    layer: nn.Module, x: torch.Tensor, order: torch.Tensor, axis: int
) -> torch.Tensor:
    import copy

    other = copy.deepcopy(layer)
    assert isinstance(other.weight, torch.Tensor)
    other.weight.data = other.weight.data.index_select(axis, order)
    result: torch.Tensor = other(x[:, order])
    return result


@pytest.mark.parametrize("prior", [p for p in options("prior") if p != "factorized"])
@pytest.mark.parametrize("hyper", options("hyper"))
@torch.no_grad()
def test_every_prior_has_an_exact_form(
    prior: str, hyper: str, make_codec: Callable[..., Codec]
) -> None:
    module = make_codec(prior=prior, hyper=hyper).eval().prior
    assert isinstance(module, ConditionalPrior)
    z = torch.randint(-3, 4, (1, module.hyper.side_channels, 2, 3))
    features = module.hyper.synthesis(z.float())
    exact_features = exact_copy(module.hyper.synthesis)(z)
    torch.testing.assert_close(exact_features.float(), features, atol=0.02, rtol=0.01)
    context = exact_copy(module.context)
    size = features.shape[-2:]
    y_hat = torch.zeros(1, 16, *size)
    for step in module.context.steps(size[0], size[1], z.device):
        raw = module.context(features, y_hat, step)
        exact_raw = context(exact_features, y_hat.double(), step)
        torch.testing.assert_close(exact_raw.float(), raw, atol=0.02, rtol=0.02)
        y_hat = step.put(y_hat, torch.randint_like(step.take(y_hat), -2, 3))


@torch.no_grad()
def test_rectifiers_write_over_what_nothing_else_sees() -> None:
    rectifier, layer = nn.LeakyReLU(0.01), nn.Conv2d(12, 12, 1)
    chain = exact_copy(nn.Sequential(rectifier, layer, rectifier, nn.LeakyReLU(0.01)))
    assert isinstance(chain, nn.Sequential)
    x = torch.randn(1, 12, 3, 2).double()
    before = x.clone()
    expected = rectifier(rectifier(exact_copy(layer)(rectifier(x))))
    assert torch.equal(chain(x), expected)
    assert torch.equal(x, before)
    assert [getattr(m, "inplace", None) for m in chain] == [False, None, True, False]


@torch.no_grad()
def test_raw_parameters_lie_in_the_order_in_which_files_hold_them() -> None:
    """So that making integers of them copies nothing."""
    context = exact_copy(QuadtreeContext(8, 9))
    features, y_hat = torch.randn(1, 16, 4, 6).double(), torch.zeros(1, 8, 4, 6).double()
    for step in QuadtreeContext(8, 9).steps(4, 6, y_hat.device):
        assert context(features, y_hat, step).is_contiguous()


def test_what_has_no_exact_form_is_named() -> None:
    with pytest.raises(ConfigError, match="Sigmoid"):
        exact_copy(nn.Sequential(nn.Conv2d(2, 2, 1), nn.Sigmoid()))
    with pytest.raises(ConfigError, match="zero padding"):
        exact_copy(nn.Conv2d(2, 2, 3, padding=1, padding_mode="reflect"))


def test_diverged_weights_are_refused() -> None:
    layer = nn.Conv2d(2, 2, 1)
    layer.weight.data[0, 0] = float("nan")
    with pytest.raises(ConfigError, match="diverged"):
        exact_copy(layer)
