"""Features that pictures are compared by: what they are, and that they learn nothing."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from tngexp.losses import CodecFeatures, Haar
from tngexp.model.codec import Codec
from tngexp.types import ConfigError


def test_haar_bands_are_differences_of_means() -> None:
    x = torch.rand(1, 3, 8, 8, dtype=torch.float64)
    bands, second, rest = Haar(2)(x)
    assert [v.shape[1:] for v in (bands, second, rest)] == [(9, 4, 4), (9, 2, 2), (3, 2, 2)]
    level = 255 / math.sqrt(3)
    bright = level * x[0].sum(0) / math.sqrt(3)
    ((a, b), (c, d)) = bright[2:4, 4:6].tolist()
    expected = [(a - b + c - d) / 4, (a + b - c - d) / 4, (a - b - c + d) / 4]
    assert bands[0, ::3, 1, 2].tolist() == pytest.approx(expected)
    assert float(rest[0, 0, 1, 0]) == pytest.approx(float(bright[4:, :4].mean()))
    red_blue = level * (x[0, 0] - x[0, 2]) / math.sqrt(2)
    assert float(rest[0, 1, 1, 0]) == pytest.approx(float(red_blue[4:, :4].mean()))
    assert Haar(2).strides == (2, 4, 4)


def test_haar_loses_nothing() -> None:
    x = torch.rand(2, 3, 32, 64, dtype=torch.float64)
    energy = sum(v.square().mean((2, 3)).sum(1) for v in Haar(3)(x))
    torch.testing.assert_close(energy, 255**2 * x.square().mean((1, 2, 3)))
    with pytest.raises(ConfigError, match="0 scales"):
        Haar(0)


def proportional(a: Tensor, b: Tensor) -> bool:
    factor = (a * b).sum() / b.square().sum()
    return a.shape == b.shape and torch.allclose(a, factor * b, atol=1e-5 * float(a.abs().max()))


@pytest.mark.parametrize("encoder", ["gdn", "depthwise", "pyramid"])
def test_a_codecs_features_end_with_its_latent(
    make_codec: Callable[..., Codec], encoder: str
) -> None:
    transform = make_codec(encoder=encoder).transform
    x = torch.rand(1, 3, 64, 128)
    features = CodecFeatures(transform)
    with torch.no_grad():
        latent, maps = transform.analysis(x), features(x)
    assert [x.shape[-1] // v.shape[-1] for v in maps] == list(features.strides)
    assert features.stride == transform.stride
    assert proportional(maps[-1], latent)
    if encoder != "pyramid":  # which is no sequence of layers
        assert len(maps) == len(set(features.strides)) > 1
        with torch.no_grad():  # the last layer is the last that halves
            assert proportional(maps[-2], transform.analysis[:-1](x))  # type: ignore[index]


def test_a_codecs_features_learn_nothing(make_codec: Callable[..., Codec]) -> None:
    features = CodecFeatures(make_codec().transform)
    features.train()
    assert not any(module.training for module in features.network.modules())
    before = [p.clone() for p in features.parameters()]
    x = torch.rand(1, 3, 64, 64, requires_grad=True)
    sum(v.square().sum() for v in features(x)).backward()
    assert x.grad is not None
    assert x.grad.abs().max() > 0
    assert not any(p.requires_grad or p.grad is not None for p in features.parameters())
    features.bfloat16()
    for old, new in zip(before, features.parameters(), strict=True):
        assert torch.equal(old, new)
    features.to("meta")
    assert {p.device.type for p in features.parameters()} == {"meta"}


def test_noise_differs_by_about_its_variance(make_codec: Callable[..., Any]) -> None:
    features = CodecFeatures(make_codec().transform)
    from tngexp.losses.features import _photo_like

    picture = _photo_like(128)
    assert 0.1 < float(picture.std()) < 0.3
    with torch.no_grad():
        energy = sum(v.var((0, 2, 3), correction=0).sum() for v in features(picture))
    assert float(energy) == pytest.approx(1.0)
