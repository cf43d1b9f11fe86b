"""Full-reference image metrics with the field's conventions.

All are measured on 8-bit rounded RGB, per image; averaging over images comes after.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from tngexp.types import MS_SSIM_MIN_SIDE, ConfigError

__all__ = ["check_ms_ssim_side", "ms_ssim", "ms_ssim_db", "psnr", "round_to_8_bit"]


def round_to_8_bit(x: Tensor) -> Tensor:
    """Images in [0, 1] clamped and rounded to multiples of 1/255, as a file would hold them."""
    return (x.clamp(0, 1) * 255).round() / 255


def psnr(x: Tensor, x_hat: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB of each image, (B,); inputs (B, 3, H, W) in [0, 1].

    Infinite for identical images.
    """
    error = round_to_8_bit(x.float()) - round_to_8_bit(x_hat.float())
    return -10 * torch.log10(error.square().flatten(1).mean(1))


def ms_ssim(x: Tensor, x_hat: Tensor) -> Tensor:
    """Multi-scale structural similarity of each image, (B,) (Wang et al. 2003, with piq).

    Implementations differ in how they halve odd sizes (piq repeats the border, pytorch-msssim
    pads with zeros: some 1e-4); sides that are multiples of 16 have none.

    NaN where the shorter side is under :data:`tngexp.types.MS_SSIM_MIN_SIDE`: not measurable.
    """
    if min(x.shape[-2:]) < MS_SSIM_MIN_SIDE:
        return x.new_full((x.shape[0],), math.nan)
    # piq costs a second to import, which a codec in use should not pay.
    from piq import multi_scale_ssim

    value: Tensor = multi_scale_ssim(
        round_to_8_bit(x.float()), round_to_8_bit(x_hat.float()), data_range=1.0, reduction="none"
    )
    return value.flatten()


def check_ms_ssim_side(height: int, width: int) -> None:
    """See that :func:`ms_ssim` of an image of so many pixels is a number.

    Raises:
        ConfigError: if it would be NaN.
    """
    if min(height, width) < MS_SSIM_MIN_SIDE:
        raise ConfigError(
            f"MS-SSIM is not defined for a shorter side below {MS_SSIM_MIN_SIDE} pixels; this "
            f"image has {width}×{height}"
        )


def ms_ssim_db(value: Tensor) -> Tensor:
    """MS-SSIM on a scale where differences near 1 show: −10·log10(1 − value)."""
    return -10 * torch.log10(1 - value)
