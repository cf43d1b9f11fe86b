"""Random crops by number: sample i is the same whoever asks, whenever.

Every random choice of sample i comes from ``default_rng([seed, i])``. Workers, ranks, the order of
requests and a resumed run therefore cannot change what the model sees.
"""

from __future__ import annotations

import errno
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset, get_worker_info

from tngexp.datasets.images import DataError, DataWarning, Photo, Pixels, UnreadableImageError
from tngexp.types import TngexpError

__all__ = [
    "CentreCrops",
    "CropDataset",
    "DecodedCache",
    "MakeSample",
    "Window",
    "draw_window",
    "random_crop",
]

_BICUBIC_SUPPORT = 2.0  # source pixels the filter reaches at scale 1
_WAITS = (1.0, 5.0, 25.0)  # seconds before a file that cannot be read is tried again


class MakeSample(Protocol):
    """What a model trains on instead of crops."""

    def crop_number(self, number: int) -> int:
        """The number of the crop that sample ``number`` is made of: itself, or an earlier one."""

    def __call__(self, crop: Tensor, number: int) -> Any:
        """Sample ``number``, of its crop (3, crop, crop) uint8."""


class CropDataset(Dataset[Any]):
    """An endless, numbered stream of random crops, (3, crop, crop) uint8.

    Epoch e = i // n visits the n photos in its own permutation. A photo that cannot be decoded is
    replaced by the next one that can, the same one in every process. One whose file cannot be read,
    as while a disk is away, is tried again for half a minute and then a DataError: to leave it out
    would train on fewer photos from there on.

    Args:
        photos: at least ``crop`` pixels on the shorter side.
        crop: side of a sample in pixels.
        downscale: range of the random factor that sheds JPEG artefacts before cropping.
        flip: mirror half of the samples.
        cache_mib: cap of the decoded-image cache, all worker processes together.
        seed: non-negative.
        make: what becomes of a crop and its number; None leaves it as it is.
    """

    def __init__(
        self,
        photos: Sequence[Photo],
        crop: int,
        downscale: tuple[float, float] = (0.6, 1.0),
        flip: bool = True,
        cache_mib: float = 2048,
        seed: int = 0,
        make: MakeSample | None = None,
    ) -> None:
        if not photos:
            raise DataError("there is no photo to train on. Fix: add photos to the data set.")
        self.photos = photos
        self.crop = crop
        self.downscale = downscale
        self.flip = flip
        self.seed = seed
        self.make = make
        self.cache = DecodedCache(cache_mib)
        self.unreadable: dict[str, str] = {}  # name → reason, of this process
        self._epoch = -1
        self._order: NDArray[np.int64] = np.empty(0, dtype=np.int64)

    def __getitem__(self, index: int) -> Any:
        number, index = index, index if self.make is None else self.make.crop_number(index)
        image = self._decode(self.photo_number(index))
        rng = np.random.default_rng([self.seed, index])
        pixels = random_crop(image, self.crop, rng, self.downscale, self.flip)
        crop = _to_tensor(pixels)
        return crop if self.make is None else self.make(crop, number)

    def __getitems__(self, indices: Sequence[int]) -> list[Any]:
        """The samples of a batch; in a worker process an error may stand alone instead, which
        :class:`~tngexp.datasets.loader.TrainingLoader` raises."""
        try:
            return [self[index] for index in indices]
        except TngexpError as error:
            if get_worker_info() is None:
                raise
            return [error]

    def photo_number(self, index: int) -> int:
        """The photo that sample ``index`` is cut from, unless it cannot be decoded."""
        epoch, position = divmod(index, len(self.photos))
        return int(self._permutation(epoch)[position])

    def _permutation(self, epoch: int) -> NDArray[np.int64]:
        if epoch != self._epoch:
            # The trailing 1 keeps this stream apart from those of the samples.
            rng = np.random.default_rng([self.seed, epoch, 1])
            self._epoch, self._order = epoch, rng.permutation(len(self.photos))
        return self._order

    def _decode(self, number: int) -> Pixels:
        for step in range(len(self.photos)):
            photo = self.photos[(number + step) % len(self.photos)]
            if photo.name in self.unreadable:
                continue
            try:
                image = _read(photo, self.cache.get)
                if min(image.shape[:2]) < self.crop:
                    raise UnreadableImageError("smaller than its header says")
                return image
            except UnreadableImageError as error:
                if not self.unreadable:
                    warnings.warn(
                        f"{photo.name} cannot be decoded ({error}); another photo takes its "
                        "place. Further ones are replaced without a word.",
                        DataWarning,
                        stacklevel=2,
                    )
                self.unreadable[photo.name] = str(error)
        name, reason = next(iter(self.unreadable.items()))
        raise DataError(
            f"none of the {len(self.photos)} training photos can be decoded ({name}: {reason}). "
            "Fix: check the files of the data set."
        )


class CentreCrops(Dataset[Tensor]):
    """Validation photos, each cut centrally to at most ``side`` pixels (None: whole).

    Items are (3, H, W) uint8 of different sizes, so they are batched one by one.
    """

    def __init__(self, photos: Sequence[Photo], side: int | None = None) -> None:
        self.photos = photos
        self.side = side

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, index: int) -> Tensor:
        photo = self.photos[index]
        try:
            image = _read(photo, lambda photo: photo.decode())
        except UnreadableImageError as error:
            raise DataError(
                f"validation image {photo.name} can no longer be decoded ({error}). "
                "Fix: restore or remove the file and start again."
            ) from error
        height, width = image.shape[:2]
        if self.side is not None:
            h, w = min(height, self.side), min(width, self.side)
            top, left = (height - h) // 2, (width - w) // 2
            image = image[top : top + h, left : left + w]
        return _to_tensor(image)


class DecodedCache:
    """Decoded photos, kept until the cap is reached.

    Nothing is ever evicted: with every photo visited once an epoch, the least recently used one is
    the next to be needed, so a full LRU cache would hit almost never and this one hits for the
    share of the data set that fits.
    """

    def __init__(self, mib: float) -> None:
        self._limit = mib * 2**20
        self._images: dict[Photo, Pixels] = {}
        self._bytes = 0

    @property
    def nbytes(self) -> int:
        """Bytes held by this process."""
        return self._bytes

    def get(self, photo: Photo) -> Pixels:
        """The decoded photo, (H, W, 3); read only. Raises UnreadableImageError."""
        image = self._images.get(photo)
        if image is None:
            image = photo.decode()
            worker = get_worker_info()
            limit = self._limit / (worker.num_workers if worker is not None else 1)
            if self._bytes + image.nbytes <= limit:
                self._images[photo] = image
                self._bytes += image.nbytes
        return image


class Window(NamedTuple):
    """The square of a photo that becomes a crop, in pixels of the photo."""

    top: float
    left: float
    side: float  # the crop's own where nothing is shrunk; then top and left are whole numbers
    mirrored: bool


def draw_window(
    size: tuple[int, int],
    crop: int,
    rng: np.random.Generator,
    downscale: tuple[float, float] = (1.0, 1.0),
    flip: bool = False,
) -> Window:
    """A random window of a photo of ``size`` (height, width), to be shrunk to ``crop`` a side.

    The factor is uniform in ``downscale`` but never shrinks the shorter side below ``crop``.
    """
    height, width = size
    factor = max(rng.uniform(*downscale), crop / min(height, width))
    v, u, coin = rng.random(3)
    mirrored = bool(flip and coin < 0.5)
    # Where the shorter side decides the factor, the quotient may exceed that side by a rounding
    # error.
    side = min(crop / factor, height, width)
    if side <= crop:
        top, left = int(v * (height - crop + 1)), int(u * (width - crop + 1))
        return Window(top, left, crop, mirrored)
    return Window(v * (height - side), u * (width - side), side, mirrored)


def random_crop(
    image: Pixels,
    crop: int,
    rng: np.random.Generator,
    downscale: tuple[float, float] = (1.0, 1.0),
    flip: bool = False,
) -> Pixels:
    """A random (crop, crop, 3) window of ``image`` shrunk by a random factor.

    Shrinking is antialiased bicubic. Only the window is resampled: it is cut out of the original
    with the margin the filter needs, which gives the same pixels as shrinking the whole image.
    """
    height, width = image.shape[:2]
    y, x, side, mirrored = draw_window((height, width), crop, rng, downscale, flip)
    if side == crop:
        top, left = int(y), int(x)
        window = image[top : top + crop, left : left + crop]
    else:
        margin = _BICUBIC_SUPPORT * side / crop + 1
        top, left = max(0, int(y - margin)), max(0, int(x - margin))
        bottom = min(height, int(y + side + margin) + 1)
        right = min(width, int(x + side + margin) + 1)
        patch = Image.fromarray(image[top:bottom, left:right])
        box = (
            x - left,
            y - top,
            min(x - left + side, patch.width),
            min(y - top + side, patch.height),
        )
        window = np.asarray(patch.resize((crop, crop), Image.Resampling.BICUBIC, box=box))
    return window[:, ::-1] if mirrored else window


def _read(photo: Photo, decode: Callable[[Photo], Pixels]) -> Pixels:
    """What ``decode`` makes of a photo, if need be at a later attempt.

    Raises:
        UnreadableImageError: for a file that was read and cannot be decoded.
        DataError: for one that still cannot be read.
    """
    waits = iter(_WAITS)
    while True:
        try:
            return decode(photo)
        except UnreadableImageError as error:
            cause = error.__cause__
            # A decoder that is led beyond the start of a file by what stands in it has EINVAL.
            if not isinstance(cause, OSError) or cause.errno in (None, errno.EINVAL):
                raise
            wait = next(waits, None)
            if wait is None:
                raise DataError(
                    f"{getattr(photo, 'path', photo.name)} can no longer be read ({error}). Fix: "
                    "bring the folder back, and go on from the run's last checkpoint."
                ) from error
        time.sleep(wait)


def _to_tensor(image: Pixels) -> Tensor:
    """(H, W, 3) to a contiguous (3, H, W) tensor that shares no memory with ``image``."""
    return torch.from_numpy(image.transpose(2, 0, 1).copy(order="C"))
