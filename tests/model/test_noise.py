"""A codec with noise, and a synthesis that is trained alone."""

from __future__ import annotations

import pytest
import torch
from support import codec_config, options

from tngexp.model.codec import Codec
from tngexp.training.parts import freeze, parameters_of
from tngexp.types import Noise

NOISE = {"_target_": "tngexp.transforms.noise.LatentNoise", "M": 16, "channels": 2}
CODING = ("transform.analysis", "quantizer", "prior", "rate")


def noisy(**choices: str) -> Codec:
    return Codec.from_config({**codec_config(**choices), "noise": NOISE})


def test_noise_is_a_part_that_a_codec_may_lack() -> None:
    codec = noisy()
    assert isinstance(codec.noise, Noise)
    assert codec.config is not None
    assert codec.config["noise"] == NOISE
    again = Codec.from_config(codec.config)
    again.load_state_dict(codec.state_dict())
    for config in (codec_config(), {**codec_config(), "noise": None}):
        plain = Codec.from_config(config)
        assert plain.noise is None
        assert plain.config == codec_config()
        assert {n for n in codec.state_dict() if n not in plain.state_dict()} == {
            "noise.projection.weight"
        }


@torch.no_grad()
def test_noise_is_added_in_units_of_a_quantization_step() -> None:
    """Before the gains are undone: the same beside a rounding error at every quality."""
    codec = noisy(rate="variable").eval()
    assert codec.noise is not None
    y_hat = torch.randn(1, 16, 4, 4)
    quality = torch.tensor([0.2])
    assert torch.equal(
        codec.reconstruct(y_hat, (64, 64), quality),
        codec.transform.synthesis(codec.rate.unscale(y_hat, quality)),
    )
    torch.nn.init.normal_(codec.noise.projection.weight)  # type: ignore[union-attr]
    expected = codec.transform.synthesis(codec.rate.unscale(codec.noise(y_hat), quality))
    found = codec.reconstruct(y_hat, (64, 64), quality)
    assert torch.equal(found, expected)
    assert not torch.equal(found, codec.transform.synthesis(codec.rate.unscale(y_hat, quality)))


@pytest.mark.parametrize("quantizer", options("quantizer"))
def test_a_synthesis_that_is_trained_alone_sees_what_files_hold(quantizer: str) -> None:
    torch.manual_seed(3)
    codec = Codec.from_config(codec_config("depthwise", quantizer, "quadtree", "variable"))
    with torch.no_grad():  # latents of an untrained codec are all zero otherwise
        convs = [m for m in codec.transform.analysis.modules() if isinstance(m, torch.nn.Conv2d)]
        convs[-1].weight.mul_(30)
    x, quality = torch.rand(2, 3, 64, 64), torch.tensor([0.3, 1.0])
    with torch.no_grad():
        hard = codec.eval()(x, quality)
    codec.train()
    assert codec.prior.training
    freeze(codec, [part for part in CODING if parameters_of(codec, [part])])
    for _ in range(2):
        output = codec(x, quality)
        assert torch.equal(output.x_hat, hard.x_hat)
        assert torch.equal(output.y_bits, hard.y_bits)
        codec.eval()
        codec.train()
    assert codec.transform.synthesis.training
    output.x_hat.sum().backward()
    trained = {name for name, p in codec.named_parameters() if p.grad is not None}
    assert trained == {n for n, _ in codec.named_parameters() if "synthesis" in n} - {
        n for n, _ in codec.prior.named_parameters("prior")
    }


@pytest.mark.parametrize("part", ["transform.analysis", "prior", "rate"])
def test_what_is_trained_at_all_trains_relaxed(part: str) -> None:
    codec = Codec.from_config(codec_config("depthwise", "noise", "quadtree", "variable"))
    freeze(codec, [other for other in ("transform.analysis", "prior", "rate") if other != part])
    assert codec.train().prior.training
    torch.manual_seed(0)
    x = torch.rand(1, 3, 64, 64)
    codec(x, torch.tensor([0.5])).y_bits.sum().backward()
    assert any(p.grad is not None for p in parameters_of(codec, [part]).values())
