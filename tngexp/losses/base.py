"""L = R + λ·D, which returns its terms; λ is the loss's own."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from tngexp.types import CodecOutput, ConfigError

__all__ = ["Distortion", "LossTerms", "RateDistortionLoss"]


class Distortion(NamedTuple):
    """Distortions of each image, by name: an open set."""

    total: Tensor  # (B,), what λ multiplies
    terms: Mapping[str, Tensor]  # each (B,); "mse" on pixels in [0, 1], "ms_ssim", …


class LossTerms(NamedTuple):
    """A loss and what it is made of: batch means, scalars; only ``loss`` has a gradient."""

    loss: Tensor
    bpp: Tensor
    y_bpp: Tensor
    z_bpp: Tensor
    distortion: Tensor
    lmbda: Tensor
    terms: dict[str, Tensor]  # of the distortion, by name

    def scalars(self) -> dict[str, Tensor]:
        """All of them by the name they are logged under; a term does not hide a field."""
        fields = self._asdict()
        return {**fields.pop("terms"), **fields}


class RateDistortionLoss(nn.Module, ABC):
    """L = (R + λ·D) / λ^balance, R in bits per pixel, averaged over the batch.

    λ has no other place: the codec knows levels and gains, the loss what they are trained for. A
    module, so that a network inside of a distortion follows the device; what such a network knows
    is no part of a checkpoint unless it is trained.

    Args:
        lmbda: λ of a fixed-rate model.
        lmbda_min, lmbda_max: λ range of a variable-rate model, from quality 0 to 1.
        balance: exponent of the normalisation over λ. At 0 a batch of many λ is dominated by the
            gradients of the largest one; ½ evens them out.

    Raises:
        ConfigError: for λ ≤ 0 or an empty range.
    """

    min_side = 1
    """Smallest image side the distortion can be computed on, in pixels."""

    def __init__(
        self, lmbda: float, lmbda_min: float, lmbda_max: float, balance: float = 0.0
    ) -> None:
        super().__init__()
        for name, value in (("lmbda", lmbda), ("lmbda_min", lmbda_min), ("lmbda_max", lmbda_max)):
            if not value > 0:
                raise ConfigError(
                    f"loss.{name} must be positive, not {value}: λ multiplies the distortion, "
                    "so at λ ≤ 0 the best codec sends nothing"
                )
        if not lmbda_min < lmbda_max:
            raise ConfigError(
                f"loss.lmbda_min={lmbda_min} must be below loss.lmbda_max={lmbda_max}: they are "
                "the λ of the lowest and the highest quality"
            )
        self.fixed_lmbda = float(lmbda)
        self.lmbda_min = float(lmbda_min)
        self.lmbda_max = float(lmbda_max)
        self.balance = balance

    def lmbda(self, quality: Tensor | None) -> Tensor:
        """λ_min·(λ_max/λ_min)^quality, (B,), for a (B,) quality; the fixed λ, a scalar, for None.

        Equal steps of quality are equal steps of rate at high rates, hence the geometric scale.
        """
        if quality is None:
            return torch.tensor(self.fixed_lmbda)
        low, high = math.log(self.lmbda_min), math.log(self.lmbda_max)
        return torch.exp(low + quality * (high - low))

    def at(self, progress: float) -> None:
        """Be told, before each training step, how much of the run is over: 0 … 1.

        For a distortion that changes over a run. In evaluation mode a loss is what it is in the
        end, so that validations of one run can be compared.
        """

    def forward(self, output: CodecOutput, x: Tensor, quality: Tensor | None) -> LossTerms:
        """The terms of what a codec made of images ``x`` at ``quality``.

        Args:
            output: of the codec.
            x: (B, 3, H, W) in [0, 1].
            quality: (B,) in [0, 1]; None for a fixed rate.
        """
        with torch.autocast(device_type=x.device.type, enabled=False):
            lmbda = self.lmbda(quality)
            pixels = x.shape[-2] * x.shape[-1]
            y_bpp = output.y_bits.flatten(1).sum(1) / pixels
            z_bpp = torch.zeros_like(y_bpp)
            if output.z_bits is not None:
                z_bpp = output.z_bits.flatten(1).sum(1) / pixels
            distortion = self.distortion(x.float(), output.x_hat.float())
            bpp = y_bpp + z_bpp
            loss = (bpp + lmbda * distortion.total) / lmbda**self.balance
            return LossTerms(
                loss.mean(),
                bpp.mean().detach(),
                y_bpp.mean().detach(),
                z_bpp.mean().detach(),
                distortion.total.mean().detach(),
                lmbda.mean().detach(),
                {name: term.mean().detach() for name, term in distortion.terms.items()},
            )

    @abstractmethod
    def distortion(self, x: Tensor, x_hat: Tensor) -> Distortion:
        """Distortions of float32 images (B, 3, H, W) in [0, 1]; ``x_hat`` may overshoot."""
