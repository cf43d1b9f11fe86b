"""Both: pixels and structure."""

from __future__ import annotations

from typing import final

from torch import Tensor

from tngexp.losses.base import Distortion, RateDistortionLoss
from tngexp.losses.mse import mean_squared_error
from tngexp.losses.msssim import differentiable_ms_ssim
from tngexp.types import MS_SSIM_MIN_SIDE, ConfigError

__all__ = ["MixedLoss"]


@final
class MixedLoss(RateDistortionLoss):
    """D = msssim_weight·(1 − MS-SSIM) + mse_weight·255²·MSE.

    Raises:
        ConfigError: for a negative weight, or two zeros.
    """

    min_side = MS_SSIM_MIN_SIDE

    def __init__(
        self,
        lmbda: float,
        lmbda_min: float,
        lmbda_max: float,
        mse_weight: float,
        msssim_weight: float,
        balance: float = 0.0,
    ) -> None:
        super().__init__(lmbda, lmbda_min, lmbda_max, balance)
        if min(mse_weight, msssim_weight) < 0 or mse_weight + msssim_weight == 0:
            raise ConfigError(
                "loss.mse_weight and loss.msssim_weight must not be negative nor both zero, "
                f"not {mse_weight} and {msssim_weight}"
            )
        self.mse_weight = mse_weight
        self.msssim_weight = msssim_weight

    def distortion(self, x: Tensor, x_hat: Tensor) -> Distortion:
        mse = mean_squared_error(x, x_hat)
        similarity = differentiable_ms_ssim(x, x_hat)
        total = self.msssim_weight * (1 - similarity) + self.mse_weight * 255.0**2 * mse
        return Distortion(total, {"mse": mse, "ms_ssim": similarity})
