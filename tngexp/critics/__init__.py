"""Networks that learn to tell decoded pictures from originals, for adversarial training."""

from __future__ import annotations

from tngexp.critics.base import Critic, Judgement, r1_penalty
from tngexp.critics.patch import PatchCritic
from tngexp.critics.unet import UNetCritic

__all__ = ["Critic", "Judgement", "PatchCritic", "UNetCritic", "r1_penalty"]
