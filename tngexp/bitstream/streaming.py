"""Transforms over images too large for memory, a window at a time.

Convolutional transforms look a bounded distance away. A window with a margin of that distance
gives, inside the margin, what the whole image would have given; so there are no seams to hide and
nothing is coded twice, unlike with overlapping tiles that are blended.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from tngexp.rate.base import Rate
from tngexp.types import Transform

__all__ = ["HALO", "analyse", "synthesise"]

HALO = 12
"""Margin in latent positions; the widest transform (attention) reaches 11. A test measures it."""

_WINDOW = 96  # latent positions a window contributes, 1536 pixels: 1.5 × work for its halo


@torch.no_grad()
def analyse(
    transform: Transform, rate: Rate, rgb: Tensor, stride: int, quality: Tensor | None
) -> Tensor:
    """The scaled latent (1, M, h, w), on the CPU, of a uint8 image (3, H, W).

    The image is padded to multiples of ``stride`` by repeating its border.
    """
    unit = transform.stride
    height, width = (-(-size // stride) * stride for size in rgb.shape[-2:])
    rows, columns = height // unit, width // unit
    device = next(transform.parameters()).device
    y = torch.empty(1, transform.latent_channels, rows, columns)
    for (top, bottom), (left, right) in _windows(rows, columns):
        (top_, bottom_), (left_, right_) = (
            _with_halo(top, bottom, rows),
            _with_halo(left, right, columns),
        )
        window = _crop_padded(rgb, top_ * unit, bottom_ * unit, left_ * unit, right_ * unit)
        x = window.to(device).unsqueeze(0).float() / 255
        x = x.contiguous(memory_format=torch.channels_last)
        part = rate.scale(transform.analysis(x), quality)
        y[:, :, top:bottom, left:right] = part[
            :, :, top - top_ : bottom - top_, left - left_ : right - left_
        ].float()
    return y


@torch.no_grad()
def synthesise(
    transform: Transform,
    rate: Rate,
    y_hat: Tensor,
    height: int,
    width: int,
    quality: Tensor | None,
) -> Tensor:
    """The uint8 image (3, height, width) of a decoded latent (1, M, h, w)."""
    unit = transform.stride
    rows, columns = y_hat.shape[-2:]
    device = next(transform.parameters()).device
    rgb = torch.empty(3, height, width, dtype=torch.uint8)
    for (top, bottom), (left, right) in _windows(rows, columns):
        (top_, bottom_), (left_, right_) = (
            _with_halo(top, bottom, rows),
            _with_halo(left, right, columns),
        )
        window = rate.unscale(y_hat[:, :, top_:bottom_, left_:right_].to(device), quality)
        x_hat = transform.synthesis(window.contiguous(memory_format=torch.channels_last))[0]
        x_hat = x_hat[
            :,
            (top - top_) * unit : (bottom - top_) * unit,
            (left - left_) * unit : (right - left_) * unit,
        ]
        y1, x1 = min(bottom * unit, height), min(right * unit, width)
        if y1 <= top * unit or x1 <= left * unit:
            continue  # padding only
        x_hat = x_hat[:, : y1 - top * unit, : x1 - left * unit]
        pixels = (x_hat.float().clamp(0, 1) * 255).round().to(torch.uint8)
        rgb[:, top * unit : y1, left * unit : x1] = pixels.cpu()
    return rgb


def _windows(rows: int, columns: int) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    for vertical in _spans(rows):
        for horizontal in _spans(columns):
            yield vertical, horizontal


def _spans(length: int) -> list[tuple[int, int]]:
    if length <= _WINDOW + 2 * HALO:  # one window then costs no more than any other
        return [(0, length)]
    return [(start, min(start + _WINDOW, length)) for start in range(0, length, _WINDOW)]


def _with_halo(start: int, stop: int, length: int) -> tuple[int, int]:
    return max(start - HALO, 0), min(stop + HALO, length)


def _crop_padded(rgb: Tensor, top: int, bottom: int, left: int, right: int) -> Tensor:
    """Rows and columns of the image, its border repeated where it has none."""
    height, width = rgb.shape[-2:]
    top_, left_ = min(top, height - 1), min(left, width - 1)
    part = rgb[:, top_ : min(bottom, height), left_ : min(right, width)]
    below, beside = bottom - top_ - part.shape[-2], right - left_ - part.shape[-1]
    if below or beside:
        part = F.pad(part.unsqueeze(0).float(), (0, beside, 0, below), mode="replicate")[0]
        part = part[:, top - top_ :, left - left_ :]
    return part
