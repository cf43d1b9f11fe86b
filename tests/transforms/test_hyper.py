"""Hyper transforms: shapes, layers, gradients."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tngexp.transforms.hyper import HyperConv, HyperDepthwise
from tngexp.types import ConfigError

each_hyper = pytest.mark.parametrize("hyper_class", [HyperConv, HyperDepthwise])
# What an exact-arithmetic interpreter of the synthesis has to know.
_EXACT_LAYERS = (nn.Conv2d, nn.ConvTranspose2d, nn.LeakyReLU, nn.ReLU, nn.PixelShuffle)


@each_hyper
def test_shapes_and_gradients(hyper_class: type[HyperConv | HyperDepthwise]) -> None:
    torch.manual_seed(0)
    hyper = hyper_class(N=6, M=10, out_channels=7)
    assert (hyper.stride, hyper.side_channels) == (4, 6)
    z = hyper.analysis(torch.randn(2, 10, 8, 12))
    assert z.shape == (2, 6, 2, 3)
    out = hyper.synthesis(z)
    assert out.shape == (2, 7, 8, 12)
    out.square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in hyper.parameters())


@each_hyper
def test_signal_neither_vanishes_nor_explodes(
    hyper_class: type[HyperConv | HyperDepthwise],
) -> None:
    torch.manual_seed(0)
    hyper = hyper_class(N=32, M=32, out_channels=64)
    with torch.no_grad():
        z = hyper.analysis(torch.randn(2, 32, 8, 8))
        assert 0.2 < z.std() < 5
        assert hyper.synthesis(z).std() < 3


@each_hyper
@pytest.mark.parametrize("option", ["N", "M", "out_channels"])
def test_bad_dimensions_are_named(
    hyper_class: type[HyperConv | HyperDepthwise], option: str
) -> None:
    with pytest.raises(ConfigError, match=f"{option} must be a positive"):
        hyper_class(**({"N": 4, "M": 4, "out_channels": 4} | {option: 0}))


@each_hyper
def test_synthesis_is_a_plain_chain_of_exact_layers(
    hyper_class: type[HyperConv | HyperDepthwise],
) -> None:
    synthesis = hyper_class(N=4, M=4, out_channels=4).synthesis
    assert type(synthesis) is nn.Sequential
    assert all(isinstance(layer, _EXACT_LAYERS) for layer in synthesis)


def test_depthwise_costs_a_fraction() -> None:
    def weights(synthesis: nn.Module) -> int:
        return sum(p.numel() for p in synthesis.parameters())

    heavy, light = HyperConv(128, 192, 384).synthesis, HyperDepthwise(128, 192, 384).synthesis
    assert weights(light) < 0.1 * weights(heavy)
