"""Multi-scale structural similarity."""

from __future__ import annotations

from typing import final

from torch import Tensor

from tngexp.losses.base import Distortion, RateDistortionLoss
from tngexp.losses.mse import mean_squared_error
from tngexp.types import MS_SSIM_MIN_SIDE, lower_bound

__all__ = ["MSSSIMLoss", "differentiable_ms_ssim"]


def differentiable_ms_ssim(x: Tensor, x_hat: Tensor) -> Tensor:
    """MS-SSIM of each image, (B,), with gradients (Wang et al. 2003, with piq).

    ``x_hat`` is clamped to [0, 1], which piq insists on, with a gradient that still pulls
    overshooting pixels back; a plain clamp would leave them without one.
    """
    from piq import multi_scale_ssim

    inside = -lower_bound(-lower_bound(x_hat, 0.0), -1.0)
    value: Tensor = multi_scale_ssim(x, inside, data_range=1.0, reduction="none")
    return value.flatten()


@final
class MSSSIMLoss(RateDistortionLoss):
    """D = 1 − MS-SSIM, the scale of CompressAI's MS-SSIM λ ladder."""

    min_side = MS_SSIM_MIN_SIDE

    def distortion(self, x: Tensor, x_hat: Tensor) -> Distortion:
        similarity = differentiable_ms_ssim(x, x_hat)
        mse = mean_squared_error(x, x_hat).detach()
        return Distortion(1 - similarity, mse, similarity.detach())
