"""Codecs learn: every quantizer with every prior, in seconds, on a few small crops.

The objective is written out here, so that these tests know of a codec nothing but its output.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from support import options, photo
from torch import Tensor

from tngexp.metrics import psnr
from tngexp.model.codec import Codec

SIZES = {"encoder.N": 8, "encoder.M": 16}
LMBDA = 0.01 * 255**2  # on the squared error of pixels in [0, 1]


def crops(*corners: tuple[int, int]) -> Tensor:
    """64×64 pixels at each (top, left) of a photo, (B, 3, 64, 64) in [0, 1]."""
    pixels = torch.from_numpy(np.array(photo(256, 256))).permute(2, 0, 1).float() / 255
    return torch.stack([pixels[:, top : top + 64, left : left + 64] for top, left in corners])


def fit(codec: Codec, x: Tensor, steps: int, lr: float) -> list[float]:
    """Train on ``x`` alone; the loss of each step."""
    codec.train()
    optimizer = torch.optim.Adam(codec.parameters(), lr=lr)
    losses = []
    for _ in range(steps):
        output = codec(x)
        loss = output.bpp().mean() + LMBDA * (output.x_hat - x).square().mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(codec.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    return losses


@torch.no_grad()
def evaluate(codec: Codec, x: Tensor) -> tuple[float, float]:
    """Bits per pixel and loss with hard symbols."""
    codec.eval()
    output = codec(x)
    bpp = output.bpp().mean().item()
    return bpp, bpp + LMBDA * (output.x_hat - x).square().mean().item()


@pytest.mark.parametrize("prior", options("prior"))
@pytest.mark.parametrize("quantizer", options("quantizer"))
def test_every_quantizer_and_prior_learns(
    quantizer: str, prior: str, make_codec: Callable[..., Codec]
) -> None:
    codec = make_codec(quantizer=quantizer, prior=prior, **SIZES)
    x = crops((0, 0), (0, 64))
    _, before = evaluate(codec, x)
    losses = fit(codec, x, 50, 3e-3)
    _, after = evaluate(codec, x)
    assert sum(losses[-5:]) < 0.5 * sum(losses[:5])
    assert after < 0.5 * before
    # The best that a decoder can do which gets no symbols is the mean of the pictures: to do better
    # it must have learned to tell them apart by their symbols.
    assert after < LMBDA * (x - x.mean(0)).square().mean().item()


@pytest.mark.parametrize("prior", options("prior"))
def test_every_prior_learns_the_rate(prior: str, make_codec: Callable[..., Codec]) -> None:
    codec = make_codec(prior=prior, **SIZES)
    x = crops((0, 0), (0, 64))
    before, _ = evaluate(codec, x)
    fit(codec, x, 50, 3e-3)
    after, _ = evaluate(codec, x)
    # The start sends nothing and pays for it. Were the prior not trained, what is sent after these
    # steps would cost nine tenths of that.
    assert after < 0.85 * before


@pytest.mark.parametrize("encoder", options("encoder"))
def test_a_codec_overfits_one_image(encoder: str, make_codec: Callable[..., Codec]) -> None:
    sizes = {"encoder.N": 16, "encoder.M": 16}
    codec = make_codec(encoder=encoder, hyper="depthwise", **sizes)
    x = crops((64, 64))
    _, before = evaluate(codec, x)
    losses = fit(codec, x, 80, 5e-3)
    _, after = evaluate(codec, x)
    assert sum(losses[-5:]) < 0.25 * sum(losses[:5])
    assert after < 0.25 * before
    # A flat picture of the right colour has 13 dB.
    flat = x.mean((2, 3), keepdim=True).expand_as(x)
    with torch.no_grad():
        assert psnr(x, codec(x).x_hat).item() > psnr(x, flat).item() + 6
