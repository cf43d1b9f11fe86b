"""Mean squared error."""

from __future__ import annotations

from typing import final

from torch import Tensor

from tngexp.losses.base import Distortion, RateDistortionLoss

__all__ = ["MSELoss", "mean_squared_error"]


def mean_squared_error(x: Tensor, x_hat: Tensor) -> Tensor:
    """Mean squared error of each image, (B,)."""
    return (x - x_hat).square().mean((1, 2, 3))


@final
class MSELoss(RateDistortionLoss):
    """D = 255²·MSE, the scale of CompressAI's λ ladder."""

    def distortion(self, x: Tensor, x_hat: Tensor) -> Distortion:
        mse = mean_squared_error(x, x_hat)
        return Distortion(255.0**2 * mse, {"mse": mse})
