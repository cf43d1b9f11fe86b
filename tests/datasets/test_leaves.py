from __future__ import annotations

import numpy as np

from tngexp.datasets.leaves import DeadLeavesPhoto


def test_the_seed_decides_every_pixel():
    first = DeadLeavesPhoto(5, 128).decode()
    assert first.shape == (128, 128, 3)
    assert first.dtype == np.uint8
    np.testing.assert_array_equal(first, DeadLeavesPhoto(5, 128).decode())
    assert not np.array_equal(first, DeadLeavesPhoto(6, 128).decode())


def test_gradients_are_heavy_tailed_and_scale_invariant():
    """What makes dead leaves like photographs (Lee, Mumford & Huang 2001, §2): the kurtosis of
    differences is far above a normal distribution's 3, and stays so at half the resolution."""
    for seed in range(3):
        grey = DeadLeavesPhoto(seed, 256).decode().mean(2)
        halved = grey.reshape(128, 2, 128, 2).mean((1, 3))
        for picture in (grey, halved):
            difference = np.diff(picture, axis=1)
            assert (difference**4).mean() / (difference**2).mean() ** 2 > 5


def test_contrast_is_that_of_photographs():
    pictures = np.stack([DeadLeavesPhoto(seed, 192).decode() for seed in range(6)])
    assert 40 < pictures.std() < 85  # photos: about 65
    assert 80 < pictures.mean() < 150  # photos: about 115
