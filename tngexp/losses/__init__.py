"""Training objectives R + λ·D: pure functions of what the codec returned."""

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
