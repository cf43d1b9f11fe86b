"""Files of a wanted size or fidelity from a variable-rate codec, by bisection on the quality."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from tngexp.bitstream import ImageCodec
from tngexp.bitstream.progress import Share, part
from tngexp.coding import index_to_quality
from tngexp.metrics import ms_ssim, psnr
from tngexp.pixels import Picture, Source, to_picture
from tngexp.types import MS_SSIM_MIN_SIDE, ConfigError, TngexpError

__all__ = ["Target", "compress_to"]

Target = Literal["bpp", "psnr", "ms_ssim"]
_FINEST = 255  # a file says its quality in one byte
_CODINGS = 10  # at most: both ends, and the halvings between them
_UNITS = {"bpp": "bpp", "psnr": "dB PSNR", "ms_ssim": "MS-SSIM"}


def compress_to(
    codec: ImageCodec,
    image: Source,
    target: Target,
    value: float,
    *,
    exact: bool = False,
    progress: Share | None = None,
) -> bytes:
    """The best file of at most ``value`` bits per pixel, or the smallest that is good enough.

    Takes ten codings at most, with a decoding each for a fidelity.

    Args:
        codec: of variable rate, in evaluation mode.
        image: what to code: whatever ``codec.compress`` takes.
        target: ``"bpp"`` of the whole file, ``"psnr"`` in dB or ``"ms_ssim"`` as a number in 0 … 1,
            both of 8-bit RGB and of what is seen: the squared error is weighted by alpha, and
            MS-SSIM is measured over white.
        value: the target.
        exact: keep the colours that alpha hides, and measure them like the others.
        progress: told which share of the codings is done, at most.

    Raises:
        ConfigError: for a codec of one fixed rate, or an image too small for MS-SSIM.
        TngexpError: when no quality reaches the target.
    """
    if not codec.model.rate.variable:
        raise ConfigError("a target needs a variable-rate model; this model has one fixed rate")
    picture = to_picture(image, exact)
    height, width = picture.rgb.shape[-2:]
    if target == "ms_ssim" and min(width, height) < MS_SSIM_MIN_SIDE:
        raise ConfigError(
            f"MS-SSIM is not defined for a shorter side below {MS_SSIM_MIN_SIDE} pixels; this "
            f"image has {width}×{height}"
        )
    measure = _measure(codec, picture._replace(alpha=None) if exact else picture, target)
    codings = (part(progress, n / _CODINGS, (n + 1) / _CODINGS) for n in range(_CODINGS))
    size = target == "bpp"
    # The end that is sure to be good enough, where any quality is.
    good, bad = (0, _FINEST) if size else (_FINEST, 0)
    best, reached = _code(codec, picture, good, measure, next(codings))
    if not _meets(reached, value, size):
        raise TngexpError(
            f"this model cannot reach {value:g} {_UNITS[target]} on this image: its "
            f"{'smallest' if size else 'best'} file has {reached:.4g}"
        )
    data, reached = _code(codec, picture, bad, measure, next(codings))
    if _meets(reached, value, size):
        return data
    while abs(good - bad) > 1:
        middle = (good + bad) // 2
        data, reached = _code(codec, picture, middle, measure, next(codings))
        if _meets(reached, value, size):
            good, best = middle, data
        else:
            bad = middle
    return best


def _code(
    codec: ImageCodec,
    picture: Picture,
    index: int,
    measure: Callable[[bytes], float],
    progress: Share,
) -> tuple[bytes, float]:
    data = codec.compress(picture, index_to_quality(index), progress=progress)
    return data, measure(data)


def _meets(reached: float, value: float, size: bool) -> bool:
    return reached <= value if size else reached >= value


def _measure(codec: ImageCodec, picture: Picture, target: Target) -> Callable[[bytes], float]:
    height, width = picture.rgb.shape[-2:]
    if target == "bpp":
        return lambda data: 8 * len(data) / (width * height)
    seen = _seen_psnr if target == "psnr" else _seen_ms_ssim
    return lambda data: seen(picture, to_picture(codec.decompress(data), exact=True).rgb)


def _seen_psnr(picture: Picture, decoded: Tensor) -> float:
    """In dB; infinite where nothing is to be seen."""
    x, x_hat = _unit(picture.rgb), _unit(decoded)
    if picture.alpha is None:
        return float(psnr(x, x_hat))
    weight = torch.from_numpy(picture.alpha).float()
    error = (x - x_hat).square().mean(1)[0]
    return float(-10 * torch.log10((error * weight).sum() / weight.sum().clamp(min=1)))


def _seen_ms_ssim(picture: Picture, decoded: Tensor) -> float:
    x, x_hat = _unit(picture.rgb), _unit(decoded)
    if picture.alpha is not None:
        weight = torch.from_numpy(picture.alpha).float() / 255
        x, x_hat = (weight * y + (1 - weight) for y in (x, x_hat))
    return float(ms_ssim(x, x_hat))


def _unit(rgb: Tensor) -> Tensor:
    """(1, 3, H, W) in 0 … 1 of (3, H, W), uint8."""
    return rgb.unsqueeze(0).float() / 255
