"""``data=shards``: photos in tar files (WebDataset), on disk or behind a URL.

For data sets of more files than a file system likes, or larger than one disk. Make the shards with
``python -m tngexp.datasets.pack``.
"""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from tngexp.datasets.images import DataError, DataWarning, FilePhoto, Photo, UnreadableImageError
from tngexp.datasets.loader import TrainingLoader
from tngexp.datasets.module import (
    Content,
    ImageDataModule,
    LoaderOptions,
    Split,
    _silence_worker_advice,
    content_of,
)
from tngexp.datasets.scan import check_folder, scan
from tngexp.datasets.shards.index import ShardIndex, load_index
from tngexp.datasets.shards.order import ShardRange
from tngexp.datasets.shards.read import join, name_hash, read_members, webdataset
from tngexp.datasets.shards.stream import PackedPhoto, ShardCrops
from tngexp.types import ConfigError

__all__ = ["ShardsDataModule"]


class ShardsDataModule(ImageDataModule):
    """Photos in tar shards with an ``index.json`` beside them. Final.

    Held out for validation are the first ``val_images`` images of the first shards, at most half
    of all. ``pack`` orders images by the SHA-256 of their paths, so these are the ones that
    ``data=folder`` would hold out.

    Args:
        root: folder or URL (https, s3, hf, … of fsspec) with the shards and their index.
        val_folder: a folder of photos to validate on instead, or None.
        shuffle: images shuffled together within a worker; their encoded bytes are in memory.
        options: see LoaderOptions. ``cache_mib`` is of no use here.
    """

    def __init__(
        self,
        root: str | os.PathLike[str] | None,
        val_folder: str | os.PathLike[str] | None = None,
        shuffle: int = 64,
        **options: Any,
    ) -> None:
        super().__init__(LoaderOptions(**options))
        if not isinstance(shuffle, int) or isinstance(shuffle, bool) or shuffle < 1:
            raise ConfigError(f"data.shuffle={shuffle} must be a whole number from 1 up.")
        self.root = root
        self.val_folder = val_folder
        self.shuffle = shuffle
        self._found: tuple[str, ShardIndex] | None = None
        self._parts: list[ShardRange] = []

    def _split(self) -> Split:
        crop, count = self.options.crop, self.options.val_images
        webdataset("tariterators")  # its absence is reported before anything else
        self._found = root, index = load_index(self.root)
        if 0 < index.min_side < crop:
            raise DataError(
                f"data.root={root} holds photos from {index.min_side} pixels a side up. Fix: lower "
                f"data.crop={crop}, or pack anew with --min-side {crop}."
            )
        val: list[Photo] = []
        held_out = 0
        if self.val_folder is not None:
            val += _folder_photos(self.val_folder, count)
        elif count is None:
            raise DataError(
                "data.val_images=null would hold out no end of photos. Fix: data.val_images=16, or "
                "data.val_folder=DIR."
            )
        else:
            held_out = min(count, index.images // 2)
        if index.images - held_out < 1 or (held_out < 1 and not val):
            raise DataError(
                f"data.root={root} has too few images: {index.images}. Fix: add photos, or set "
                "data.val_folder."
            )
        self._parts, held = _divide(index, held_out)
        for number, first, stop in held:
            shard = index.shards[number]
            place = join(root, shard.name)
            val += [PackedPhoto(*m) for m in read_members(place, first, stop, shard.images)]
        # Training streams the shards; a list of its photos would be as long as the data set.
        return Split([], _readable(val))

    def content(self) -> Content:
        """Of the shards what their index says: reading them would take as long as an epoch."""
        val = content_of(self.photos.val)
        assert self._found is not None
        return Content(hashlib.sha256(f"{val} {self._found[1]}".encode()).hexdigest(), val)

    def train_dataloader(self) -> DataLoader[Tensor]:
        _ = self.photos
        assert self._found is not None
        workers = self.options.workers()
        _silence_worker_advice()
        dataset = ShardCrops(
            *self._found,
            self._parts,
            self.options,
            self.shuffle,
            *self._position(),
            self.make_sample,
        )
        return TrainingLoader(
            dataset,
            batch_size=None,  # the stream is of batches
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=torch.cuda.is_available(),
        )


def _divide(index: ShardIndex, held_out: int) -> tuple[list[ShardRange], list[ShardRange]]:
    """What trains, and the first ``held_out`` images."""
    train, held = [], []
    for number, shard in enumerate(index.shards):
        cut = min(held_out, shard.images)
        held_out -= cut
        if cut > 0:
            held.append(ShardRange(number, 0, cut))
        if cut < shard.images:
            train.append(ShardRange(number, cut, shard.images))
    return train, held


def _folder_photos(folder: str | os.PathLike[str], count: int | None) -> list[FilePhoto]:
    """Photos of a folder for validation, those whose paths hash lowest."""
    found = scan("data.val_folder", check_folder("data.val_folder", folder), 1)
    found.warn()
    found.require()
    return sorted(found.photos, key=lambda photo: name_hash(photo.name))[:count]


def _readable(photos: Sequence[Photo]) -> list[Photo]:
    """Those that decode, in the order of their names; the others are left out with a warning."""
    good, bad = [], []
    for photo in sorted(photos, key=lambda photo: photo.name):
        try:
            photo.decode()
        except UnreadableImageError as error:
            bad.append(f"{photo.name}: {error}")
        else:
            good.append(photo)
    if bad:
        warnings.warn(
            f"skipped {len(bad)} of {len(photos)} validation photos ({bad[0]})",
            DataWarning,
            stacklevel=2,
        )
    if not good:
        raise DataError(f"no validation photo can be decoded ({bad[0]}). Fix: pack anew.")
    return good
