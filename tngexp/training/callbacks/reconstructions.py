"""Logs original | reconstruction | error pictures of a few validation images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from PIL import Image

from tngexp.logs.loggers import log_images
from tngexp.training.pictures import comparison_row
from tngexp.training.validation import ImageResult
from tngexp.types import ConfigError

__all__ = ["ReconstructionLogger"]


class ReconstructionLogger(pl.Callback):
    """Sends the first ``images`` validation images, as decoded, to the loggers.

    Loggers that cannot hold pictures leave them in ``images/`` of the run's folder.

    Args:
        folder: the run's folder.
        images: how many, the middle quality of each for a variable-rate codec.
        every: validations between two sets of pictures; the last one of a run that ends with its
            steps or its time has some, too.
    """

    def __init__(self, folder: str | Path, images: int = 2, every: int = 1) -> None:
        if images < 0 or every < 1:
            raise ConfigError("callbacks.reconstructions needs images ≥ 0 and every ≥ 1.")
        self._folder = Path(folder) / "images"
        self._images = images
        self._every = every
        self._validations = 0
        self._rows: list[Image.Image] = []
        self._captions: list[str] = []

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._rows, self._captions = [], []

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if len(self._rows) < self._images:
            results: list[ImageResult] = outputs
            result = results[len(results) // 2]
            self._rows.append(comparison_row(result))
            self._captions.append(f"{result.bpp:.3f} bpp, {result.psnr_db:.2f} dB")

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.sanity_checking or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        due = self._validations % self._every == 0
        # Asked here: a validation may be what uses up the time.
        due |= trainer.should_stop or trainer.global_step >= trainer.max_steps
        self._validations += 1
        if due and self._rows and trainer.is_global_zero:
            log_images(
                trainer.loggers,
                "val/reconstructions",
                self._rows,
                self._captions,
                trainer.global_step,
                self._folder,
            )
