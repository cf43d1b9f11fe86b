"""Images per second of training, validation and checkpoints excluded."""

from __future__ import annotations

import time
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

__all__ = ["Throughput"]


class Throughput(pl.Callback):
    """Logs ``train/images_per_s``: a moving average over the latest steps, loading included.

    Lightning's ``ThroughputMonitor`` measures a window of steps for a logger; the end of a run
    tells the figure of all its steps, with or without one.

    Attributes:
        images_per_s: over the whole run, without the first ``warmup`` steps, which compile and
            allocate; 0 before there is anything to measure.
    """

    def __init__(self, warmup: int = 3) -> None:
        self.images_per_s = 0.0
        self._warmup = warmup
        self._smooth: float | None = None  # seconds per image
        self._images = 0
        self._seconds = 0.0
        self._batches = 0
        self._mark = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._mark = time.perf_counter()

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        now = time.perf_counter()
        seconds, self._mark = now - self._mark, now
        first = batch if isinstance(batch, Tensor) else batch[0]  # of a pair of batches
        images = len(first) * trainer.world_size
        self._batches += 1
        per_image = seconds / images
        if self._batches > self._warmup:
            self._images += images
            self._seconds += seconds
            self.images_per_s = self._images / self._seconds
        if self._smooth is None or self._batches <= self._warmup:
            self._smooth = per_image
        self._smooth += 0.1 * (per_image - self._smooth)
        # Filled in on the device: copying a number there would wait for all that it has to do.
        value = torch.full((), 1 / self._smooth, device=first.device)
        pl_module.log("train/images_per_s", value, on_step=True, on_epoch=False, batch_size=1)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # Runs before the checkpoint callback, whose time lands in one step; see on_train_batch_end.
        self._mark = time.perf_counter()
