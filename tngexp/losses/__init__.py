"""Training objectives R + λ·D of what the codec returned; they own λ."""

from __future__ import annotations

from tngexp.losses.adversarial import Adversarial
from tngexp.losses.base import Distortion, LossTerms, RateDistortionLoss
from tngexp.losses.features import CodecFeatures, Features, Haar
from tngexp.losses.mixed import MixedLoss
from tngexp.losses.mse import MSELoss
from tngexp.losses.msssim import MSSSIMLoss
from tngexp.losses.perceptual import PerceptualLoss
from tngexp.losses.wasserstein import Wasserstein, wasserstein_distortion

__all__ = [
    "Adversarial",
    "CodecFeatures",
    "Distortion",
    "Features",
    "Haar",
    "LossTerms",
    "MSELoss",
    "MSSSIMLoss",
    "MixedLoss",
    "PerceptualLoss",
    "RateDistortionLoss",
    "Wasserstein",
    "wasserstein_distortion",
]
