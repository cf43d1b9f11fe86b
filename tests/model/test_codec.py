"""The wired codec: every triple trains, pads, and is what its configuration says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from support import codec_config, options

from tngexp.losses import MSELoss
from tngexp.model.codec import Codec
from tngexp.types import ConfigError

TRIPLES = [
    (encoder, quantizer, prior)
    for encoder in options("encoder")
    for quantizer in options("quantizer")
    for prior in options("prior")
]


@pytest.mark.parametrize("rate", ["fixed", "variable"])
@pytest.mark.parametrize(("encoder", "quantizer", "prior"), TRIPLES)
def test_every_triple_trains_one_step(encoder: str, quantizer: str, prior: str, rate: str) -> None:
    codec = Codec.from_config(codec_config(encoder, quantizer, prior, rate)).train()
    wake_up(codec)
    optimizer = torch.optim.Adam(codec.parameters(), lr=1e-3)
    x = torch.rand(2, 3, 64, 64)
    quality = codec.rate.sample(2, torch.Generator().manual_seed(0))
    loss = MSELoss(lmbda=0.01, lmbda_min=0.001, lmbda_max=0.05)
    terms = loss(codec(x, quality), x, quality)
    terms.loss.backward()
    silent = [
        name
        for name, parameter in codec.named_parameters()
        if parameter.grad is None
        or not bool(parameter.grad.isfinite().all())
        or not bool(parameter.grad.any())
    ]
    assert silent == []
    optimizer.step()
    with torch.no_grad():
        after = loss(codec(x, quality), x, quality)
    assert after.loss.isfinite()


def wake_up(codec: Codec) -> None:
    """Give the latents of an untrained, tiny model enough spread that not all round to zero."""
    with torch.no_grad():
        for module in codec.transform.analysis.modules():
            if isinstance(module, torch.nn.Conv2d):
                module.weight.mul_(1.5)
        hyper = getattr(codec.prior, "hyper", None)
        if hyper is not None:
            for module in hyper.analysis.modules():
                if isinstance(module, torch.nn.Conv2d):
                    module.weight.mul_(3)


@pytest.mark.parametrize("size", [(1, 1), (64, 64), (65, 130)])
@torch.no_grad()
def test_any_size_comes_back(size: tuple[int, int], make_codec: Callable[..., Codec]) -> None:
    codec = make_codec().eval()
    x = torch.rand(1, 3, *size)
    output = codec(x)
    assert output.x_hat.shape == x.shape
    assert output.bpp().item() == pytest.approx(output.bits().item() / (size[0] * size[1]))
    assert output.y_bits.shape[-2:] == (4 * -(-size[0] // 64), 4 * -(-size[1] // 64))


@torch.no_grad()
def test_the_decoder_has_nothing_but_what_it_received() -> None:
    codec = Codec.from_config(codec_config(rate="variable")).eval()
    x, quality = torch.rand(2, 3, 64, 64), torch.tensor([0.2, 0.9])
    with torch.no_grad():
        output = codec(x, quality)
        assert output.y_hat.shape == output.y_bits.shape
        again = codec.reconstruct(output.y_hat, x.shape[-2:], quality)
    assert torch.equal(again, output.x_hat)


def test_padding_repeats_the_border(make_codec: Callable[..., Codec]) -> None:
    codec = make_codec().eval()
    x = torch.rand(1, 3, 50, 64)
    padded = torch.cat([x, x[:, :, -1:].expand(-1, -1, 14, -1)], dim=2)
    torch.testing.assert_close(codec(x).x_hat, codec(padded).x_hat[:, :, :50])


@torch.no_grad()
def test_evaluation_is_deterministic_and_ignores_batch_mates(
    make_codec: Callable[..., Codec],
) -> None:
    codec = make_codec(prior="checkerboard").eval()
    x = torch.rand(3, 3, 64, 64)
    together, alone = codec(x), codec(x[1:2])
    torch.testing.assert_close(together.x_hat[1:2], alone.x_hat)
    torch.testing.assert_close(together.bits()[1:2], alone.bits())


@torch.no_grad()
def test_a_higher_quality_spends_more_bits() -> None:
    codec = Codec.from_config(codec_config(rate="variable")).eval()
    wake_up(codec)
    x = torch.rand(1, 3, 64, 64)
    low, high = (codec(x, torch.tensor([q])).y_bits.sum() for q in (0.0, 1.0))
    assert high > low


@pytest.mark.parametrize("prior", ["factorized", "hyperprior"])  # without and with a hyper-latent
@torch.no_grad()
def test_the_estimate_is_the_rate_of_the_forward_pass(prior: str) -> None:
    codec = Codec.from_config(codec_config(prior=prior, rate="variable")).eval()
    wake_up(codec)
    x = torch.rand(2, 3, 50, 70)
    quality = torch.tensor([0.0, 1.0])
    estimate = codec.estimate_bpp(x, quality)
    assert estimate.shape == (2,)
    assert torch.equal(estimate, codec(x, quality).bpp())
    assert estimate[1] > estimate[0] > 0


def test_configuration_travels_with_the_codec() -> None:
    config = codec_config(prior="gmm", quantizer="soft_to_hard")
    codec = Codec.from_config(config)
    assert codec.config == config
    again = Codec.from_config(codec.config)
    assert again.state_dict().keys() == codec.state_dict().keys()


@pytest.mark.parametrize(
    ("part", "value", "message"),
    [
        ("quantizer", {"_target_": "os.system"}, "not part of tngexp"),
        ("quantizer", {"_target_": "tngexp.quantizers.nope.Nope"}, "does not exist"),
        ("quantizer", {"_target_": "tngexp.quantizers.ste.StraightThrough", "x": 1}, "takes"),
        ("prior", {"_target_": "tngexp.priors.factorized.FactorizedPrior", "M": 0}, "positive"),
    ],
)
def test_bad_descriptions_are_refused(part: str, value: dict[str, Any], message: str) -> None:
    config = codec_config()
    config[part] = value
    with pytest.raises(ConfigError, match=message):
        Codec.from_config(config)


def test_a_missing_part_is_named() -> None:
    config = codec_config()
    del config["prior"]
    with pytest.raises(ConfigError, match="lacks prior"):
        Codec.from_config(config)
