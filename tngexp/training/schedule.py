"""Learning-rate schedule: linear warm-up, constant, then a long decay to near zero."""

from __future__ import annotations

import math

from tngexp.training.settings import ScheduleSettings

__all__ = ["lr_factor"]


def lr_factor(step: int, max_steps: int, schedule: ScheduleSettings) -> float:
    """Multiple of the peak learning rate used for optimizer step ``step`` (0-based).

    A pure function of the step, so resuming needs no state and may change ``max_steps``.
    """
    if step < schedule.warmup:
        # +1: the first step must not be a no-op.
        return (step + 1) / (schedule.warmup + 1)
    start = max(schedule.decay_start * max_steps, schedule.warmup)
    if step < start or max_steps <= start:
        return 1.0
    progress = min((step - start) / (max_steps - start), 1.0)
    if schedule.shape == "cosine":
        progress = (1 - math.cos(math.pi * progress)) / 2
    return 1.0 + (schedule.final - 1.0) * progress
