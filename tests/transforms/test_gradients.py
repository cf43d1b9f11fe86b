"""Convolutions whose gradients take different memory formats: the numbers stay torch's own."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tngexp.layers.convolutions import conv, deconv

LAYERS = {
    "strided": conv(6, 10),
    "plain": conv(6, 10, 3, stride=1),
    "transposed": deconv(6, 10),
}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("size", [(1, 6, 8, 12), (2, 6, 17, 16)])
def test_values_and_gradients_are_those_of_torch(
    name: str, size: tuple[int, int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = LAYERS[name]
    x = torch.randn(size).contiguous(memory_format=torch.channels_last).requires_grad_()
    grad = torch.randn_like(layer(x))

    def results() -> list[torch.Tensor]:
        y = layer(x)
        return [y, *torch.autograd.grad(y, [x, layer.weight, layer.bias], grad)]

    monkeypatch.setattr("torch.backends.cpu.get_cpu_capability", lambda: "AVX512")
    expected = results()
    monkeypatch.setattr("torch.backends.cpu.get_cpu_capability", lambda: "AVX2")
    found = results()
    assert "_Convolution" in type(found[0].grad_fn).__name__
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def test_an_image_without_gradient_gets_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first layer of a codec: half its work would be thrown away."""
    monkeypatch.setattr("torch.backends.cpu.get_cpu_capability", lambda: "AVX2")
    wanted: list[tuple[bool, ...]] = []
    backward = torch.ops.aten.convolution_backward

    def spy(*arguments: object) -> object:
        wanted.append(arguments[-1])  # type: ignore[arg-type]
        return backward(*arguments)

    layer = conv(3, 4)
    y = layer(torch.randn(1, 3, 16, 16).contiguous(memory_format=torch.channels_last))
    monkeypatch.setattr(torch.ops.aten, "convolution_backward", spy)
    y.sum().backward()
    assert [mask[0] for mask in wanted] == [False]
    assert layer.weight.grad is not None


@pytest.mark.parametrize("capability", ["AVX2", "AVX512"])
def test_other_formats_and_precisions_are_left_to_torch(
    capability: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.backends.cpu.get_cpu_capability", lambda: capability)
    layer = conv(6, 10)
    planar = torch.randn(1, 6, 8, 8)
    assert "_Convolution" not in type(layer(planar).grad_fn).__name__
    with torch.no_grad():
        assert layer(planar.contiguous(memory_format=torch.channels_last)).grad_fn is None
    twin = nn.Conv2d(6, 10, 5, 2, padding=2)
    twin.load_state_dict(layer.state_dict())
    torch.testing.assert_close(twin(planar), F.conv2d(planar, layer.weight, layer.bias, 2, 2))
