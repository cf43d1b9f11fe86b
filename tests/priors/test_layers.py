"""Layers of context models against plain convolutions."""

from __future__ import annotations

import pytest
import torch
from support import needs_bf16
from torch import nn

from tngexp.bitstream.exact import ExactConvolution, exact_copy
from tngexp.layers.depthwise import DepthwiseConv2d, PointwiseConv2d, _Depthwise


@needs_bf16
@pytest.mark.parametrize("size", [3, 5, 7])
def test_bfloat16_gradients_agree_with_float64(size: int) -> None:
    layer = DepthwiseConv2d(8, size)
    x = torch.randn(2, 8, 9, 12)
    outward = torch.randn(2, 8, 9, 12).bfloat16()

    exact = nn.Conv2d(8, 8, size, padding=size // 2, groups=8).double()
    exact.load_state_dict({k: v.bfloat16().double() for k, v in layer.state_dict().items()})
    expected_x = x.bfloat16().double().requires_grad_()
    exact(expected_x).backward(outward.double())

    low = x.bfloat16().contiguous(memory_format=torch.channels_last).requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        layer(low).backward(outward)
    assert low.grad is not None
    for found, wanted in [
        (low.grad, expected_x.grad),
        (layer.weight.grad, exact.weight.grad),
        (layer.bias.grad if layer.bias is not None else None, exact.bias.grad),
    ]:
        assert found is not None
        assert wanted is not None
        torch.testing.assert_close(
            found.double(), wanted, rtol=2e-2, atol=2e-2 * wanted.abs().max()
        )


def test_gradients_three_columns_at_a_time_are_those_of_the_whole_kernel() -> None:
    """The same way in float32, for CPUs that have no bfloat16."""
    layer, plain = DepthwiseConv2d(4, 5), nn.Conv2d(4, 4, 5, padding=2, groups=4)
    plain.load_state_dict(layer.state_dict())
    x = torch.randn(2, 4, 9, 12)
    ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    outward = torch.randn(2, 4, 9, 12)
    _Depthwise.apply(ours, layer.weight, layer.bias).backward(outward)
    plain(theirs).backward(outward)
    torch.testing.assert_close(ours.grad, theirs.grad)
    torch.testing.assert_close(layer.weight.grad, plain.weight.grad)
    assert layer.bias is not None
    assert plain.bias is not None
    torch.testing.assert_close(layer.bias.grad, plain.bias.grad)


def test_it_is_a_plain_convolution_otherwise() -> None:
    layer = DepthwiseConv2d(4, 5)
    x = torch.randn(1, 4, 6, 6)
    expected = nn.functional.conv2d(x, layer.weight, layer.bias, padding=2, groups=4)
    torch.testing.assert_close(layer(x), expected)


def test_grouped_channels_are_those_of_the_whole_layer() -> None:
    parameters, groups, M = 3, 4, 8
    layer = PointwiseConv2d(6, parameters * M)
    x = torch.randn(groups, 5, 6)
    exact = exact_copy(layer)
    assert isinstance(exact, ExactConvolution)
    found, exactly = layer.grouped(x, parameters), exact.grouped(x.double(), parameters)
    for g in range(groups):
        every = layer(x[g].T[None, :, :, None])[0, :, :, 0].T  # (5, P·M)
        expected = every.unflatten(1, (parameters, groups, -1))[:, :, g].flatten(1)
        torch.testing.assert_close(found[g], expected)
        every = exact(x[g].double().T[None, :, :, None])[0, :, :, 0].T
        expected = every.unflatten(1, (parameters, groups, -1))[:, :, g].flatten(1)
        assert torch.equal(exactly[g], expected)
