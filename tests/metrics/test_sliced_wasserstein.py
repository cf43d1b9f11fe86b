"""Sliced Wasserstein distance against scipy, projection by projection, and what it is to tell."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import convolve1d, gaussian_filter
from scipy.stats import wasserstein_distance
from support import photo

from tngexp.metrics import sliced_wasserstein
from tngexp.metrics.sliced_wasserstein import swd, swd_fine, swd_levels
from tngexp.types import ConfigError


def picture(width: int, height: int) -> torch.Tensor:
    return as_tensor(np.asarray(photo(width, height)) / 255)


def as_tensor(rgb: NDArray[np.float64]) -> torch.Tensor:
    return torch.from_numpy(rgb).float().permute(2, 0, 1)[None]


def as_array(x: torch.Tensor) -> NDArray[np.float64]:
    return x[0].permute(1, 2, 0).double().numpy()


def blurred(x: torch.Tensor, sigma: float) -> torch.Tensor:
    return as_tensor(gaussian_filter(as_array(x), (sigma, sigma, 0), mode="mirror"))


def noisy(x: torch.Tensor, deviation: float) -> torch.Tensor:
    random = torch.Generator().manual_seed(1)
    return x + deviation * torch.randn(x.shape, generator=random)


def smoothed(image: NDArray[np.float64], gain: float = 1) -> NDArray[np.float64]:
    kernel = np.array([1, 4, 6, 4, 1]) * gain**0.5 / 16
    return convolve1d(
        convolve1d(image, kernel, axis=0, mode="mirror"), kernel, axis=1, mode="mirror"
    )


def pyramid(image: NDArray[np.float64], levels: int) -> list[NDArray[np.float64]]:
    """Burt and Adelson's pyramid of (H, W, 3), finest first."""
    bands = []
    for _ in range(levels - 1):
        smaller = smoothed(image)[::2, ::2]
        spread = np.zeros_like(image)
        spread[::2, ::2] = smaller
        bands.append(image - smoothed(spread, gain=4))
        image = smaller
    return [*bands, image]


def reference(x: torch.Tensor, x_hat: torch.Tensor, levels: int) -> list[float]:
    """The distances by float64, scipy and all patches, pixel by pixel."""
    directions = sliced_wasserstein._directions().double().numpy()  # channel, row, column
    distances = []
    for bands in zip(*(pyramid(as_array(v), levels) for v in (x, x_hat)), strict=True):
        sets = []
        for band in bands:
            rows, columns = (side - 6 for side in band.shape[:2])
            sets.append(
                np.array([band[i : i + 7, j : j + 7] for i in range(rows) for j in range(columns)])
            )
        both = np.concatenate(sets)
        mean, deviation = both.mean((0, 1, 2)), both.std((0, 1, 2))
        a, b = (((s - mean) / deviation).transpose(0, 3, 1, 2).reshape(len(s), 147) for s in sets)
        distances.append(np.mean([wasserstein_distance(a @ way, b @ way) for way in directions.T]))
    return distances


@pytest.mark.parametrize(("width", "height", "levels"), [(31, 23, 1), (37, 45, 2), (64, 61, 3)])
def test_distances_agree_with_scipy_in_float64(width: int, height: int, levels: int) -> None:
    x = picture(width, height)
    x_hat = noisy(blurred(x, 0.8), 0.02)
    expected = torch.tensor(reference(x, x_hat, levels))
    measured = swd_levels(x, x_hat)
    torch.testing.assert_close(measured, expected.float(), rtol=1e-4, atol=1e-6)
    assert float(swd(x, x_hat)) == pytest.approx(float(expected.mean()), rel=1e-4)


def test_drawn_patches_stand_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    x = picture(80, 64)
    x_hat = noisy(blurred(x, 1), 0.02)
    every = swd_levels(x, x_hat)
    monkeypatch.setattr(sliced_wasserstein, "PATCHES", 2000)
    drawn = swd_levels(x, x_hat)
    assert drawn[0] != every[0]
    torch.testing.assert_close(drawn, every, rtol=0.05, atol=0.01)


def test_directions_are_unit_vectors() -> None:
    lengths = sliced_wasserstein._directions().square().sum(0)
    torch.testing.assert_close(lengths, torch.ones(sliced_wasserstein.PROJECTIONS))


def test_identical_pictures_have_distance_zero() -> None:
    x = picture(100, 90)
    assert swd_levels(x, x.clone()).tolist() == [0, 0, 0]
    flat = torch.full((1, 3, 64, 64), 0.3)
    assert swd_levels(flat, flat.clone()).tolist() == [0, 0, 0]


def test_distance_is_symmetric_and_repeatable() -> None:
    x = picture(120, 100)  # of which not all patches are taken
    x_hat = noisy(x, 0.05)
    torch.manual_seed(1)
    there = swd_levels(x, x_hat)
    torch.manual_seed(2)
    assert torch.equal(there, swd_levels(x, x_hat))
    assert torch.equal(there, swd_levels(x_hat, x))


@pytest.mark.parametrize("metric", [swd, swd_fine])
@pytest.mark.parametrize("worse", [blurred, lambda x, sigma: noisy(x, sigma / 20)])
def test_distance_grows_with_blur_and_with_noise(metric: Any, worse: Any) -> None:
    x = picture(80, 64)
    values = [float(metric(x, worse(x, sigma))) for sigma in (0.5, 1, 3)]
    assert values == sorted(values)
    assert values[0] > 0.005
    assert values[-1] > 2 * values[0]


def test_blur_shows_first_where_the_detail_was() -> None:
    x = picture(128, 128)
    levels = swd_levels(x, blurred(x, 0.7))
    assert levels[0] > 2 * levels[1] > 4 * levels[2]


def test_a_texture_that_moved_is_the_same_texture_whatever_mse_says() -> None:
    random = np.random.default_rng(0)
    tile = random.uniform(0, 1, (16, 16, 3))
    x = as_tensor(np.tile(tile, (8, 8, 1)))
    periods, apart = (torch.roll(x, shift, (2, 3)) for shift in ((16, 32), (5, 7)))
    assert torch.equal(swd_levels(x, periods), torch.zeros(4))
    # Not a whole period: every pixel is wrong, and yet it is made of the same patches.
    assert float((x - apart).square().mean()) > 0.1
    blur = blurred(x, 0.7)
    assert float((x - blur).square().mean()) < float((x - apart).square().mean())
    assert float(swd_fine(x, apart)) < 0.2 * float(swd_fine(x, blur))


def test_lost_contrast_is_a_difference() -> None:
    random = torch.Generator().manual_seed(0)
    grain = torch.randn(1, 3, 96, 96, generator=random)
    # Scaled each by its own deviation, as in the paper, the two would be equal.
    assert float(swd_fine(0.5 + 0.1 * grain, 0.5 + 0.05 * grain)) > 0.3


def test_rounding_noise_of_flat_pictures_is_no_detail() -> None:
    x = torch.full((1, 3, 96, 96), 100 / 255)
    assert float(swd_fine(x, torch.full_like(x, 101 / 255))) < 1e-4
    assert float(swd(x, torch.full_like(x, 101 / 255))) > 0.1  # the low-pass picture differs


def test_the_two_finest_levels_have_a_name() -> None:
    x = picture(128, 96)
    x_hat = blurred(x, 1)
    levels = swd_levels(x, x_hat)
    assert len(levels) == 3
    assert torch.equal(swd_fine(x, x_hat), levels[:2].mean())
    assert torch.equal(swd(x, x_hat), levels.mean())


@pytest.mark.parametrize(
    ("side", "levels", "fine"), [(15, 0, False), (16, 1, False), (60, 2, False), (61, 3, True)]
)
def test_small_pictures_have_fewer_levels_or_no_distance(
    side: int, levels: int, fine: bool
) -> None:
    x = picture(side, side + 9)
    x_hat = noisy(x, 0.1)
    assert len(swd_levels(x, x_hat)) == levels
    assert math.isnan(swd(x, x_hat)) == (levels == 0)
    assert math.isnan(swd_fine(x, x_hat)) != fine


def test_pictures_must_be_one_pair() -> None:
    x = picture(32, 32)
    with pytest.raises(ConfigError, match=r"two pictures \(1, 3, H, W\)"):
        swd(x, picture(33, 32))
    with pytest.raises(ConfigError, match="two pictures"):
        swd(x.repeat(2, 1, 1, 1), x.repeat(2, 1, 1, 1))
