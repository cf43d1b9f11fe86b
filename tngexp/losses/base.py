"""L = R + λ·D as a pure function that returns its terms."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor

from tngexp.types import CodecOutput, ConfigError

__all__ = ["Distortion", "LossTerms", "RateDistortionLoss"]


class Distortion(NamedTuple):
    """Distortions of each image; those a loss does not use are None."""

    total: Tensor  # (B,), what λ multiplies
    mse: Tensor  # (B,), on pixels in [0, 1]
    ms_ssim: Tensor | None  # (B,)


class LossTerms(NamedTuple):
    """A loss and what it is made of: batch means, scalars; only ``loss`` needs its gradient."""

    loss: Tensor
    bpp: Tensor
    y_bpp: Tensor
    z_bpp: Tensor
    distortion: Tensor
    mse: Tensor
    ms_ssim: Tensor | None
    lmbda: Tensor


class RateDistortionLoss(ABC):
    """L = (R + λ·D) / λ^balance, R in bits per pixel, averaged over the batch.

    Args:
        lmbda: λ of a fixed-rate model (the rate component reads it from the configuration).
        lmbda_min, lmbda_max: λ range of a variable-rate model.
        balance: exponent of the normalisation over λ. At 0 a batch of many λ is dominated by the
            gradients of the largest one; ½ evens them out.

    Raises:
        ConfigError: for λ ≤ 0.
    """

    min_side = 1
    """Smallest image side the distortion can be computed on, in pixels."""

    def __init__(
        self, lmbda: float, lmbda_min: float, lmbda_max: float, balance: float = 0.0
    ) -> None:
        for name, value in (("lmbda", lmbda), ("lmbda_min", lmbda_min), ("lmbda_max", lmbda_max)):
            if not value > 0:
                raise ConfigError(
                    f"loss.{name} must be positive, not {value}: λ multiplies the distortion, "
                    "so at λ ≤ 0 the best codec sends nothing"
                )
        self.balance = balance

    def __call__(self, output: CodecOutput, x: Tensor, lmbda: Tensor) -> LossTerms:
        """The terms for images ``x`` (B, 3, H, W) in [0, 1] and λ (B,) or a scalar."""
        with torch.autocast(device_type=x.device.type, enabled=False):
            pixels = x.shape[-2] * x.shape[-1]
            y_bpp = output.y_bits.flatten(1).sum(1) / pixels
            z_bpp = torch.zeros_like(y_bpp)
            if output.z_bits is not None:
                z_bpp = output.z_bits.flatten(1).sum(1) / pixels
            distortion = self.distortion(x.float(), output.x_hat.float())
            bpp = y_bpp + z_bpp
            loss = (bpp + lmbda * distortion.total) / lmbda**self.balance
            ms_ssim = distortion.ms_ssim
            return LossTerms(
                loss.mean(),
                bpp.mean().detach(),
                y_bpp.mean().detach(),
                z_bpp.mean().detach(),
                distortion.total.mean().detach(),
                distortion.mse.mean().detach(),
                None if ms_ssim is None else ms_ssim.mean().detach(),
                lmbda.mean().detach(),
            )

    @abstractmethod
    def distortion(self, x: Tensor, x_hat: Tensor) -> Distortion:
        """Distortions of float32 images (B, 3, H, W) in [0, 1]; ``x_hat`` may overshoot."""
