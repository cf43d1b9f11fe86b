"""Training objectives R + λ·D of what the codec returned; they own λ."""

from __future__ import annotations

from tngexp.losses.base import Distortion, LossTerms, RateDistortionLoss
from tngexp.losses.mixed import MixedLoss
from tngexp.losses.mse import MSELoss
from tngexp.losses.msssim import MSSSIMLoss

__all__ = [
    "Distortion",
    "LossTerms",
    "MSELoss",
    "MSSSIMLoss",
    "MixedLoss",
    "RateDistortionLoss",
]
