"""``trainer.max_time``: the budget of a whole run, which its schedules follow."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Timer

from tngexp.devices.distributed import agreed

__all__ = ["Budget", "seconds_used", "time_share"]


class Budget(Timer):
    """Lightning's ``Timer`` that ends a run between two optimizer steps.

    Training ends after the step that uses up the time, and the final validation follows, or after
    the validation that does. The clock starts with the first step and runs through validations;
    the time of earlier parts of a resumed run counts.

    Args:
        seconds: of the whole run; None for no limit, to keep the time alone.
        before: seconds that earlier parts of the run have used.

    Attributes:
        reached: whether the time, not ``max_steps``, has ended the run.
    """

    def __init__(self, seconds: float | None = None, before: float = 0.0) -> None:
        limit = None if seconds is None else timedelta(seconds=seconds)
        super().__init__(duration=limit, verbose=False)
        self._offset = before  # type: ignore[assignment]  # Lightning sets it to a float as well
        self.reached = False

    def on_fit_start(self, trainer: pl.Trainer, *args: Any, **kwargs: Any) -> None:
        """Nothing: a run that is to go on has time left, or was refused."""

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        if (batch_idx + 1) % trainer.accumulate_grad_batches == 0:
            self._check(trainer)  # Lightning validates on the way out

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        super().on_validation_end(trainer, pl_module)
        if not trainer.sanity_checking and trainer.state.fn == "fit":
            self._check(trainer)

    def _check(self, trainer: pl.Trainer) -> None:
        if self._duration is None or trainer.global_step >= trainer.max_steps >= 0:
            return
        # The same in all processes, which have to end together.
        if agreed(trainer, round(1e6 * self.time_elapsed())) >= 1e6 * self._duration:
            self.reached = True
            trainer.should_stop = True


def seconds_used(trainer: pl.Trainer) -> float | None:
    """What the first ``Timer`` among the callbacks says; None without one."""
    timers = [c for c in trainer.callbacks if isinstance(c, Timer)]  # type: ignore[attr-defined]
    return timers[0].time_elapsed() if timers else None


def time_share(trainer: pl.Trainer) -> float:
    """The share of its time that a run has used, the same in all processes; 0 without a limit.

    Any ``Timer`` among the callbacks counts, such as the one of ``Trainer(max_time=…)``.
    """
    shares = [0.0]
    for timer in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(timer, Timer) and (left := timer.time_remaining()) is not None:
            elapsed = timer.time_elapsed()
            used = elapsed / (elapsed + left) if elapsed + left > 0 else 1.0
            shares.append(agreed(trainer, round(1e9 * used)) / 1e9)
    return max(shares)
