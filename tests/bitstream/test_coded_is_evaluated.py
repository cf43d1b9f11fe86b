"""What is coded is what is evaluated: for every encoder × quantizer × prior triple, both rates."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import codec_config, options, photo
from torch import Tensor, nn

from tngexp.bitstream import ImageCodec
from tngexp.model.codec import Codec
from tngexp.priors import ConditionalPrior, Hard
from tngexp.types import ConfigError, Latents, Relaxed

TRIPLES = list(itertools.product(options("encoder"), options("quantizer"), options("prior")))
LEARNED = ("soft_to_hard", "vq")  # points that saturate beyond the outermost


def spread_out(codec: Codec, x: Tensor, quality: Tensor | None) -> ImageCodec:
    """An untrained codec whose latents take several values under densities that fit them."""
    with torch.no_grad():
        y = codec.analyse(x, quality).y
        last = [m for m in codec.transform.analysis.modules() if isinstance(m, nn.Conv2d)][-1]
        last.weight.mul_(3 / y.std())
        assert last.bias is not None
        last.bias.zero_()
        prior = codec.prior
        if isinstance(prior, ConditionalPrior):
            # Scales of about 3, so that no symbol lies where only the coder's floor holds mass.
            layers = prior.context.output_layers() or [
                [m for m in prior.hyper.synthesis.modules() if hasattr(m, "weight")][-1]
            ]
            for layer in layers:
                layer.bias[: len(layer.bias) * prior.mixture // _parameters(prior)] = 3
                layer.weight.mul_(0.3)
            z = prior.latents(codec.analyse(x, quality).y).z
            assert z is not None
            [m for m in prior.hyper.analysis.modules() if isinstance(m, nn.Conv2d)][-1].weight.mul_(
                2 / z.std()
            )
    return ImageCodec(codec).eval()


def _parameters(prior: ConditionalPrior) -> int:
    return 2 if prior.mixture == 1 else 3 * prior.mixture


@pytest.mark.parametrize("rate", ["fixed", "variable"])
@pytest.mark.parametrize(("encoder", "quantizer", "prior"), TRIPLES)
@torch.no_grad()
def test_every_triple(encoder: str, quantizer: str, prior: str, rate: str) -> None:
    codec = Codec.from_config(codec_config(encoder, quantizer, prior, rate)).eval()
    image = photo(61, 53)
    x = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 255
    quality = None if rate == "fixed" else 0.5
    index = None if quality is None else torch.tensor([round(quality * 255) / 255])
    coder = spread_out(codec, x, index)
    data = coder.compress(image, quality)
    assert coder.decompress(data).size == image.size

    analysis = coder.analyse(image, quality)
    (latents,) = analysis.tiles
    inner = coder.prepare().latents
    stream, checksum = inner.encode(latents)
    y_hat, decoded_checksum = inner.decode(stream, tuple(latents.y.shape[1:]))
    assert checksum == decoded_checksum
    assert y_hat.unique().numel() > 4

    # (a) Element by element what evaluation makes of the same latents, on the same networks.
    evaluated, _ = evaluate(coder, latents)
    assert int(((evaluated - y_hat).abs() > 2e-3).sum()) <= 2  # where the last bit decides
    # What the file holds is a fixed point: it is coded to itself.
    settled = inner.settle(latents)
    assert inner.encode(settled)[0] == stream

    # (b) The file is as large as evaluation says.
    output = codec(x, index)
    estimate = float(output.bits()) / 8
    assert len(data) <= 1.003 * estimate + 32
    assert len(data) >= 0.99 * estimate


def evaluate(coder: ImageCodec, latents: Latents) -> tuple[Tensor, dict[str, Tensor]]:
    """ŷ and bits of evaluation mode, but with the networks that code."""
    port, networks = Hard(), coder.prepare().latents._networks
    port.network = lambda module: networks[module]  # type: ignore[method-assign]
    model = coder.model
    exact = Latents(*(None if t is None else t.double() for t in latents))
    y_hat = model.prior.walk(port, exact, model.quantizer, tuple(latents.y.shape))
    return y_hat, port.bits


@pytest.mark.parametrize("family", ["gaussian", "laplace", "logistic"])
@pytest.mark.parametrize("mixture", [1, 3])
@pytest.mark.parametrize("quantizer", ["mixed", "dead_zone", "soft_to_hard", "vq"])
@torch.no_grad()
def test_every_family_is_coded_at_its_estimate(family: str, mixture: int, quantizer: str) -> None:
    config = codec_config(
        "depthwise",
        quantizer,
        "quadtree",
        **{"prior.family": family, "prior.mixture": mixture},
    )
    codec, image = Codec.from_config(config).eval(), photo(180, 130)
    x = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 255
    coder = spread_out(codec, x, None)
    data = coder.compress(image)
    estimate = float(codec(x).bits()) / 8
    assert 0.99 * estimate <= len(data) <= 1.003 * estimate + 32
    assert coder.decompress(data).size == image.size


@pytest.mark.parametrize("side", ["soft_to_hard", "dead_zone", "vq"])
@torch.no_grad()
def test_the_side_latent_has_the_quantizer_that_was_asked_for(side: str) -> None:
    target = {
        "soft_to_hard": "soft_to_hard.SoftToHard",
        "dead_zone": "dead_zone.DeadZone",
        "vq": "vq.VectorQuantizer",
    }[side]
    config = codec_config("depthwise", "mixed", "hyperprior")
    config["prior"]["side_quantizer"] = {"_target_": f"tngexp.quantizers.{target}"}
    codec, image = Codec.from_config(config).eval(), photo(150, 130)
    x = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 255
    coder = spread_out(codec, x, None)
    (latents,) = coder.analyse(image).tiles
    inner = coder.prepare().latents
    stream, _ = inner.encode(latents)
    y_hat, _ = inner.decode(stream, tuple(latents.y.shape[1:]))
    assert ((evaluate(coder, latents)[0] - y_hat).abs() > 2e-3).double().mean() < 0.005
    estimate = float(codec(x).bits()) / 8
    assert 0.99 * estimate <= len(stream) <= 1.003 * estimate + 32


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    width=st.integers(1, 140),
    height=st.integers(1, 140),
    scale=st.floats(0.05, 60),
    prior=st.sampled_from(["factorized", "context", "quadtree", "channel"]),
    quantizer=st.sampled_from(["mixed", "dead_zone", "vq"]),
)
@torch.no_grad()
def test_any_size_and_spread_comes_back(
    width: int, height: int, scale: float, prior: str, quantizer: str
) -> None:
    torch.manual_seed(width)
    coder = ImageCodec(Codec.from_config(codec_config("depthwise", quantizer, prior))).eval()
    model = coder.model
    rows, columns = (-(-side // model.stride) * model.stride // 16 for side in (height, width))
    latents = model.prior.latents(scale * torch.randn(1, 16, rows, columns))
    inner = coder.prepare().latents
    stream, checksum = inner.encode(latents)
    y_hat, decoded = inner.decode(stream, (16, rows, columns))
    assert checksum == decoded
    # A long way from where the densities are, evaluation and file still agree.
    evaluated, _ = evaluate(coder, latents)
    assert ((evaluated - y_hat).abs() > 2e-3 * max(1, scale)).double().mean() <= 0.01


PROMISES = ["noise", "mixed", "ste", "dead_zone"]
"""Quantizers whose training rate bounds that of evaluation from above, in expectation."""


@pytest.mark.parametrize("quantizer", PROMISES)
@pytest.mark.parametrize("prior", [p for p in options("prior") if p != "context"])
@torch.no_grad()
def test_training_bits_bound_evaluation_bits(quantizer: str, prior: str) -> None:
    """E over noise of −log2 of the noisy density is at least the rate of rounding (Ballé et al.
    2017, § 3): the noisy density is the cell's mass, and −log2 is convex."""
    codec = Codec.from_config(codec_config("depthwise", quantizer, prior))
    y = 2 * torch.randn(4, 16, 8, 8)
    draws = [codec.train().prior(y, codec.quantizer) for _ in range(8)]
    trained = torch.stack([draw.y_bits.sum() for draw in draws]).mean()
    hard = codec.eval().prior(y, codec.quantizer).y_bits.sum()
    assert hard <= 1.002 * trained


def test_a_quantizer_that_evaluates_otherwise_is_refused(make_codec: Callable[..., Codec]) -> None:
    codec = make_codec(quantizer="mixed").eval()
    honest = codec.quantizer.hard

    def hard(residual: Tensor) -> Relaxed:
        decoded, cells = honest(residual)
        return Relaxed(torch.where(residual.abs() < 0.7, torch.zeros_like(decoded), decoded), cells)

    codec.quantizer.hard = hard  # type: ignore[method-assign]
    with pytest.raises(ConfigError, match="Mixed evaluates otherwise than its alphabet"):
        ImageCodec(codec).eval().compress(photo(64, 64))


def test_a_quantizer_without_an_alphabet_trains_and_is_refused(
    make_codec: Callable[..., Codec],
) -> None:
    from tngexp.quantizers import Quantizer
    from tngexp.quantizers.base import unit_cells

    class Floor(Quantizer):
        def relax(self, residual: Tensor) -> Relaxed:
            return Relaxed(residual.floor() + 0.0 * residual, unit_cells(residual))

        def hard(self, residual: Tensor) -> Relaxed:
            return Relaxed(residual.floor(), unit_cells(residual.floor() + 0.5))

    codec = make_codec()
    codec.quantizer = Floor()
    x = torch.rand(1, 3, 64, 64)
    assert bool(codec.train()(x).bpp().isfinite())
    assert bool(codec.eval()(x).bpp().isfinite())
    with pytest.raises(ConfigError, match="Floor has no alphabet"):
        ImageCodec(codec).eval().compress(photo(64, 64))


def test_a_distribution_without_integers_trains_and_is_refused(
    make_codec: Callable[..., Codec],
) -> None:
    codec = make_codec()
    prior = codec.prior
    assert isinstance(prior, ConditionalPrior)
    honest = prior._mixture

    class Floating:
        def __init__(self, raw: Tensor) -> None:
            self._mixture: Any = honest(raw)
            self.location = self._mixture.location

        def likelihood(self, lower: Tensor, upper: Tensor) -> Tensor:
            mass: Tensor = self._mixture.likelihood(lower, upper)
            return mass

    prior._mixture = Floating  # type: ignore[assignment, method-assign]
    assert bool(codec.train()(torch.rand(1, 3, 64, 64)).bpp().isfinite())
    with pytest.raises(ConfigError, match="Floating has no integer form"):
        ImageCodec(codec).eval().compress(photo(64, 64))
