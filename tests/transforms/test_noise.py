"""A decoder's noise: the same numbers everywhere, and none before it is trained."""

from __future__ import annotations

import math

import pytest
import torch

from tngexp.transforms.noise import LatentNoise, common_noise
from tngexp.types import ConfigError

WORD = 2**64 - 1


def philox(counter: int, key: int) -> list[int]:
    """Four numbers of Philox4x64-10 (Salmon et al. 2011, fig. 2), in Python's integers."""
    a, b, c, d = ((counter >> (64 * i)) & WORD for i in range(4))
    k0, k1 = key & WORD, key >> 64
    for _ in range(10):
        first, second = a * 0xD2E7470EE14C6C93, c * 0xCA5A826395121157
        a, b, c, d = (second >> 64) ^ b ^ k0, second & WORD, (first >> 64) ^ d ^ k1, first & WORD
        k0, k1 = (k0 + 0x9E3779B97F4A7C15) & WORD, (k1 + 0xBB67AE8584CAA73B) & WORD
    return [a, b, c, d]


def test_the_reference_is_the_papers_generator() -> None:
    """The known answer that comes with the authors' Random123 for a counter and key of zero."""
    assert philox(0, 0) == [
        *(0x16554D9ECA36314C, 0xDB20FE9D672D0FDC),
        *(0xD7E772CEE186176B, 0x7E68B68AEC7BA23B),
    ]


@pytest.mark.parametrize("seed", [0, 1, 2**127 + 12345])
def test_noise_is_a_counter_based_generators(seed: int) -> None:
    channels, height, width = 3, 4, 5
    field = common_noise(seed, channels, height, width)
    assert field.shape == (1, channels, height, width)
    for row in range(height):
        for column in range(width):
            for channel in range(channels):
                number = (row * width + column) * channels + channel
                # The library counts from one.
                raw = philox(number // 4 + 1, seed)[number % 4]
                uniform = torch.tensor((2 * (raw >> 40) + 1 - 2**24) / 2**25)
                assert field[0, channel, row, column] == uniform * torch.tensor(math.sqrt(12))


def test_noise_has_mean_0_and_variance_1_in_training_as_in_a_decoder() -> None:
    drawn = LatentNoise(3, 4).train()._drawn(torch.zeros(2, 3, 100, 120))
    for field in (common_noise(7, 4, 100, 120), drawn):
        assert abs(float(field.mean())) < 0.02
        assert float(field.var()) == pytest.approx(1, abs=0.02)
        assert float(field.abs().max()) <= math.sqrt(3)


def test_untrained_noise_is_none_and_can_be_learned() -> None:
    noise = LatentNoise(6, 2)
    y_hat = torch.randn(2, 6, 3, 5)
    assert torch.equal(noise(y_hat), y_hat)
    noise(y_hat).square().sum().backward()
    assert noise.projection.weight.grad is not None
    assert bool((noise.projection.weight.grad != 0).any())


def test_training_draws_from_torchs_generator_and_evaluation_repeats() -> None:
    noise = LatentNoise(6, 2)
    torch.nn.init.normal_(noise.projection.weight)
    y_hat = torch.zeros(2, 6, 3, 5)
    torch.manual_seed(1)
    first = noise(y_hat)
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first, noise(y_hat))
    torch.manual_seed(1)
    assert torch.equal(first, noise(y_hat))
    noise.eval()
    assert torch.equal(noise(y_hat), noise(y_hat, common_noise(0, 2, 3, 5)))
    field = common_noise(1, 2, 3, 5)
    expected = torch.einsum("mc,chw->mhw", noise.projection.weight[:, :, 0, 0], field[0])
    torch.testing.assert_close(noise(y_hat, field)[0], expected)


@pytest.mark.parametrize("sizes", [{"M": 0}, {"M": 4, "channels": 0}, {"M": 4, "channels": 1.5}])
def test_sizes_that_cannot_be(sizes: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="noise"):
        LatentNoise(**sizes)
