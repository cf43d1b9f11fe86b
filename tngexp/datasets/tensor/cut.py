"""Crops of a whole batch out of one tensor of pixels, on the device that holds it.

The windows are those of ``data=folder`` (:func:`tngexp.datasets.crops.draw_window`), and so is the
filter: Pillow's antialiased bicubic, columns first, rounded to 8 bits in between. Only its weights
are coarser, multiples of 2⁻¹⁵ where Pillow's are of 2⁻²², so a value may differ by one grey level.
With them every product and partial sum is exact in float32: all devices cut the same pixels.

``torch.nn.functional.interpolate`` has this filter as well, but for one window at a time and with
whole corners.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from tngexp.datasets.crops import CropDataset, draw_window
from tngexp.datasets.sampler import EndlessBatches
from tngexp.datasets.tensor.file import StoredPhoto

__all__ = ["BatchCrops", "cut", "span_of"]

_GRID = 2.0**15  # 255 · Σ|w| · 2¹⁵ < 2²⁴ for the weights w of a pixel, whose Σ|w| is at most 1.25
_SUPPORT = 2.0  # source pixels the filter reaches at scale 1


class BatchCrops(IterableDataset[Tensor]):
    """An endless stream of batches of random crops, (B, 3, crop, crop) uint8, on a device.

    The samples are those of ``crops``, by their numbers. Little but numbers goes to the device:
    a few for each sample.

    Args:
        crops: says which photo and which window a sample is.
        photos: those of ``crops``.
        pixels: (P, 3) uint8 of the photos' file, on the device.
        batches: of sample numbers.
    """

    def __init__(
        self,
        crops: CropDataset,
        photos: tuple[StoredPhoto, ...],
        pixels: Tensor,
        batches: EndlessBatches,
    ) -> None:
        self.crops = crops
        self.photos = photos
        self.pixels = pixels
        self.batches = batches
        longest = max(max(photo.height, photo.width) for photo in photos)
        self.span = min(span_of(crops.crop, crops.downscale[0]), longest)

    def __iter__(self) -> Iterator[Tensor]:
        device = self.pixels.device
        for numbers in self.batches:
            windows = torch.from_numpy(np.array([self._window(number) for number in numbers]))
            if device.type == "cuda":  # without waiting for what the device has to do before
                windows = windows.pin_memory().to(device, non_blocking=True)
            yield cut(self.pixels, windows, self.crops.crop, self.span)

    def _window(self, number: int) -> tuple[float, ...]:
        crops = self.crops
        photo = self.photos[crops.photo_number(number)]
        rng = np.random.default_rng([crops.seed, number])
        size = (photo.height, photo.width)
        window = draw_window(size, crops.crop, rng, crops.downscale, crops.flip)
        return (photo.offset, *size, *window)


def span_of(crop: int, smallest: float) -> int:
    """Pixels a side of a photo that a crop may depend on, if shrunk by ``smallest`` at least."""
    return math.ceil((crop + 2 * _SUPPORT) / smallest) + 2


def cut(pixels: Tensor, windows: Tensor, crop: int, span: int) -> Tensor:
    """The windows of photos, shrunk to crops (B, 3, crop, crop) uint8.

    Args:
        pixels: (P, 3) uint8, photos row by row.
        windows: (B, 7) float64 on the same device: first pixel, height and width of the photo, then
            a :class:`~tngexp.datasets.crops.Window`.
        crop: side of a crop.
        span: see :func:`span_of`; less will do where all photos are smaller.
    """
    offset, height, width, top, left, side, mirrored = windows.T
    rows, down = _taps(top, side, height, crop, span)
    columns, across = _taps(left, side, width, crop, span)
    across = torch.where(mirrored[:, None, None] > 0, across.flip(1), across)
    first = offset.long()[:, None] + rows * width.long()[:, None]  # (B, span), of each row
    patch = pixels[first[:, :, None] + columns[:, None]]  # (B, span, span, 3)
    lines = patch.transpose(2, 3).float().flatten(1, 2)  # (B, span·3, span)
    # Autocast would multiply in 16 bits.
    with torch.autocast(pixels.device.type, enabled=False):
        narrow = _levels(lines @ across.mT)  # (B, span·3, crop)
        crops = _levels(down @ narrow.unflatten(1, (span, 3)).flatten(2))  # (B, crop, 3·crop)
    return crops.to(torch.uint8).unflatten(2, (3, crop)).transpose(1, 2).contiguous()


def _taps(
    start: Tensor, side: Tensor, length: Tensor, crop: int, span: int
) -> tuple[Tensor, Tensor]:
    """Along one axis the pixels that crops are made of, (B, span) int64, and their weights,
    (B, crop, span) float32, for windows of ``side`` from ``start`` in photos of ``length``, (B,).

    Weights beyond the photo are 0 and the others then sum to one, as in Pillow; a pixel there is
    the last one instead.
    """
    scale = (side / crop)[:, None]
    first = (start[:, None] - _SUPPORT * scale).floor().clamp(min=0)
    places = first + torch.arange(span, device=start.device)  # (B, span)
    centres = start[:, None] + (torch.arange(crop, device=start.device) + 0.5) * scale  # (B, crop)
    weights = _bicubic((places[:, None] + 0.5 - centres[:, :, None]) / scale[:, :, None])
    weights = weights * (places < length[:, None])[:, None]
    weights = weights / weights.sum(2, keepdim=True)
    exact = ((weights * _GRID).round() / _GRID).float()
    return places.minimum(length[:, None] - 1).long(), exact


def _bicubic(t: Tensor) -> Tensor:
    """Keys' (1981) cubic convolution with a = −½, the one that Pillow calls bicubic."""
    t = t.abs()
    near = (1.5 * t - 2.5) * t * t + 1
    far = ((-0.5 * t + 2.5) * t - 4) * t + 2
    return torch.where(t < 1, near, torch.where(t < 2, far, 0.0))


def _levels(values: Tensor) -> Tensor:
    """Rounded to grey levels 0 … 255."""
    return (values + 0.5).floor().clamp(0, 255)
