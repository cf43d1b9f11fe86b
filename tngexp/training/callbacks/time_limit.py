"""Ends a run in the ordinary way when its time is up."""

from __future__ import annotations

import time
from typing import Any

import lightning.pytorch as pl

from tngexp.training.distributed import agreed

__all__ = ["TimeLimit"]


class TimeLimit(pl.Callback):
    """Ends training after the step that reaches ``minutes``; the final validation follows.

    The clock starts with the first step and runs through validations. It is not part of a
    checkpoint: a resumed run has its own ``minutes``.

    Args:
        minutes: wall-clock limit.

    Attributes:
        reached: whether the limit, not ``max_steps``, has ended the run.
    """

    def __init__(self, minutes: float) -> None:
        self.minutes = minutes
        self.reached = False
        self._deadline = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._deadline = time.monotonic() + 60 * self.minutes

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        if (batch_idx + 1) % trainer.accumulate_grad_batches:
            return  # gradients are still accumulating
        if trainer.global_step >= trainer.max_steps:
            return
        if agreed(trainer, int(time.monotonic() >= self._deadline)):
            self.reached = True
            trainer.should_stop = True  # Lightning validates on the way out
