"""Wasserstein distortion against a literal one, and what it says of textures."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from tngexp.losses import Haar, Wasserstein, wasserstein_distortion
from tngexp.losses.wasserstein import pooling_deviation
from tngexp.types import ConfigError

Array = NDArray[np.float64]


def window(level: int) -> Array:
    """Three boxes of 2^level positions, one after the other."""
    box = np.full(2**level, 2.0**-level)
    weights: Array = np.convolve(np.convolve(box, box), box)
    return weights


def variance_of(weights: Array) -> float:
    place = np.arange(len(weights))
    return float((weights * (place - (weights * place).sum()) ** 2).sum())


def mirrored(index: int, size: int) -> int:
    index %= 2 * size
    return index if index < size else 2 * size - 1 - index


def moments(values: Array, level: int) -> tuple[Array, Array]:
    """Mean and deviation of the window around each cell of 2^level positions of (h, w)."""
    height, width = (size // 2**level for size in values.shape)
    weights, step = window(level), 2**level
    mean, deviation = np.zeros((height, width)), np.zeros((height, width))
    for row, column in itertools.product(range(height), range(width)):
        rows, columns = (
            [mirrored(place * step - step + 1 + k, size) for k in range(len(weights))]
            for place, size in zip((row, column), values.shape, strict=True)
        )
        seen = values[np.ix_(rows, columns)]
        probability = np.outer(weights, weights)
        mean[row, column] = (probability * seen).sum()
        squares = probability * (seen - mean[row, column]) ** 2
        deviation[row, column] = math.sqrt(squares.sum())
    return mean, deviation


def literal(a: Array, b: Array, sigma: Array, levels: int) -> float:
    """Of one pair of maps (C, h, w) and σ (h, w), by the definition."""
    widths = [variance_of(window(level)) for level in range(levels + 1)]
    total = 0.0
    for level in range(levels + 1):
        hat = [float(n == level) for n in range(levels + 1)]
        share = np.interp(sigma**2, widths, hat)
        cells = share.reshape(share.shape[0] // 2**level, 2**level, -1, 2**level).mean((1, 3))
        for one, other in zip(a, b, strict=True):
            (mean, deviation), (mean_b, deviation_b) = (moments(v, level) for v in (one, other))
            gap = (mean - mean_b) ** 2 + (deviation - deviation_b) ** 2
            total += float((cells * gap).mean())
    return total


def pair(*shape: int) -> tuple[Tensor, Tensor]:
    a = torch.randn(*shape, dtype=torch.float64)
    return a, 0.6 * a + 0.5 * torch.randn_like(a) + 0.2


@pytest.mark.parametrize("sigma", [0.0, 0.3, pooling_deviation(1), 1.5, 3.0, 3.9])
def test_distortion_is_the_literal_one(sigma: float) -> None:
    a, b = pair(2, 2, 16, 24)
    found = wasserstein_distortion(a, b, sigma)
    for i in range(2):
        expected = literal(a[i].numpy(), b[i].numpy(), np.full((16, 24), sigma), 3)
        assert float(found[i]) == pytest.approx(expected, rel=1e-9)


def test_distortion_of_a_map_of_widths_is_the_literal_one() -> None:
    a, b = pair(2, 2, 16, 16)
    sigma = 3.9 * torch.rand(2, 1, 16, 16, dtype=torch.float64).square()
    found = wasserstein_distortion(a, b, sigma)
    for i in range(2):
        expected = literal(a[i].numpy(), b[i].numpy(), sigma[i, 0].numpy(), 3)
        assert float(found[i]) == pytest.approx(expected, rel=1e-9)


def test_windows_are_as_wide_as_they_say() -> None:
    for level in range(5):
        assert pooling_deviation(level) == pytest.approx(math.sqrt(variance_of(window(level))))


@pytest.mark.parametrize("size", [(16, 24), (15, 23), (1, 1), (2, 37)])
def test_a_map_of_one_width_is_that_width(size: tuple[int, int]) -> None:
    a, b = pair(1, 3, *size)
    for sigma in (0.0, 1.3, 50.0):
        everywhere = torch.full((1, 1, *size), sigma, dtype=torch.float64)
        found, expected = (wasserstein_distortion(a, b, s) for s in (everywhere, sigma))
        assert found.isfinite().all()
        torch.testing.assert_close(found, expected)


def test_widths_are_in_pixels_at_every_scale() -> None:
    x, x_hat = torch.rand(2, 1, 3, 64, 64)
    everywhere = torch.full((1, 1, 64, 64), 5.0)
    loss = Wasserstein(Haar(), 5.0)
    torch.testing.assert_close(loss(x, x_hat, everywhere), loss(x, x_hat))


def test_it_is_a_distance_squared() -> None:
    a, b = pair(1, 3, 20, 20)
    assert float(wasserstein_distortion(a, a, 2.0)) == 0
    torch.testing.assert_close(wasserstein_distortion(a, b, 2.0), wasserstein_distortion(b, a, 2.0))
    four = wasserstein_distortion(2 * a, 2 * b, 2.0)
    torch.testing.assert_close(four, 4 * wasserstein_distortion(a, b, 2.0))


@pytest.mark.parametrize("sigma", [0.0, 1.2])
def test_gradients_are_those_of_differences(sigma: float) -> None:
    x = torch.rand(1, 3, 8, 9, dtype=torch.float64)
    x_hat = torch.rand(1, 3, 8, 9, dtype=torch.float64, requires_grad=True)
    loss = Wasserstein(Haar(2), 2 * sigma)
    assert torch.autograd.gradcheck(lambda y: loss(x, y), x_hat)
    varying = 2 * sigma * torch.rand(1, 1, 8, 9, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda y: loss(x, y, varying), x_hat)


def test_flat_pictures_have_finite_gradients() -> None:
    x = torch.rand(1, 3, 32, 32)
    x_hat = torch.full_like(x, 0.5, requires_grad=True)
    Wasserstein(Haar(), 4.0)(x, x_hat).sum().backward()
    assert x_hat.grad is not None
    assert x_hat.grad.isfinite().all()


def test_a_faint_texture_on_a_bright_ground_is_seen_in_float32() -> None:
    a, b = pair(1, 1, 32, 32)
    ground = torch.linspace(900, 1000, 32).double()
    a, b = 1e-2 * a + ground, 2e-2 * a + ground
    expected = wasserstein_distortion(a, b, 2.0)
    found = wasserstein_distortion(a.float(), b.float(), 2.0)
    torch.testing.assert_close(found.double(), expected, rtol=0.02, atol=0)


@pytest.mark.parametrize("size", [(64, 64), (41, 70)])
def test_without_pooling_haar_is_mean_squared_error(size: tuple[int, int]) -> None:
    x, x_hat = torch.rand(2, 2, 3, *size)
    x, x_hat = (torch.nn.functional.pad(v, (0, -v.shape[-1] % 16, 0, -v.shape[-2] % 16),
                                        mode="replicate") for v in (x, x_hat))  # fmt: skip
    expected = 255**2 * (x - x_hat).square().mean((1, 2, 3))
    torch.testing.assert_close(Wasserstein(Haar(), 0.0)(x, x_hat), expected)
    cut = [v[..., : size[0], : size[1]] for v in (x, x_hat)]
    torch.testing.assert_close(Wasserstein(Haar(), 0.0)(*cut), expected)


def texture(seed: int) -> Tensor:
    """Coarse coloured noise, (1, 3, 128, 128): another place of one surface for each seed."""
    noise = torch.randn(1, 3, 130, 130, generator=torch.Generator().manual_seed(seed))
    smooth = torch.nn.functional.avg_pool2d(noise, 3, stride=1)
    return 0.5 + 0.3 * smooth


def test_wide_pooling_takes_one_texture_for_another_of_its_kind() -> None:
    original, other = texture(0), texture(1)
    blurred = torch.full_like(original, 0.5)
    by_pixel, by_kind = Wasserstein(Haar(), 0.0), Wasserstein(Haar(), 16.0)
    assert by_kind(original, other) < 0.05 * by_pixel(original, other)
    assert by_pixel(original, blurred) < 0.6 * by_pixel(original, other)
    assert by_kind(original, other) < 0.1 * by_kind(original, blurred)


def test_a_map_of_widths_holds_some_places_to_their_pixels() -> None:
    original, other = texture(0), texture(1)
    half = torch.zeros(1, 1, 128, 128)
    half[..., 64:] = 16.0
    loss = Wasserstein(Haar(), 16.0)
    free = loss(original, torch.cat([original[..., :64], other[..., 64:]], -1), half)
    held = loss(original, torch.cat([other[..., :64], original[..., 64:]], -1), half)
    assert free < 0.1 * held


def test_gradients_are_of_the_second_picture_alone() -> None:
    x, x_hat = (torch.rand(1, 3, 32, 32, requires_grad=True) for _ in range(2))
    Wasserstein(Haar(), 2.0)(x, x_hat).sum().backward()
    assert x.grad is None
    assert x_hat.grad is not None


def test_min_side_holds_one_window() -> None:
    assert Wasserstein(Haar(4), 0.0).min_side == 16  # the rest of the pyramid
    assert Wasserstein(Haar(4), 0.1).min_side == 32
    assert Wasserstein(Haar(4), 64.0).min_side == 256
    for sigma in (-1.0, math.inf, math.nan):
        with pytest.raises(ConfigError, match=rf"loss\.sigma={sigma} must be 0 or more"):
            Wasserstein(Haar(), sigma)
