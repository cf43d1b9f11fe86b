"""One validation image: what a codec makes of it, in figures and pixels."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from tngexp.losses import LossTerms, RateDistortionLoss
from tngexp.metrics import ms_ssim, psnr
from tngexp.model.codec import Codec

__all__ = ["ImageResult", "image_scalars", "to_float", "validate"]


class ImageResult(NamedTuple):
    """One validation image at one quality."""

    quality: float | None  # None for a codec of one fixed rate
    loss: float | None  # None where the image is too small for the distortion
    bpp: float
    y_bpp: float
    z_bpp: float
    distortion: float | None
    terms: dict[str, float]  # of the distortion, by name; empty where it is None
    lmbda: float
    psnr_db: float
    ms_ssim: float  # NaN where the image is too small to measure
    x: Tensor  # (3, H, W) in [0, 1], float32
    x_hat: Tensor  # (3, H, W) in [0, 1], float32
    y_bits: Tensor  # (M,), bits of each latent channel; none behind another codec


def validate(codec: Codec, loss: RateDistortionLoss, x: Tensor, q: float | None) -> ImageResult:
    """What ``codec`` makes of an image (1, 3, H, W) in [0, 1] at quality ``q``, rates estimated."""
    quality = None if q is None else torch.full((1,), q, device=x.device)
    output = codec(x, quality)
    measurable = min(x.shape[-2:]) >= loss.min_side
    terms: LossTerms | None = loss(output, x, quality) if measurable else None
    pixels = x.shape[-2] * x.shape[-1]
    z_bits = 0.0 if output.z_bits is None else float(output.z_bits.sum())
    x_hat = output.x_hat.float().clamp(0, 1)
    # In bf16 the variances of MS-SSIM would drown in rounding.
    with torch.autocast(x.device.type, enabled=False):
        psnr_db, similarity = float(psnr(x, x_hat)), float(ms_ssim(x, x_hat))
    return ImageResult(
        quality=q,
        loss=None if terms is None else float(terms.loss),
        bpp=float(output.bpp()),
        y_bpp=float(output.y_bits.sum()) / pixels,
        z_bpp=z_bits / pixels,
        distortion=None if terms is None else float(terms.distortion),
        terms={} if terms is None else {k: float(v) for k, v in terms.terms.items()},
        lmbda=float(loss.lmbda(quality).mean()),
        psnr_db=psnr_db,
        ms_ssim=similarity,
        x=x[0],
        x_hat=x_hat[0],
        y_bits=output.y_bits[0].float().flatten(1).sum(1),
    )


def image_scalars(result: ImageResult) -> dict[str, float]:
    """The measurable figures of one validation image, by the name they are logged under."""
    # In place of the loss's own mse and ms_ssim stand the exact measures.
    values: dict[str, float | None] = {k: v for k, v in result.terms.items() if k != "mse"}
    names = ("loss", "bpp", "y_bpp", "z_bpp", "distortion", "lmbda", "ms_ssim")
    values |= {name: getattr(result, name) for name in names}
    values["psnr"] = result.psnr_db
    return {k: v for k, v in values.items() if v is not None and not math.isnan(v)}


def to_float(batch: Tensor) -> Tensor:
    """uint8 images as float32 in [0, 1]; float images unchanged."""
    return batch if batch.is_floating_point() else batch.float() / 255
