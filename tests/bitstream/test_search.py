"""The seam for searching: latents may change between analysis and writing, files stay files."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from support import options, photo, scaled_codec
from torch import Tensor

from tngexp.bitstream import ImageCodec
from tngexp.bitstream.search import greedy
from tngexp.model.codec import Codec
from tngexp.types import ConfigError, Latents


def decoded(codec: ImageCodec, data: bytes, size: tuple[int, ...]) -> Tensor:
    from tngexp.coding import read

    return codec.prepare().latents.decode(read(data).streams[0], size)[0]


def test_analysing_and_writing_is_compressing() -> None:
    codec, image = scaled_codec(), photo(90, 70)
    image.putalpha(photo(90, 70).convert("L"))
    assert codec.write(codec.analyse(image, 0.3)) == codec.compress(image, 0.3)


@pytest.mark.parametrize("prior", options("prior"))
@pytest.mark.parametrize("quantizer", ["mixed", "dead_zone", "soft_to_hard", "vq"])
def test_greedy_search_trades_error_for_bits(quantizer: str, prior: str) -> None:
    codec, image = scaled_codec(quantizer, prior), photo(130, 100)
    analysis = codec.analyse(image, 0.5)
    (latents,) = analysis.tiles
    size = tuple(latents.y.shape[1:])
    plain = codec.write(analysis)
    errors, sizes = [], []
    for kappa in (1e9, 1.0, 1e-3):
        searched = greedy(codec, analysis, kappa)
        data = codec.write(searched)
        assert codec.decompress(data).size == image.size
        # What was chosen is what the file holds.
        y_hat = decoded(codec, data, size)
        if prior != "channel":  # which corrects what it decodes
            torch.testing.assert_close(y_hat, searched.tiles[0].y, atol=0, rtol=0)
        errors.append(float((searched.tiles[0].y - latents.y).square().sum()))
        sizes.append(len(data))
    assert sizes[0] == len(plain)
    assert sizes[0] >= sizes[1] >= sizes[2]
    if prior != "factorized":  # whose density is all but flat before it is trained
        assert sizes[2] < sizes[0]
    assert errors[0] <= errors[1] <= errors[2] > errors[0]


def test_the_choice_minimises_bits_and_error() -> None:
    """Against an exhaustive look at both candidates of every element of a one-step prior."""
    codec = scaled_codec(prior="factorized")
    analysis = codec.analyse(photo(64, 48), 0.5)
    y = analysis.tiles[0].y.double()
    chosen = greedy(codec, analysis, kappa=0.01).tiles[0].y
    prior = codec.model.prior
    density = prior.density.at(2)  # type: ignore[operator, union-attr]
    costs = []
    nearest = y.round()
    for symbols in (nearest, nearest - nearest.sign()):
        mass = density.likelihood(symbols.float() - 0.5, symbols.float() + 0.5)
        costs.append(-torch.log2(mass.clamp(min=1e-9)) + 0.01 * (symbols - y).square())
    expected = torch.where(costs[1] < costs[0], nearest - nearest.sign(), nearest)
    torch.testing.assert_close(chosen.double(), expected)
    assert bool((chosen.double() != nearest).any())


def test_any_latents_can_be_written() -> None:
    codec = scaled_codec()
    analysis = codec.analyse(photo(64, 64), 0.5)

    def halve(latents: Latents) -> Latents:
        return latents._replace(y=latents.y / 2)

    data = codec.write(analysis.map(halve))
    assert len(data) < len(codec.write(analysis))
    assert codec.decompress(data).size == (64, 64)


@pytest.mark.parametrize("kappa", [0, -1, float("nan")])
def test_a_useless_kappa_is_refused(kappa: float, make_codec: Callable[..., Codec]) -> None:
    codec = ImageCodec(make_codec()).eval()
    with pytest.raises(ConfigError, match="kappa must be above 0"):
        greedy(codec, codec.analyse(photo(64, 64)), kappa)
