"""Files of a wanted size or fidelity from a variable-rate codec, by bisection on the quality."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from tngexp.bitstream import ImageCodec
from tngexp.coding import index_to_quality
from tngexp.metrics import ms_ssim, psnr
from tngexp.types import MS_SSIM_MIN_SIDE, ConfigError, TngexpError

__all__ = ["Target", "compress_to"]

Target = Literal["bpp", "psnr", "ms_ssim"]
_FINEST = 255  # a file says its quality in one byte
_UNITS = {"bpp": "bpp", "psnr": "dB PSNR", "ms_ssim": "MS-SSIM"}


def compress_to(codec: ImageCodec, image: Image.Image, target: Target, value: float) -> bytes:
    """The best file of at most ``value`` bits per pixel, or the smallest that is good enough.

    Takes ten codings at most, with a decoding each for a fidelity.

    Args:
        codec: of variable rate, in evaluation mode.
        image: what to code.
        target: ``"bpp"`` of the whole file, ``"psnr"`` in dB or ``"ms_ssim"`` as a number in 0 … 1,
            both of 8-bit RGB.
        value: the target.

    Raises:
        ConfigError: for a codec of one fixed rate, or an image too small for MS-SSIM.
        TngexpError: when no quality reaches the target.
    """
    if not codec.model.rate.variable:
        raise ConfigError("a target needs a variable-rate model; this model has one fixed rate")
    if target == "ms_ssim" and min(image.size) < MS_SSIM_MIN_SIDE:
        raise ConfigError(
            f"MS-SSIM is not defined for a shorter side below {MS_SSIM_MIN_SIDE} pixels; this "
            f"image has {image.width}×{image.height}"
        )
    measure = _measure(codec, image, target)
    size = target == "bpp"
    # The end that is sure to be good enough, where any quality is.
    good, bad = (0, _FINEST) if size else (_FINEST, 0)
    best, reached = _code(codec, image, good, measure)
    if not _meets(reached, value, size):
        raise TngexpError(
            f"this model cannot reach {value:g} {_UNITS[target]} on this image: its "
            f"{'smallest' if size else 'best'} file has {reached:.4g}"
        )
    data, reached = _code(codec, image, bad, measure)
    if _meets(reached, value, size):
        return data
    while abs(good - bad) > 1:
        middle = (good + bad) // 2
        data, reached = _code(codec, image, middle, measure)
        if _meets(reached, value, size):
            good, best = middle, data
        else:
            bad = middle
    return best


def _code(
    codec: ImageCodec, image: Image.Image, index: int, measure: Callable[[bytes], float]
) -> tuple[bytes, float]:
    data = codec.compress(image, index_to_quality(index))
    return data, measure(data)


def _meets(reached: float, value: float, size: bool) -> bool:
    return reached <= value if size else reached >= value


def _measure(codec: ImageCodec, image: Image.Image, target: Target) -> Callable[[bytes], float]:
    if target == "bpp":
        return lambda data: 8 * len(data) / (image.width * image.height)
    metric, x = (psnr if target == "psnr" else ms_ssim), _tensor(image)
    return lambda data: float(metric(x, _tensor(codec.decompress(data))))


def _tensor(image: Image.Image) -> Tensor:
    pixels = torch.from_numpy(np.array(image.convert("RGB")))
    return pixels.permute(2, 0, 1).unsqueeze(0).float() / 255
