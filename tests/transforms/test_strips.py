"""Blocks without gradients, strip by strip: what they give in one piece."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tngexp.layers import strips
from tngexp.layers.blocks import DepthwiseBlock

CHANNELS = 6


@pytest.fixture
def block() -> DepthwiseBlock:
    torch.manual_seed(0)
    return DepthwiseBlock(CHANNELS).eval()


def features(batch: int = 2) -> Tensor:
    x = torch.randn(batch, CHANNELS, 7, 5)
    return x.contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("numbers", [1, 40, 12 * 69, 12 * 70])
@torch.no_grad()
def test_any_strips_give_what_one_piece_gives(
    numbers: int, block: DepthwiseBlock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Strips of one position, of several, two of all but one and one, and no strips."""
    x = features()
    before = x.clone()
    with torch.enable_grad():
        whole = block(x).detach()
    monkeypatch.setattr(strips, "_NUMBERS", numbers)
    torch.testing.assert_close(block(x), whole, atol=1e-6, rtol=1e-6)
    assert torch.equal(x, before)


@torch.no_grad()
def test_what_is_computed_does_not_grow_with_the_image(
    block: DepthwiseBlock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No layer but the depthwise one is called for more positions than a strip has."""
    monkeypatch.setattr(strips, "_NUMBERS", 12 * 10)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    sizes: list[int] = []
    product = torch.addmm

    def addmm(bias: Tensor, rows: Tensor, weight: Tensor, *, out: Tensor) -> Tensor:
        sizes.append(len(rows))
        result: Tensor = product(bias, rows, weight, out=out)
        return result

    monkeypatch.setattr(torch, "addmm", addmm)
    called: list[nn.Module] = []
    for layer in block.children():
        layer.register_forward_hook(lambda module, _, __: called.append(module))
    block(features())
    assert len(sizes) == 5 * 7  # five products in each of seven strips
    assert max(sizes) == 10
    assert called == [block.depthwise]


def test_strips_are_views_of_all_positions_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strips, "_NUMBERS", 12 * 8)
    x = features()
    parts = strips.strips(x, 12)
    assert torch.equal(torch.cat(parts), x.permute(0, 2, 3, 1).reshape(-1, CHANNELS))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    for part in parts:
        part.zero_()
    assert not x.any()


def test_only_what_gains_is_taken_in_strips(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strips, "_NUMBERS", 12)
    x = features()
    assert not strips.suits_strips(x, 12)  # gradients
    with torch.no_grad():
        assert strips.suits_strips(x, 12)
        assert not strips.suits_strips(x.contiguous(), 12)
        assert not strips.suits_strips(x.double(), 12)
        assert not strips.suits_strips(x.bfloat16(), 12)
        with torch.autocast("cpu", torch.bfloat16):
            assert not strips.suits_strips(x, 12)
        monkeypatch.setattr(strips, "_NUMBERS", 12 * x[:, 0].numel())
        assert not strips.suits_strips(x, 12)  # one strip
