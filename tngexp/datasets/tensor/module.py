"""``data=tensor``: photos decoded beforehand, in one file and in training as one tensor.

For GPUs, which wait for photos that are decoded on the way: here the pixels lie on the device, and
crops are cut there, without loader processes. ``python -m tngexp.datasets.pack`` makes the file.
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

from tngexp.common.folders import expanded
from tngexp.datasets.crops import CropDataset
from tngexp.datasets.images import DataError, DataWarning
from tngexp.datasets.module import (
    Content,
    ImageDataModule,
    LoaderOptions,
    Split,
    _silence_worker_advice,
)
from tngexp.datasets.sampler import EndlessBatches
from tngexp.datasets.shards.read import name_hash
from tngexp.datasets.tensor.cut import BatchCrops
from tngexp.datasets.tensor.file import SUFFIX, StoredPhoto, read_pixels
from tngexp.types import MS_SSIM_MIN_SIDE, ConfigError

__all__ = ["TensorDataModule"]


class TensorDataModule(ImageDataModule):
    """Photos of a file of pixels. Final.

    Held out for validation are the ones that ``data=folder`` holds out of the folder that was
    packed, and the samples are its samples: the same photos and windows by number. Cut on the
    device, their values may differ by one grey level (:mod:`tngexp.datasets.tensor.cut`).

    Args:
        file: made by ``python -m tngexp.datasets.pack``.
        val_file: another one for validation, or None.
        on_device: whether the pixels lie where the model is and a batch is cut there; ``"auto"``:
            where that is a CUDA device. Elsewhere crops are cut as ``data=folder`` does it.
        options: see LoaderOptions. On the device there are no workers, and nothing is cached.
    """

    def __init__(
        self,
        file: str | os.PathLike[str] | None,
        val_file: str | os.PathLike[str] | None = None,
        on_device: bool | str = "auto",
        **options: Any,
    ) -> None:
        super().__init__(LoaderOptions(**options))
        if on_device not in (True, False, "auto"):
            raise ConfigError(f"data.on_device={on_device} must be true, false or auto.")
        self.file = file
        self.val_file = val_file
        self.on_device = on_device

    def _split(self) -> Split:
        crop, count = self.options.crop, self.options.val_images
        stored = _photos("data.file", self.file, crop)
        if self.val_file is not None:
            others = _photos("data.val_file", self.val_file, min(crop, MS_SSIM_MIN_SIDE))
            return Split(stored, _choose(others, count))
        limit = len(stored) // 2
        if limit < 1:
            raise DataError(
                f"data.file={self.file} has 1 photo of data.crop={crop} pixels a side; one is to "
                "train and one to be held out. Fix: pack more photos, or set data.val_file."
            )
        val = _choose(stored, limit if count is None else min(count, limit))
        held_out = {photo.name for photo in val}
        return Split([photo for photo in stored if photo.name not in held_out], val)

    def content(self) -> Content:
        return Content(*(_content(part) for part in self.photos))

    def train_dataloader(self) -> DataLoader[Tensor]:
        device = self._device()
        if device is None:
            return super().train_dataloader()
        options = self.options
        photos = tuple(self.photos.train)
        assert all(isinstance(photo, StoredPhoto) for photo in photos)
        crops = CropDataset(
            photos, options.crop, options.downscale_range, options.flip, 0, options.seed
        )
        batches = EndlessBatches(options.batch_size, *self._position())
        _silence_worker_advice()
        # One batch is being cut while the device works on the one before: no worker could help.
        pixels = self._moved(photos[0].pixels, device)  # type: ignore[attr-defined]
        dataset = BatchCrops(crops, photos, pixels, batches)  # type: ignore[arg-type]
        return DataLoader(dataset, batch_size=None, num_workers=0)

    def _device(self) -> torch.device | None:
        """Where the pixels are to lie, or None for the files' own memory."""
        device = torch.device("cpu") if self.trainer is None else self.trainer.strategy.root_device
        if self.on_device == "auto":
            return device if device.type == "cuda" and self.make_sample is None else None
        if not self.on_device:
            return None
        if self.make_sample is not None:
            raise ConfigError(
                "data.on_device=true cuts crops on the device, and a network behind other codecs "
                "needs them on the CPU, where those are. Set data.on_device=auto."
            )
        if device.type not in ("cpu", "cuda"):
            raise ConfigError(
                f"data.on_device=true needs float64, which {device.type} lacks. Set "
                "data.on_device=auto."
            )
        return device

    def _moved(self, pixels: Tensor, device: torch.device) -> Tensor:
        try:
            return pixels.to(device)
        except torch.OutOfMemoryError as error:
            raise DataError(
                f"data.file={self.file} holds {pixels.nbytes / 2**30:.1f} GiB of pixels, for which "
                f"{device} has no room. Fix: pack fewer photos, or data.on_device=false."
            ) from error


def _photos(
    option: str, file: str | os.PathLike[str] | None, min_side: int
) -> Sequence[StoredPhoto]:
    """The photos of a file that are large enough, in its order; warns of the others."""
    if file is None or str(file) == "":
        raise DataError(
            f"{option} is not set. Fix: {option}=FILE{SUFFIX}, made from a folder with "
            f"python -m tngexp.datasets.pack FOLDER FILE{SUFFIX}."
        )
    stored = read_pixels(expanded(file), option).photos
    large = [photo for photo in stored if photo.short_side >= min_side]
    if not large:
        raise DataError(
            f"{option}={file}: none of its {len(stored)} photos has {min_side} pixels a side. Fix: "
            f"lower data.crop below {min_side}, or pack larger photos."
        )
    if len(large) < len(stored):
        warnings.warn(
            f"{option}={file}: skipped {len(stored) - len(large)} of {len(stored)} photos, smaller "
            f"than {min_side} pixels a side",
            DataWarning,
            stacklevel=2,
        )
    return large


def _choose(photos: Sequence[StoredPhoto], count: int | None) -> list[StoredPhoto]:
    """At most ``count`` validation photos as ``data=folder`` takes them, in the order of names."""
    large = [photo for photo in photos if photo.short_side >= MS_SSIM_MIN_SIDE]
    chosen = sorted(large or photos, key=lambda photo: name_hash(photo.name))[:count]
    return sorted(chosen, key=lambda photo: photo.name)


def _content(photos: Sequence[Any]) -> str:
    named = [f"{photo.name}\0{photo.digest}" for photo in dict.fromkeys(photos)]
    return hashlib.sha256("\n".join(named).encode("utf-8", "surrogateescape")).hexdigest()
