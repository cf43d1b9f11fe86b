"""Tells the run how far it is, and ends it in the ordinary way when its time is up."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl

from tngexp.devices.distributed import agreed
from tngexp.training.progress import Progress

__all__ = ["Budget"]


class Budget(pl.Callback):
    """Advances the run's :class:`Progress` before each optimizer step; the first of all callbacks.

    Training ends after the step that reaches ``max_minutes``, and the final validation follows, or
    after the validation that does.
    The clock starts with the first step and runs through validations.

    Args:
        progress: of the run.

    Attributes:
        reached: whether the time limit, not ``max_steps``, has ended the run.
    """

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.reached = False

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.progress.start()

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if batch_idx % trainer.accumulate_grad_batches == 0:
            self.progress.advance(trainer.global_step, self._seconds(trainer))

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
        self._check(trainer)  # Lightning validates on the way out

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not trainer.sanity_checking:
            self._check(trainer)

    def _check(self, trainer: pl.Trainer) -> None:
        if trainer.global_step >= trainer.max_steps:
            return
        if self.progress.time_is_up(self._seconds(trainer)):
            self.reached = True
            trainer.should_stop = True

    def _seconds(self, trainer: pl.Trainer) -> float:
        """The time used, the same in all processes: their weights depend on it."""
        if self.progress.max_minutes is None:
            return 0.0
        return agreed(trainer, round(1e6 * self.progress.seconds)) / 1e6
