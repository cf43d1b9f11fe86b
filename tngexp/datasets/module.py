"""The data modules' common part: options, loaders, and where training resumes."""

from __future__ import annotations

import abc
import hashlib
import os
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import lightning
import torch
from lightning.fabric.utilities.warnings import PossibleUserWarning
from torch import Tensor
from torch.utils.data import DataLoader

from tngexp.datasets.crops import CentreCrops, CropDataset, MakeSample
from tngexp.datasets.images import FilePhoto, Photo
from tngexp.datasets.loader import TrainingLoader, collate
from tngexp.datasets.sampler import EndlessBatches
from tngexp.types import ConfigError

__all__ = ["Content", "ImageDataModule", "LoaderOptions", "Split", "content_of"]


class Split(NamedTuple):
    """The photos of a data set; no photo is in both parts."""

    train: Sequence[Photo]
    val: Sequence[Photo]


class Content(NamedTuple):
    """A SHA-256 of the photos of each part of a data set, of which a path says nothing."""

    train: str
    val: str


@dataclass(frozen=True)
class LoaderOptions:
    """What every data set shares. Raises ConfigError on a value that cannot work.

    Args:
        crop: side of a training sample in pixels.
        batch_size: samples per process and step.
        downscale: (smallest, largest) random factor applied before cropping, in (0, 1].
        flip: mirror half of the samples.
        cache_mib: cap of the decoded-image cache, over all workers of one process.
        num_workers: loader processes, or ``"auto"``: none without CUDA (a cached crop costs about
            a millisecond, and processes would split the cache), else up to 8.
        val_images: validate on at most this many photos; None for all there are.
        val_crop: cut validation photos centrally to at most this side; None to leave them whole.
        seed: non-negative; decides every random choice.
    """

    crop: int = 256
    batch_size: int = 4
    downscale: Iterable[float] = (0.6, 1.0)
    flip: bool = True
    cache_mib: float = 2048
    num_workers: int | str = "auto"
    val_images: int | None = 16
    val_crop: int | None = 512
    seed: int = 0

    def __post_init__(self) -> None:
        _positive("crop", self.crop)
        _positive("batch_size", self.batch_size)
        if self.val_images is not None:
            _positive("val_images", self.val_images)
        if self.val_crop is not None:
            _positive("val_crop", self.val_crop)
        if self.num_workers != "auto":
            _whole("num_workers", self.num_workers, "a number of processes or 'auto'")
        if not isinstance(self.flip, bool):
            raise ConfigError(f"data.flip={self.flip} must be true or false.")
        _whole("seed", self.seed, "a whole number from 0 up")
        if not _is_number(self.cache_mib) or self.cache_mib < 0:
            raise ConfigError(
                f"data.cache_mib={self.cache_mib} must be a size in MiB, 0 for no cache."
            )
        try:
            low, high = self.downscale_range
        except (TypeError, ValueError):
            low = high = 0.0
        if not 0 < low <= high <= 1:
            raise ConfigError(
                f"data.downscale={self.downscale} must be two factors with 0 < smallest ≤ largest "
                "≤ 1, such as [0.6,1.0]."
            )

    @property
    def downscale_range(self) -> tuple[float, float]:
        """``downscale`` as a pair of floats, whatever list type the configuration gave."""
        low, high = self.downscale
        return float(low), float(high)

    def workers(self) -> int:
        """The number of loader processes on this machine."""
        if self.num_workers != "auto":
            return int(self.num_workers)
        return min(8, os.cpu_count() or 1) if torch.cuda.is_available() else 0


class ImageDataModule(lightning.LightningDataModule, abc.ABC):
    """Training batches (B, 3, crop, crop) uint8 without end; validation photos (1, 3, H, W) uint8.

    With ``make_sample`` set, batches are of what it makes of each crop and its number, in the
    loader's processes.

    Subclasses say which photos there are. The sample numbers continue from the trainer's step, so
    a run resumed at step k sees what an uninterrupted one would have seen. Samples are divided
    among processes here: run the trainer with ``use_distributed_sampler=False``. After
    ``limit_train_batches`` of a plain trainer the samples begin again where the loader began.
    """

    def __init__(self, options: LoaderOptions) -> None:
        super().__init__()
        self.options = options
        self.make_sample: MakeSample | None = None
        self._photos: Split | None = None

    @abc.abstractmethod
    def _split(self) -> Split:
        """Finds the photos; warns of skipped ones. Raises DataError when none is left."""

    @property
    def photos(self) -> Split:
        """The photos of both parts, found on first use."""
        if self._photos is None:
            self._photos = self._split()
        return self._photos

    def setup(self, stage: str | None = None) -> None:
        _ = self.photos  # bad data is reported before the first step

    def content(self) -> Content:
        """Of names and files; two configurations with the same content train alike."""
        return Content(*map(content_of, self.photos))

    def train_dataloader(self) -> DataLoader[Tensor]:
        options = self.options
        start, rank, world_size = self._position()
        dataset = CropDataset(
            self.photos.train,
            options.crop,
            options.downscale_range,
            options.flip,
            options.cache_mib,
            options.seed,
            self.make_sample,
        )
        workers = options.workers()
        _silence_worker_advice()
        return TrainingLoader(
            dataset,
            batch_sampler=EndlessBatches(options.batch_size, start, rank, world_size),
            collate_fn=collate,
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=torch.cuda.is_available(),
        )

    def val_dataloader(self) -> DataLoader[Tensor]:
        _silence_worker_advice()
        # A few photos every few hundred steps: processes would cost more than they decode.
        return DataLoader(
            CentreCrops(self.photos.val, self.options.val_crop),
            batch_size=1,
            pin_memory=torch.cuda.is_available(),
        )

    def test_dataloader(self) -> DataLoader[Tensor]:
        return self.val_dataloader()

    def _position(self) -> tuple[int, int, int]:
        """(first sample number, rank, world size) of the trainer as it stands now.

        ``global_step`` counts optimizer steps. Accumulated but unapplied gradients are not in a
        checkpoint, so their samples are drawn again.
        """
        if self.trainer is None:
            return 0, 0, 1
        trainer = self.trainer
        per_step = self.options.batch_size * trainer.accumulate_grad_batches * trainer.world_size
        return trainer.global_step * per_step, trainer.global_rank, trainer.world_size


def content_of(photos: Iterable[Photo]) -> str:
    """A SHA-256 of the names and files of photos; what is generated is known by its name."""
    digest = hashlib.sha256()
    for photo in dict.fromkeys(photos):
        digest.update(photo.name.encode("utf-8", "surrogateescape") + b"\0")
        if isinstance(photo, FilePhoto):
            status = photo.path.stat()
            digest.update(_file_sha256(photo.path, status.st_size, status.st_mtime_ns))
        elif (data := getattr(photo, "data", None)) is not None:  # encoded, in memory
            digest.update(hashlib.sha256(data).digest())
    return digest.hexdigest()


@lru_cache(maxsize=2**20)  # a sweep asks again for each of its runs
def _file_sha256(path: Path, nbytes: int, mtime_ns: int) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _silence_worker_advice() -> None:
    # Lightning advises as many workers as cores; without a GPU the cores are busy training.
    warnings.filterwarnings(
        "ignore", message=".*does not have many workers", category=PossibleUserWarning
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _whole(option: str, value: object, what: str) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ConfigError(f"data.{option}={value} must be {what}.")


def _positive(option: str, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigError(f"data.{option}={value} must be a whole number from 1 up.")
