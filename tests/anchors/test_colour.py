from __future__ import annotations

import numpy as np
import pytest

from tngexp.anchors.colour import from_planes, pad_to, to_planes

CORNERS = np.array(
    [[(r, g, b) for r in (0, 255) for g in (0, 255) for b in (0, 255)]], np.uint8
)  # (1, 8, 3)


def colours(count: int = 4000) -> np.ndarray:
    random = np.random.default_rng(1).integers(0, 256, (1, count, 3), np.uint8)
    return np.concatenate([CORNERS, random], axis=1)


@pytest.mark.parametrize("bits", [8, 10])
def test_planes_agree_with_the_jfif_equations(bits: int) -> None:
    x = colours()
    r, g, b = x.astype(np.float64)[0].T
    scale, middle, peak = (2**bits - 1) / 255, 2 ** (bits - 1), 2**bits - 1
    expected = [
        scale * (0.299 * r + 0.587 * g + 0.114 * b),
        scale * (-0.168735892 * r - 0.331264108 * g + 0.5 * b) + middle,
        scale * (0.5 * r - 0.418687589 * g - 0.081312411 * b) + middle,
    ]
    for plane, exact in zip(to_planes(x, bits, halve_chroma=False), expected, strict=True):
        assert np.abs(plane[0] - exact.clip(0, peak)).max() <= 0.5 + 1e-4  # rounded, not cut


def test_primary_colours_have_the_known_values() -> None:
    x = np.array(
        [[(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (128, 128, 128)]], np.uint8
    )
    planes = np.stack(to_planes(x, 8, halve_chroma=False), axis=-1)[0]
    assert planes.tolist() == [
        [76, 85, 255],
        [150, 44, 21],
        [29, 255, 107],
        [255, 128, 128],
        [128, 128, 128],
    ]


def test_ten_bits_lose_nothing_and_eight_bits_one_level() -> None:
    # With rounding errors of ½ a step in Y, Cb, Cr: (½ + ½·1.772)·255/peak, in levels of blue.
    x = colours()
    assert np.array_equal(from_planes(to_planes(x, 10, False), 10), x)
    assert np.abs(from_planes(to_planes(x, 8, False), 8).astype(int) - x).max() == 1


@pytest.mark.parametrize(
    "colour", [(0, 0, 0), (255, 255, 255), (77, 77, 77), (255, 0, 0), (3, 90, 200)]
)
def test_plain_colours_survive_halved_chroma(colour: tuple[int, int, int]) -> None:
    x = np.full((6, 10, 3), colour, np.uint8)
    planes = to_planes(x, 10, halve_chroma=True)
    assert [plane.shape for plane in planes] == [(6, 10), (3, 5), (3, 5)]
    assert np.array_equal(from_planes(planes, 10), x)


def test_chroma_sits_in_the_middle_of_its_four_pixels() -> None:
    x = np.zeros((40, 40, 3), np.uint8)
    x[..., 2] = 3 * np.arange(40) + 2 * np.arange(40)[:, None]
    full, half = (to_planes(x, 10, halve_chroma=halve)[1] for halve in (False, True))
    means = full.reshape(20, 2, 20, 2).mean((1, 3))
    assert np.abs(half - means)[4:-4, 4:-4].max() <= 1
    assert np.abs(from_planes(to_planes(x, 10, True), 10).astype(int) - x)[8:-8, 8:-8].max() <= 1


def test_padding_repeats_the_border() -> None:
    x = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    padded = pad_to(x, 4, 5)
    assert padded.shape == (4, 5, 3)
    assert np.array_equal(padded[:2, :3], x)
    assert np.array_equal(padded[3, 4], x[1, 2])
    assert np.array_equal(padded[0, 4], x[0, 2])
