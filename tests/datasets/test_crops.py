from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from tngexp.datasets.crops import CentreCrops, CropDataset, DecodedCache, random_crop
from tngexp.datasets.images import DataError, DataWarning, UnreadableImageError
from tngexp.datasets.sampler import EndlessBatches
from tngexp.datasets.scan import scan
from tngexp.pixels import decoding

Writer = Callable[..., Path]


@dataclass(frozen=True)
class _Photo:
    """A picture in memory that counts how often it is decoded."""

    name: str
    pixels: np.ndarray = field(hash=False, compare=False)
    broken: bool = False
    log: list[str] = field(default_factory=list, hash=False, compare=False)

    @property
    def short_side(self) -> int:
        return min(self.pixels.shape[:2])

    def decode(self) -> np.ndarray:
        self.log.append(self.name)
        if self.broken:
            raise UnreadableImageError("damaged")
        return self.pixels


def _photos(count: int, side: int = 24) -> list[_Photo]:
    """Photo k is filled with the value 10 + k, so that a crop tells where it came from."""
    return [
        _Photo(f"p{k}", np.full((side, side + 5, 3), 10 + k, dtype=np.uint8)) for k in range(count)
    ]


def _gradient(height: int, width: int) -> np.ndarray:
    rows, columns = np.mgrid[0:height, 0:width]
    return np.stack([rows, columns, rows + columns], 2).astype(np.uint8)


def test_samples_do_not_depend_on_order_or_workers(write_photos: Writer):
    photos = scan("data.root", write_photos(5), 16).photos
    forward = CropDataset(photos, 16, seed=3)
    expected = [forward[i] for i in range(12)]
    backward = CropDataset(photos, 16, seed=3, cache_mib=0)
    for i in reversed(range(12)):
        assert torch.equal(backward[i], expected[i])
    loader = DataLoader(
        CropDataset(photos, 16, seed=3), batch_sampler=EndlessBatches(4), num_workers=2
    )
    batches = iter(loader)
    loaded = torch.cat([next(batches) for _ in range(3)])
    assert torch.equal(loaded, torch.stack(expected))
    other = CropDataset(photos, 16, seed=4)
    assert not all(torch.equal(other[i], expected[i]) for i in range(12))


def test_each_epoch_visits_each_photo_once_in_its_own_order():
    dataset = CropDataset(_photos(11), 16)
    epochs = [[int(dataset[e * 11 + k].max()) for k in range(11)] for e in range(3)]
    assert all(sorted(epoch) == list(range(10, 21)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]
    assert CropDataset(_photos(11), 16)[10**12].shape == (3, 16, 16)  # any number has a sample


def test_crops_are_uint8_channels_first():
    sample = CropDataset([_Photo("p", _gradient(30, 40))], 16, (1.0, 1.0), flip=False)[0]
    assert sample.shape == (3, 16, 16)
    assert sample.dtype == torch.uint8
    assert sample.is_contiguous()
    rows, columns, both = sample.int()
    assert (rows.diff(dim=0) == 1).all()
    assert (columns.diff(dim=1) == 1).all()
    assert torch.equal(both, rows + columns)


def test_flip_mirrors_about_half_of_the_samples():
    image = _gradient(16, 16)
    mirrored = 0
    for seed in range(200):
        crop = random_crop(image, 16, np.random.default_rng(seed), flip=True)
        is_mirrored = np.array_equal(crop, image[:, ::-1])
        assert is_mirrored or np.array_equal(crop, image)
        mirrored += is_mirrored
    assert 70 < mirrored < 130


def test_downscaling_a_window_equals_downscaling_the_photo():
    """Reference: Pillow's resize of the whole photo with the same box, antialiased."""
    rng = np.random.default_rng(0)
    smooth = Image.fromarray(rng.integers(0, 256, (9, 13, 3), dtype=np.uint8))
    image = np.asarray(smooth.resize((130, 90), Image.Resampling.BICUBIC))
    for seed in range(40):
        crop = random_crop(image, 32, np.random.default_rng(seed), (0.4, 0.9))
        factor, v, u = _draws(seed, (0.4, 0.9))
        side = 32 / max(factor, 32 / 90)
        y, x = v * (90 - side), u * (130 - side)
        box = (x, y, x + side, y + side)
        whole = Image.fromarray(image).resize((32, 32), Image.Resampling.BICUBIC, box=box)
        # Pillow keeps boxes in float32, so that a shifted window may round differently.
        assert np.abs(crop.astype(int) - np.asarray(whole)).max() <= 1


def _draws(seed: int, downscale: tuple[float, float]) -> tuple[float, float, float]:
    rng = np.random.default_rng(seed)
    factor = rng.uniform(*downscale)
    v, u, _ = rng.random(3)
    return factor, v, u


@pytest.mark.parametrize("size", [(16, 16), (16, 90), (17, 33), (64, 20)])
def test_crops_have_no_border(size: tuple[int, int]):
    """Downscaling never goes below the crop, so nothing outside the photo shows up."""
    image = np.full((*size, 3), 200, dtype=np.uint8)
    for seed in range(100):
        crop = random_crop(image, 16, np.random.default_rng(seed), (0.1, 1.0), flip=True)
        assert crop.shape == (16, 16, 3)
        assert (crop == 200).all()


@pytest.mark.parametrize("side", [98, 103, 107])
def test_the_whole_shorter_side_may_become_the_crop(side: int):
    # 64 / (64 / 98) exceeds 98 by a rounding error, which must not put the window outside.
    assert 64 / (64 / side) > side
    for seed in range(3):
        rng = np.random.default_rng(seed)
        assert random_crop(_gradient(side, side), 64, rng, (0.1, 0.2)).shape == (64, 64, 3)


def test_downscale_is_antialiased():
    """A checkerboard finer than the new grid turns grey; without antialiasing it would alias."""
    board = np.indices((200, 200)).sum(0) % 2 * np.uint8(255)
    image = np.repeat(board[..., None], 3, 2).astype(np.uint8)
    crop = random_crop(image, 32, np.random.default_rng(0), (0.3, 0.3))
    assert np.abs(crop[1:-1, 1:-1].astype(int) - 127).max() < 25


def test_an_undecodable_photo_is_replaced_by_the_next_one():
    photos = _photos(5)
    photos[2] = replace(photos[2], broken=True)
    dataset = CropDataset(photos, 16)
    with pytest.warns(DataWarning, match="p2 cannot be decoded") as caught:
        values = [int(dataset[i].max()) for i in range(15)]
    assert len(caught) == 1
    assert dataset.unreadable == {"p2": "damaged"}
    healthy = CropDataset(_photos(5), 16)
    assert values == [{12: 13}.get(v, v) for v in (int(healthy[i].max()) for i in range(15))]


class _Away:
    """A photo whose disk is away for the next ``failures`` attempts to read it."""

    def __init__(self, photo: _Photo, failures: int, number: int = errno.EIO) -> None:
        self.name, self.short_side = photo.name, photo.short_side
        self.path = Path("disk", photo.name)
        self.photo, self.failures, self.number = photo, failures, number

    def decode(self) -> np.ndarray:
        with decoding():
            self.failures -= 1
            if self.failures >= 0:
                raise OSError(self.number, os.strerror(self.number))
            return self.photo.decode()


def test_a_photo_that_cannot_be_read_for_a_while_is_not_left_out(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tngexp.datasets.crops._WAITS", (0.0, 0.0))
    photos = _photos(5)
    dataset = CropDataset([*photos[:2], _Away(photos[2], 2), *photos[3:]], 16)
    healthy = CropDataset(photos, 16)
    assert all(torch.equal(dataset[i], healthy[i]) for i in range(15))
    assert dataset.unreadable == {}
    for made in (CropDataset, CentreCrops):
        with pytest.raises(DataError, match=r"disk/p0 can no longer be read .*last checkpoint"):
            made([_Away(photos[0], 3)], 16)[0]
    # What a damaged file makes of a decoder is no outage.
    damaged = CropDataset([_Away(photos[0], 99, errno.EINVAL), *photos[1:]], 16)
    with pytest.warns(DataWarning, match="p0 cannot be decoded"):
        _ = [damaged[i] for i in range(5)]


def test_no_decodable_photo_is_an_error():
    photos = [replace(photo, broken=True) for photo in _photos(3)]
    with (
        pytest.warns(DataWarning),
        pytest.raises(DataError, match="none of the 3 training photos"),
    ):
        CropDataset(photos, 16)[0]
    with pytest.raises(DataError, match="no photo"):
        CropDataset([], 16)


def test_cache_decodes_once_and_respects_its_cap():
    photos = _photos(8, side=64)
    nbytes = photos[0].pixels.nbytes
    log: list[str] = []
    photos = [replace(photo, log=log) for photo in photos]
    cached = CropDataset(photos, 16)
    for i in range(24):
        cached[i]
    assert len(log) == 8
    log.clear()
    capped = CropDataset(photos, 16, cache_mib=3.5 * nbytes / 2**20)
    for i in range(24):
        capped[i]
    assert capped.cache.nbytes == 3 * nbytes
    assert len(log) == 3 + 3 * 5  # three photos are kept, five are decoded each epoch


def test_worker_processes_share_the_cap(monkeypatch: pytest.MonkeyPatch):
    class _Worker:
        num_workers = 4

    monkeypatch.setattr("tngexp.datasets.crops.get_worker_info", lambda: _Worker())
    photos = _photos(8, side=64)
    cache = DecodedCache(8 * photos[0].pixels.nbytes / 2**20)
    for photo in photos:
        cache.get(photo)
    assert cache.nbytes == 2 * photos[0].pixels.nbytes


def test_validation_photos_are_cut_centrally():
    photo = _Photo("p", _gradient(30, 21))
    whole, cut = CentreCrops([photo])[0], CentreCrops([photo], 24)[0]
    assert whole.shape == (3, 30, 21)
    assert torch.equal(cut, whole[:, 3:27])  # the narrow side stays whole


def test_a_vanished_validation_photo_is_named():
    photo = _Photo("gone.png", _gradient(30, 21), broken=True)
    with pytest.raises(DataError, match=r"gone\.png"):
        CentreCrops([photo])[0]
