"""Latent → symbols → latent, and the relaxations that make the step trainable."""

from __future__ import annotations

from tngexp.quantizers.alphabets import Centers, Codebook, Integers
from tngexp.quantizers.base import IntegerQuantizer, Quantizer
from tngexp.quantizers.dead_zone import DeadZone
from tngexp.quantizers.mixed import Mixed
from tngexp.quantizers.noise import Noise
from tngexp.quantizers.soft_round import SoftRound
from tngexp.quantizers.soft_to_hard import SoftToHard
from tngexp.quantizers.ste import StraightThrough
from tngexp.quantizers.vq import VectorQuantizer

__all__ = [
    "Centers",
    "Codebook",
    "DeadZone",
    "IntegerQuantizer",
    "Integers",
    "Mixed",
    "Noise",
    "Quantizer",
    "SoftRound",
    "SoftToHard",
    "StraightThrough",
    "VectorQuantizer",
]
