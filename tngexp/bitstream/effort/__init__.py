"""Encoders that search: the latent of one image, refined by gradient on rate + λ·distortion."""

from __future__ import annotations

from tngexp.bitstream.effort.image import RefinedImage, refine_image
from tngexp.bitstream.effort.plans import EFFORTS, Plan, check_effort, plan_of
from tngexp.bitstream.effort.refine import Progress, Refined, Region, check_side, refine
from tngexp.bitstream.effort.tuning import TUNES, Tuning, tuning_of

__all__ = [
    "EFFORTS",
    "TUNES",
    "Plan",
    "Progress",
    "Refined",
    "RefinedImage",
    "Region",
    "Tuning",
    "check_effort",
    "check_side",
    "plan_of",
    "refine",
    "refine_image",
    "tuning_of",
]
