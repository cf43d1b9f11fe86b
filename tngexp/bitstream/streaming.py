"""Transforms over images too large for memory, a window at a time.

Convolutional transforms look a bounded distance away. A window with a margin of that distance
gives, inside the margin, what the whole image would have given; so there are no seams to hide and
nothing is coded twice, unlike with overlapping tiles that are blended.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from tngexp.bitstream.painting import Painter
from tngexp.bitstream.progress import Share, part
from tngexp.rate.base import Rate
from tngexp.transforms.reach import measure_reach
from tngexp.types import ConfigError, Transform

__all__ = ["analyse", "synthesise"]

_SIDE = 120
"""Latent positions of a window's side, margins included: 1,920 pixels at stride 16."""


class _Span(NamedTuple):
    """Latent positions along one axis: those a window contributes, and all that it computes."""

    start: int
    stop: int
    first: int  # start less the margin, within the latent
    last: int


@torch.no_grad()
def analyse(
    transform: Transform,
    rate: Rate,
    rgb: Tensor,
    stride: int,
    quality: Tensor | None,
    progress: Share | None = None,
) -> Tensor:
    """The scaled latent (1, M, h, w), on the CPU, of a uint8 image (3, H, W).

    The image is padded to multiples of ``stride`` by repeating its border.

    Raises:
        ConfigError: if the image takes windows and the transform cannot be computed in windows.
    """
    unit = transform.stride
    height, width = (-(-size // stride) * stride for size in rgb.shape[-2:])
    rows, columns = height // unit, width // unit
    device = next(transform.parameters()).device
    y = torch.empty(1, transform.latent_channels, rows, columns)
    windows, report = list(_windows(transform, rows, columns)), part(progress, 0, 1)
    for number, ((top, bottom, top_, bottom_), (left, right, left_, right_)) in enumerate(windows):
        window = _crop_padded(rgb, top_ * unit, bottom_ * unit, left_ * unit, right_ * unit)
        x = window.to(device).unsqueeze(0).float() / 255
        x = x.contiguous(memory_format=torch.channels_last)
        scaled = rate.scale(transform.analysis(x), quality)
        y[:, :, top:bottom, left:right] = scaled[
            :, :, top - top_ : bottom - top_, left - left_ : right - left_
        ].float()
        report((number + 1) / len(windows))
    return y


@torch.no_grad()
def synthesise(
    transform: Transform,
    rate: Rate,
    y_hat: Tensor,
    height: int,
    width: int,
    quality: Tensor | None,
    progress: Share | None = None,
    *,
    painter: Painter | None = None,
    field: Tensor | None = None,
) -> Tensor:
    """The uint8 image (3, height, width) of a decoded latent (1, M, h, w).

    Args:
        transform: of the codec.
        rate: likewise.
        y_hat: the latent.
        height: of the image.
        width: of the image.
        quality: the latent's.
        progress: told which share of the work is done.
        painter: paints instead of the transform's synthesis, and sees as far as it.
        field: of the noise that ``painter`` adds, (1, channels, h, w).

    Raises:
        ConfigError: if the image takes windows and the transform cannot be computed in windows.
    """
    unit = transform.stride
    synthesis, noise = painter or Painter(transform.synthesis, None)
    rows, columns = y_hat.shape[-2:]
    device = next(transform.parameters()).device
    rgb = torch.empty(3, height, width, dtype=torch.uint8)
    windows, report = list(_windows(transform, rows, columns)), part(progress, 0, 1)
    for number, ((top, bottom, top_, bottom_), (left, right, left_, right_)) in enumerate(windows):
        report(number / len(windows))
        seen = (..., slice(top_, bottom_), slice(left_, right_))
        window = y_hat[seen].to(device)
        if noise is not None and field is not None:
            window = noise(window, field[seen])
        window = rate.unscale(window, quality)
        x_hat = synthesis(window.contiguous(memory_format=torch.channels_last))[0]
        x_hat = x_hat[
            :,
            (top - top_) * unit : (bottom - top_) * unit,
            (left - left_) * unit : (right - left_) * unit,
        ]
        y1, x1 = min(bottom * unit, height), min(right * unit, width)
        if y1 <= top * unit or x1 <= left * unit:
            continue  # padding only
        x_hat = x_hat[:, : y1 - top * unit, : x1 - left * unit]
        pixels = x_hat.float().clamp(0, 1).mul_(255).round_().to(torch.uint8)
        rgb[:, top * unit : y1, left * unit : x1] = pixels.cpu()
    report(1)
    return rgb


def _windows(transform: Transform, rows: int, columns: int) -> Iterator[tuple[_Span, _Span]]:
    # An image of one window needs no reach: even a transform that sees everything codes it.
    halo = _reach(transform) if max(rows, columns) > _SIDE else 0
    for vertical in _spans(rows, halo):
        for horizontal in _spans(columns, halo):
            yield vertical, horizontal


def _spans(length: int, halo: int) -> list[_Span]:
    if length <= _SIDE:
        return [_Span(0, length, 0, length)]
    step = _contributed(halo)
    return [
        _Span(start, stop, max(start - halo, 0), min(stop + halo, length))
        for start in range(0, length, step)
        for stop in [min(start + step, length)]
    ]


def _contributed(halo: int) -> int:
    """Latent positions a window contributes per axis.

    Margins are computed twice. Up to a reach of 20 a window keeps the size that images without
    windows may have; beyond, it grows, so that the work stays below (6/4)² of the image's own.
    """
    return max(_SIDE - 2 * halo, 4 * halo)


def _reach(transform: Transform) -> int:
    """The transform's reach; measured once where it does not declare one."""
    reach = transform.reach
    if reach is None:
        try:
            reach = transform.reach = measure_reach(transform)
        except ConfigError as error:
            raise ConfigError(
                f"{error}. Images above {_SIDE * transform.stride} pixels a side are coded in "
                "windows, which only a transform of limited reach allows: set `reach` in its "
                "__init__ to the latent positions it sees per side, or code smaller images"
            ) from error
    if isinstance(reach, bool) or not isinstance(reach, int) or reach < 0:
        raise ConfigError(
            f"{type(transform).__name__}: `reach` must be a whole number of latent positions, "
            f"0 or more, not {reach!r}; set it in its __init__, or to None to have it measured"
        )
    return reach


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
