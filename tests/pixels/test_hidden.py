"""Holes are filled with what lies around them."""

from __future__ import annotations

import numpy as np
import pytest
from support import photo

from tngexp.pixels.hidden import fill_hidden


def roughness(rgb: np.ndarray) -> float:
    steps = [np.abs(np.diff(rgb.astype(float), axis=axis)).mean() for axis in (0, 1)]
    return float(sum(steps))


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (64, 64), (33, 50)])
def test_a_constant_stays_one(size: tuple[int, int]) -> None:
    rgb = np.full((*size, 3), (10, 200, 77), np.uint8)
    hidden = np.random.default_rng(0).random(size) < 0.7
    hidden[0, 0] = False
    noisy = rgb.copy()
    noisy[hidden] = 255
    np.testing.assert_array_equal(fill_hidden(noisy, hidden), rgb)


def test_the_visible_stays_and_the_rest_is_smooth() -> None:
    rgb = np.asarray(photo(80, 61))
    hidden = np.ones(rgb.shape[:2], bool)
    hidden[20:40, 30:60] = False
    filled = fill_hidden(rgb, hidden)
    np.testing.assert_array_equal(filled[~hidden], rgb[~hidden])
    assert roughness(filled) < roughness(rgb) / 3
    other = rgb.copy()
    other[hidden] = 0
    np.testing.assert_array_equal(fill_hidden(other, hidden), filled)


def test_left_and_right_keep_their_colours() -> None:
    rgb = np.zeros((32, 64, 3), np.uint8)
    rgb[:, 56:] = 240
    hidden = np.zeros((32, 64), bool)
    hidden[:, 8:56] = True
    row = fill_hidden(rgb, hidden)[16, :, 0].astype(int)
    assert row[9] < 40
    assert row[54] > 200
    assert np.abs(np.diff(row)).max() < 60


def test_nothing_to_see_is_flat() -> None:
    rgb = np.asarray(photo(9, 9))
    assert len(np.unique(fill_hidden(rgb, np.ones((9, 9), bool)))) == 1
    assert fill_hidden(rgb, np.zeros((9, 9), bool)) is rgb
