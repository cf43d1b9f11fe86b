"""The walk through a prior: its sites, what contexts see, what each port makes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from support import codec_config, options
from torch import Tensor, nn

from tngexp.model.codec import Codec
from tngexp.priors import (
    ConditionalPrior,
    Count,
    FactorizedPrior,
    Hard,
    MaskedContext,
    Mixture,
    Port,
    Prior,
    Relaxed,
    Site,
)
from tngexp.priors.channel import ChannelContext, default_groups
from tngexp.priors.steps import MaskStep
from tngexp.training.limit import decoder_kmac
from tngexp.types import ConfigError, Latents, Quantizes

M = 16
CONDITIONAL = [prior for prior in options("prior") if prior != "factorized"]


@pytest.fixture(params=CONDITIONAL)
def codec(request: pytest.FixtureRequest, make_codec: Callable[..., Codec]) -> Codec:
    return make_codec(prior=request.param)


def prior_of(codec: Codec) -> ConditionalPrior:
    assert isinstance(codec.prior, ConditionalPrior)
    return codec.prior


@pytest.mark.parametrize("training", [False, True])
def test_contexts_see_only_what_a_decoder_has(
    codec: Codec, training: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Inside ``forward`` the context is given ŷ of earlier steps and zeros, never the latent."""
    prior = prior_of(codec.train(training))
    if training and isinstance(prior.context, MaskedContext):
        pytest.skip("trains in two parallel passes, see below")
    y = 3 * torch.randn(2, M, 4, 8)
    seen: list[Tensor] = []
    forward = type(prior.context).forward

    def spy(self: nn.Module, features: Tensor, y_hat: Tensor, step: Any) -> Tensor:
        seen.append(y_hat.detach().clone())
        return forward(self, features, y_hat, step)

    monkeypatch.setattr(type(prior.context), "forward", spy)
    final = prior(y, codec.quantizer).y_hat.detach()
    steps = list(prior.context.steps(4, 8, y.device))
    assert len(seen) == len(steps)
    decoded = torch.zeros_like(y)
    for known, step in zip(seen, steps, strict=True):
        assert torch.equal(known != 0, decoded != 0)
        torch.testing.assert_close(known, decoded)
        decoded = step.put(decoded, step.take(final))
        if isinstance(prior.context, ChannelContext):  # corrects a group when all of it is there
            after = seen[step.index + 1] if step.index + 1 < len(seen) else final
            decoded = torch.where(decoded != 0, after, decoded)
    assert float((final - y).abs().max()) > 0.3  # so that ŷ is not y by chance


def test_the_serial_context_trains_on_quantized_values(
    make_codec: Callable[..., Codec], monkeypatch: pytest.MonkeyPatch
) -> None:
    codec = make_codec(prior="context", quantizer="ste").train()
    prior = prior_of(codec)
    y = 3 * torch.randn(1, M, 4, 4)
    calls: list[tuple[Tensor, Tensor]] = []
    parallel = MaskedContext.parallel

    def spy(self: MaskedContext, features: Tensor, y_hat: Tensor) -> Tensor:
        raw = parallel(self, features, y_hat)
        calls.append((y_hat.detach(), Mixture(raw).location.detach()))
        return raw

    monkeypatch.setattr(MaskedContext, "parallel", spy)
    prior(y, codec.quantizer)
    (first, location), (second, _) = calls
    torch.testing.assert_close(first, y)
    torch.testing.assert_close(second - location, (y - location).round(), atol=1e-4, rtol=0)
    assert float((second - y).abs().max()) > 0.3


@torch.no_grad()
def test_a_later_element_does_not_change_an_earlier_one(codec: Codec) -> None:
    """Whatever is decoded later, the parameters of earlier sites stay: else nobody can decode."""
    prior = prior_of(codec.eval())
    y = 3 * torch.randn(1, M, 4, 8)
    steps = list(prior.context.steps(4, 8, y.device))
    last = steps[-1]
    changed = last.put(y.clone(), last.take(y) + 5)
    # The same hyper-latent for both, which sees all of y.
    z = prior.latents(y).z
    first = walk(prior, codec.quantizer, Latents(y, z))
    second = walk(prior, codec.quantizer, Latents(changed, z))
    for a, b in zip(first[:-1], second[:-1], strict=True):
        assert torch.equal(a, b)


class Recorder(Port):
    """Keeps the locations of sites, and decodes by rounding."""

    def __init__(self) -> None:
        self.locations: list[Tensor] = []

    def site(self, site: Site, source: Tensor | None) -> Tensor:
        assert source is not None
        self.locations.append(site.distribution.location.clone())
        return (source - site.distribution.location).round() + site.distribution.location


def walk(prior: Prior, quantizer: Quantizes, latents: Latents) -> list[Tensor]:
    port = Recorder()
    prior.walk(port, latents, quantizer, tuple(latents.y.shape))
    return port.locations


@pytest.mark.parametrize("prior", options("prior"))
@torch.no_grad()
def test_every_element_is_a_site_once(prior: str, make_codec: Callable[..., Codec]) -> None:
    codec = make_codec(prior=prior).eval()
    for port in (Hard(), Relaxed()):
        y = torch.randn(1, M, 8, 4)
        codec.prior.walk(port, codec.prior.latents(y), codec.quantizer, tuple(y.shape))
        assert bool((port.bits["y"] > 0).all())
    counting = Count()
    y_hat = codec.prior.walk(counting, None, codec.quantizer, (1, M, 8, 4))
    assert y_hat.shape == (1, M, 8, 4)
    covered = torch.zeros(1, M, 8, 4)
    for site in counting.sites["y"]:
        covered += site.step.put(
            torch.zeros_like(covered), site.step.take(torch.ones_like(covered))
        )
    assert torch.equal(covered, torch.ones_like(covered))
    assert list(counting.sites) == (["y"] if prior == "factorized" else ["z", "y"])


class Doubling(Prior):
    """A prior that is none of ours: one network, and a density for all."""

    stride = 1

    def __init__(self) -> None:
        super().__init__()
        self.chunk = M
        self.own = FactorizedPrior(M)
        self.network = nn.Conv2d(M, M, 3, padding=1)

    def latents(self, y: Tensor) -> Latents:
        return Latents(y.float(), None)

    def walk(
        self, port: Port, latents: Latents | None, quantizer: Quantizes, size: tuple[int, ...]
    ) -> Tensor:
        y_hat = self.own.walk(port, latents, quantizer, size)
        return y_hat + port.grid(port.network(self.network)(y_hat))


@torch.no_grad()
def test_any_prior_counts_trains_and_codes(make_codec: Callable[..., Codec]) -> None:
    from support import photo

    from tngexp.bitstream import ImageCodec

    codec = make_codec(prior="factorized").eval()
    plain = decoder_kmac(codec)
    own = Doubling()
    codec.prior = own
    assert decoder_kmac(codec) - plain == pytest.approx(9 * M * M / 256 / 1000)
    assert bool(codec.train()(torch.rand(1, 3, 64, 64)).bpp() > 0)
    coder = ImageCodec(codec).eval()
    data = coder.compress(photo(64, 48))
    assert coder.decompress(data).size == (64, 48)


@torch.no_grad()
def test_corrections_are_small_and_reach_what_comes_after(make_codec: Callable[..., Codec]) -> None:
    codec = make_codec(prior="channel").eval()
    prior = prior_of(codec)
    context = prior.context
    assert isinstance(context, ChannelContext)
    y = 3 * torch.randn(1, M, 4, 4)
    before = prior(y, codec.quantizer)
    for correction in context.corrections:
        for module in correction.modules():
            if isinstance(module, nn.Conv2d):
                module.weight.mul_(20)
    after = prior(y, codec.quantizer)
    first = context._slices[0]
    moved = (after.y_hat - before.y_hat)[:, first].abs()
    assert 0.1 < float(moved.max()) <= 0.5 + 1e-6 + float((before.y_hat - y)[:, first].abs().max())
    # Groups that come later are predicted from the corrected ones.
    assert torch.equal(after.y_bits[:, first], before.y_bits[:, first])
    assert not torch.equal(after.y_bits[:, first.stop :], before.y_bits[:, first.stop :])


def test_groups_of_channels() -> None:
    assert default_groups(192) == [16, 16, 32, 64, 64]
    assert default_groups(320) == [26, 28, 52, 108, 106]
    for channels in (1, 2, 3, 12, 16, 50):
        assert sum(default_groups(channels)) == channels
        assert min(default_groups(channels)) > 0
    with pytest.raises(ConfigError, match=r"groups=\[4, 4\].*add up to M; encoder.M is 16"):
        ChannelContext(16, 2, groups=[4, 4])


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"quantizer": "vq", "quantizer.group": 3}, r"quantizer\.group=3.*divisor of 16"),
        ({"quantizer": "vq", "quantizer.group": 8, "prior": "quadtree"}, "codes 4 neighbouring"),
        ({"prior.family": "cauchy"}, r"prior\.family must be one of gaussian, laplace, logistic"),
        ({"prior.mixture": 0}, r"prior\.mixture"),
    ],
)
def test_what_does_not_fit_is_named(choices: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Codec.from_config(codec_config(**choices))


def test_a_side_quantizer_must_divide_the_side_latent() -> None:
    config = codec_config()
    config["prior"]["side_quantizer"] = {
        "_target_": "tngexp.quantizers.vq.VectorQuantizer",
        "group": 3,
    }
    with pytest.raises(ConfigError, match=r"side_quantizer codes 3 channels.*hyper\.N"):
        Codec.from_config(config)


def masks() -> Iterator[Tensor]:
    yield torch.rand(4, 6) > 0.5
    yield (torch.rand(4, 4, 6) > 0.5).repeat_interleave(4, dim=0)


def test_steps_take_an_entry_for_several_channels() -> None:
    for mask in masks():
        step = MaskStep(0, mask)
        symbols = torch.randint(0, 9, (1, M // 2, 4, 6))
        full = symbols.repeat_interleave(2, dim=1)
        flat = step.flatten(symbols)
        assert 2 * flat.shape[1] == step.flatten(full).shape[1]
        back = step.unflatten(flat, symbols)
        chosen = back.repeat_interleave(2, dim=1)
        assert torch.equal(step.put(full, chosen), full)
