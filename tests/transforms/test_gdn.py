"""GDN against CompressAI's layer, and its weights in our transforms."""

from __future__ import annotations

import warnings

import pytest
import torch
from support import needs_bf16

from tngexp.layers.convolutions import GDN
from tngexp.transforms.gdn import GDNTransform
from tngexp.transforms.hyper import HyperConv

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # importing compressai calls a deprecated torch.jit function
    compressai_layers = pytest.importorskip("compressai.layers")
    from compressai.models import MeanScaleHyperprior


def _pair(inverse: bool, spread: float) -> tuple[GDN, torch.nn.Module]:
    """Our layer and theirs, with the same random parameters, some below their lower bounds."""
    torch.manual_seed(3)
    ours, theirs = GDN(6, inverse=inverse), compressai_layers.GDN(6, inverse=inverse)
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.add_(spread * torch.randn_like(parameter))
    theirs.load_state_dict(ours.state_dict(), strict=False)
    return ours, theirs


@pytest.mark.parametrize("inverse", [False, True])
def test_initial_parameters_match_compressai(inverse: bool) -> None:
    ours, theirs = GDN(6, inverse), compressai_layers.GDN(6, inverse)
    for name, parameter in ours.named_parameters():
        torch.testing.assert_close(parameter, theirs.get_parameter(name), rtol=0, atol=0)


@pytest.mark.parametrize("inverse", [False, True])
@pytest.mark.parametrize("spread", [0.0, 0.3])
def test_forward_and_gradients_match_compressai(inverse: bool, spread: float) -> None:
    ours, theirs = _pair(inverse, spread)
    x = torch.randn(2, 6, 5, 4)
    weight = torch.randn_like(x)
    results = []
    for layer in ours, theirs:
        leaf = x.clone().requires_grad_()
        y = layer(leaf)
        (y * weight).sum().backward()
        results.append([y, leaf.grad, layer.beta.grad, layer.gamma.grad])
    for mine, reference in zip(*results, strict=True):
        torch.testing.assert_close(mine, reference, rtol=1e-5, atol=1e-6)


def test_formula() -> None:
    """y_i = x_i / √(β_i + Σ_j γ_ij x_j²), from the definition."""
    layer = GDN(3)
    with torch.no_grad():
        layer.gamma.copy_(torch.tensor([[0.5, 0.1, 0.0], [0.2, 0.4, 0.3], [0.0, 0.6, 0.1]]))
        layer.beta.copy_(torch.tensor([1.0, 0.5, 2.0]))
    x = torch.tensor([0.7, -1.5, 2.0])
    expected = x / (layer.beta**2 + layer.gamma**2 @ x**2).sqrt()
    torch.testing.assert_close(layer(x.view(1, 3, 1, 1)).flatten(), expected)


@needs_bf16
def test_bfloat16_gradients_stay_close() -> None:
    ours, theirs = _pair(inverse=False, spread=0.1)
    x = torch.randn(4, 6, 8, 8)
    theirs(x).square().sum().backward()
    with torch.autocast("cpu", torch.bfloat16):
        y = ours(x.bfloat16())
    assert y.dtype == torch.bfloat16
    y.float().square().sum().backward()
    for mine, reference in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert mine.grad is not None
        assert reference.grad is not None
        assert (mine.grad - reference.grad).norm() < 0.03 * reference.grad.norm()


def test_compressai_weights_load_by_renaming() -> None:
    torch.manual_seed(0)
    theirs = MeanScaleHyperprior(4, 6).eval()
    ours, hyper = GDNTransform(4, 6), HyperConv(4, 6, out_channels=12)
    renamed = {"g_a": (ours.analysis, theirs.g_a), "g_s": (ours.synthesis, theirs.g_s)}
    renamed |= {"h_a": (hyper.analysis, theirs.h_a), "h_s": (hyper.synthesis, theirs.h_s)}
    state = theirs.state_dict()
    for prefix, (mine, _) in renamed.items():
        mine.load_state_dict({key: state[f"{prefix}.{key}"] for key in mine.state_dict()})
    signal = torch.rand(1, 3, 64, 64)
    for mine, reference in renamed.values():
        expected = reference(signal)
        torch.testing.assert_close(mine(signal), expected, rtol=1e-5, atol=1e-6)
        signal = expected if reference is not theirs.g_s else torch.randn(1, 6, 4, 4)
