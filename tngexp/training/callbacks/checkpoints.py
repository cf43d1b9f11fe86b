"""Keeps the best and the last checkpoint, and stops a run on request."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Checkpoint

from tngexp.devices.distributed import agreed
from tngexp.runs.checkpoint_io import PREVIOUS, copy_file
from tngexp.runs.interrupt import Interrupted, StopRequest, catch_signals
from tngexp.runs.learning_curve import LearningCurve
from tngexp.training.base import LitModel
from tngexp.training.callbacks.budget import seconds_used

__all__ = ["Checkpoints", "figures"]


class Checkpoints(Checkpoint):
    """Saves ``last.ckpt`` after each validation and ``best.ckpt`` when the monitored value fell.

    Lightning's ``ModelCheckpoint`` would write the best again instead of linking it, keeps no
    earlier one for when a disk damages the last, and compares values of different measures.

    The one before stays as ``previous.ckpt``, for when a failing disk damages the last. Beside the
    folder lies the run's learning curve, which is in every checkpoint, too.

    The last optimizer step always ends with a validation, so the end of a run is saved, too. A
    :class:`StopRequest` is honoured between optimizer steps, where a checkpoint resumes exactly.

    Args:
        folder: where the two files go.
        stop: ends the run when set, by SIGINT, SIGTERM or from outside.
        measure: what the monitored values depend on besides the weights. Values taken under another
            measure do not compare, so a resumed run then looks for its best anew.
        monitor: validation metric that decides what is best; lower is better.

    Attributes:
        best: monitored value of ``best.ckpt``.
        best_metrics: all validation metrics of ``best.ckpt``.
    """

    def __init__(
        self,
        folder: Path,
        stop: StopRequest,
        measure: Mapping[str, Any] | None = None,
        monitor: str = "val/loss",
    ) -> None:
        self.last_path = folder / "last.ckpt"
        self.best_path = folder / "best.ckpt"
        self.best = math.inf
        self.best_step = 0
        self.best_metrics: dict[str, float] = {}
        self._curve = LearningCurve()
        self._stop = stop
        self._measure = dict(measure or {})
        self._monitor = monitor
        self._signals = ExitStack()

    def adopt_best(self, resumed_from: Path) -> None:
        """Start from the best checkpoint beside the one a run resumes from, if there is one."""
        previous = resumed_from.parent / self.best_path.name
        if previous.is_file() and previous.resolve() != self.best_path.resolve():
            copy_file(previous, self.best_path)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # After Lightning has installed its handlers: its answer to SIGTERM leaves without saving.
        self._signals.enter_context(catch_signals(self._stop))

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._signals.close()

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        self._signals.close()

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        if (batch_idx + 1) % trainer.accumulate_grad_batches:
            return
        self._obey(trainer)
        if trainer.global_step >= trainer.max_steps:
            # Lightning validates on the way out when a stop is signalled, but not at max_steps.
            trainer.should_stop = True

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        trying = trainer.sanity_checking or trainer.fast_dev_run  # type: ignore[attr-defined]
        if trying or trainer.state.fn != "fit":
            return
        metrics = figures(trainer)
        # Absent when every validation image is too small for the distortion: the latest is best.
        value = metrics.get(self._monitor, -math.inf)
        improved = value <= self.best or not self.best_path.exists()
        if improved:
            self.best, self.best_step, self.best_metrics = value, trainer.global_step, metrics
        self._extend_curve(trainer, pl_module, value)
        self._save(trainer)
        if improved and trainer.is_global_zero:
            copy_file(self.last_path, self.best_path)
        self._obey(trainer, saved=True)

    def state_dict(self) -> dict[str, Any]:
        return {
            "best": self.best,
            "best_step": self.best_step,
            "best_metrics": self.best_metrics,
            "measure": self._measure,
            "curve": self._curve.to_state(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        if "curve" in state_dict:  # earlier versions had none
            self._curve = LearningCurve.from_state(state_dict["curve"])
        before = state_dict.get("measure", self._measure)
        # What an earlier version does not tell is taken to be the same.
        same = all(before.get(key, value) == value for key, value in self._measure.items())
        if self.best_path.exists() and same:
            self.best = state_dict["best"]
            self.best_step = state_dict["best_step"]
            self.best_metrics = state_dict["best_metrics"]

    def _extend_curve(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, loss: float
    ) -> None:
        assert isinstance(pl_module, LitModel)
        parameters = sum(p.numel() for p in pl_module.codec.parameters())
        seconds = seconds_used(trainer) or 0.0
        self._curve = self._curve.extended(trainer.global_step, loss, seconds, parameters)
        if trainer.is_global_zero:
            # Before the checkpoint: a run that is killed in between repeats this step, whereas one
            # whose last checkpoint is there does nothing more.
            self._curve.write(self.last_path.parent.parent)

    def _save(self, trainer: pl.Trainer) -> None:
        if trainer.is_global_zero and self.last_path.exists():
            copy_file(self.last_path, self.last_path.with_name(PREVIOUS))
        trainer.save_checkpoint(self.last_path)

    def _obey(self, trainer: pl.Trainer, saved: bool = False) -> None:
        # A signal may reach one process only, or the others a step later.
        signum = agreed(trainer, self._stop.signum or 0)
        if not signum:
            return
        if not saved:
            self._save(trainer)
        raise Interrupted(trainer.global_step, self.last_path, signum)


def figures(trainer: pl.Trainer) -> dict[str, float]:
    """The figures of the latest validation, by the names they are logged under."""
    logged = trainer.callback_metrics
    return {key: float(value) for key, value in logged.items() if key.startswith("val/")}
