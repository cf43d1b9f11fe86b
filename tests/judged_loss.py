"""A distortion with an adversarial term, as small as it can be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from tngexp.losses import Distortion, RateDistortionLoss
from tngexp.losses.adversarial import Adversarial
from tngexp.losses.mse import mean_squared_error


class JudgedMSE(RateDistortionLoss):
    """D = 255²·MSE and what ``adversarial`` says of a critic's judgement."""

    def __init__(self, adversarial: Mapping[str, Any], **options: float) -> None:
        super().__init__(**options)
        self.adversarial = Adversarial(**adversarial)

    def distortion(self, x: Tensor, x_hat: Tensor) -> Distortion:
        mse = mean_squared_error(x, x_hat)
        return Distortion(255.0**2 * mse, {"mse": mse})
