"""What a search minimises: the codec's own objective, or another distortion at the same trade."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import Tensor

from tngexp.losses import MixedLoss, MSELoss, MSSSIMLoss, RateDistortionLoss
from tngexp.types import ConfigError

__all__ = ["TUNES", "Tuning", "tuning_of"]

TUNES = ("mse", "msssim", "mixed")

# λ on 1 − MS-SSIM times this is λ on 255²·MSE at about the same rate (conf/loss/msssim.yaml).
_MSE_PER_MSSSIM = 0.00078
_LADDER = {"lmbda": 1.0, "lmbda_min": 1.0, "lmbda_max": 2.0}  # λ is the tuning's, not the loss's
_LOSSES: dict[str, RateDistortionLoss] = {
    "mse": MSELoss(**_LADDER),
    "msssim": MSSSIMLoss(**_LADDER),
    # As tng-mixed; a codec that was trained for a mixed loss has its own weights.
    "mixed": MixedLoss(**_LADDER, msssim_weight=0.9, mse_weight=0.00009),
}


class Tuning(NamedTuple):
    """R + λ·D, R in bits per pixel."""

    name: str
    lmbda: float
    loss: RateDistortionLoss  # whose distortion D is; its λ is not the tuning's

    @property
    def min_side(self) -> int:
        """Shortest side of an image that D is defined for, in pixels."""
        return self.loss.min_side

    def distortion(self, x: Tensor, x_hat: Tensor) -> Tensor:
        """D of each image, (B,); images (B, 3, H, W) in [0, 1], float32."""
        return self.loss.distortion(x, x_hat).total


def tuning_of(
    objective: Mapping[str, Any] | None, quality: float | None, tune: str | None
) -> Tuning:
    """What to search for with a codec that was trained for ``objective``.

    Args:
        objective: of the codec: its distortion and λ, see ``tngexp.model.objective``.
        quality: that λ is interpolated to; None for a fixed rate.
        tune: one of ``TUNES``; None for the codec's own distortion.

    Raises:
        ConfigError: for a codec that does not tell what it was trained for, down to the weights of
            a mixed loss, or no such ``tune``.
    """
    if tune is not None and tune not in TUNES:
        raise ConfigError(f"tune must be one of {', '.join(TUNES)}, not {tune!r}")
    told = objective or {}
    own, lmbda = told.get("distortion"), _lmbda(told, quality)
    if own is None and lmbda is not None:
        # Files of early versions tell λ alone; its two scales do not overlap.
        own = "mse" if (told.get("lmbda_max") or lmbda) < 1 else "msssim"
    if own is not None and own not in TUNES:
        raise ConfigError(
            f"the codec was trained for the distortion {own!r}; efforts above 0 search for "
            f"{', '.join(TUNES)}, at the λ of a codec trained for one of them. Code it with "
            "effort 0"
        )
    if lmbda is None or own is None:
        raise ConfigError(
            "the codec's file does not tell for which λ and which of the distortions "
            f"{', '.join(TUNES)} it was trained, so no effort above 0 knows what to search for"
        )
    loss = _mixed(told) if own == "mixed" else _LOSSES[own]
    if tune is None or tune == own:
        return Tuning(own, lmbda, loss)
    return Tuning(tune, lmbda * _step(loss) / _step(_LOSSES[tune]), _LOSSES[tune])


def _mixed(told: Mapping[str, Any]) -> MixedLoss:
    """The loss that a codec was trained for, with its weights."""
    msssim_weight, mse_weight = told.get("msssim_weight"), told.get("mse_weight")
    if msssim_weight is None or mse_weight is None:
        raise ConfigError(
            "the codec was trained for a mixed loss, and its file does not tell how MS-SSIM and "
            "MSE are weighted, so no effort above 0 knows what to search for. Take the checkpoint "
            "of its training, which tells, or code it with effort 0"
        )
    return MixedLoss(**_LADDER, msssim_weight=msssim_weight, mse_weight=mse_weight)


def _step(loss: RateDistortionLoss) -> float:
    """What one more of 255²·MSE is in the distortion of ``loss``, at about the same rate."""
    if isinstance(loss, MixedLoss):
        return loss.msssim_weight * _MSE_PER_MSSSIM + loss.mse_weight
    return _MSE_PER_MSSSIM if isinstance(loss, MSSSIMLoss) else 1.0


def _lmbda(told: Mapping[str, Any], quality: float | None) -> float | None:
    if quality is None:
        return told.get("lmbda")
    low, high = told.get("lmbda_min"), told.get("lmbda_max")
    if low is None or high is None:
        return None
    return float(low * math.exp(quality * math.log(high / low)))
