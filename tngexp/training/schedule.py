"""Learning-rate schedule: linear warm-up, constant, then a long decay to near zero."""

from __future__ import annotations

import math

from tngexp.schema.trainer import ScheduleSettings

__all__ = ["lr_factor"]


def lr_factor(step: int, progress: float, max_steps: int, schedule: ScheduleSettings) -> float:
    """Multiple of the peak learning rate used for optimizer step ``step`` (0-based).

    A pure function, so resuming needs no state and may change the budget.

    Args:
        step: decides the warm-up.
        progress: share of the run that is over, 0 … 1; decides the decay.
        max_steps: of the whole run. The decay does not start within the warm-up.
        schedule: the settings.
    """
    warmup = 1.0
    if step < schedule.warmup:
        # +1: the first step must not be a no-op.
        warmup = (step + 1) / (schedule.warmup + 1)
    start = max(schedule.decay_start, schedule.warmup / max_steps)
    if progress < start or start >= 1:
        return warmup
    decayed = min((progress - start) / (1 - start), 1.0)
    if schedule.shape == "cosine":
        decayed = (1 - math.cos(math.pi * decayed)) / 2
    # A run that its time limit ends within the warm-up decays all the same.
    return min(warmup, 1.0 + (schedule.final - 1.0) * decayed)
