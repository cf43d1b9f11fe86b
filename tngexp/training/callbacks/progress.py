"""One progress bar for the whole run, with the figures a researcher watches."""

from __future__ import annotations

import sys
import time
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch import callbacks
from tqdm import tqdm

__all__ = ["ProgressBar"]

# Shown name, metric, format. Training figures are of the latest batch.
_SHOWN = (
    ("loss", "train/loss", "{:.3f}"),
    ("bpp", "train/bpp", "{:.3f}"),
    ("PSNR", "train/psnr", "{:.2f}"),
    ("MS-SSIM", "train/ms_ssim", "{:.4f}"),
    ("img/s", "train/images_per_s", "{:.1f}"),
    ("val bpp", "val/bpp", "{:.3f}"),
    ("val PSNR", "val/psnr", "{:.2f}"),
    ("val MS-SSIM", "val/ms_ssim", "{:.4f}"),
)
_REFRESH_S = 0.2  # of the bar on a terminal; reading its figures waits for the GPU


class ProgressBar(callbacks.ProgressBar):
    """Counts optimizer steps of the whole run; a bar per validation would scroll it away.

    Where stderr is no terminal, it gets a line now and then instead of a bar, which Lightning's
    ``RichProgressBar`` does not write.

    Args:
        seconds_per_line: time between two such lines.
    """

    def __init__(self, seconds_per_line: float = 15.0) -> None:
        super().__init__()
        self._seconds_per_line = seconds_per_line
        self._bar: tqdm[Any] | None = None
        self._started = self._printed = 0.0
        self._step = 0

    def disable(self) -> None:
        """Nothing: a process that is not the first one has no bar of ours."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._step = trainer.global_step
        self._started = self._printed = time.monotonic()
        if sys.stderr.isatty():
            self._bar = tqdm(
                total=trainer.max_steps,
                initial=trainer.global_step,
                desc="train",
                dynamic_ncols=True,
                mininterval=_REFRESH_S,
                bar_format="{desc} {bar:16} {n_fmt}/{total_fmt} [{elapsed}<{remaining}{postfix}]",
            )

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any
    ) -> None:
        steps = trainer.global_step - self._step
        if steps == 0:
            return  # gradients are still accumulating
        self._step = trainer.global_step
        now = time.monotonic()
        if self._bar is not None:
            if now - self._printed >= _REFRESH_S:
                self._printed = now
                self._bar.set_postfix_str(_figures(trainer), refresh=False)
            self._bar.update(steps)
            return
        if now - self._printed >= self._seconds_per_line:
            self._line(trainer)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._bar is not None:
            self._bar.set_description_str("validate")

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._bar is not None:
            self._bar.set_description_str("train")
            self._bar.set_postfix_str(_figures(trainer))
        elif not trainer.sanity_checking:
            self._line(trainer)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._close()

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        self._close()

    def _line(self, trainer: pl.Trainer) -> None:
        self._printed = time.monotonic()
        elapsed = tqdm.format_interval(self._printed - self._started)
        progress = f"step {trainer.global_step}/{trainer.max_steps} [{elapsed}]"
        print(f"{progress} {_figures(trainer)}", file=sys.stderr, flush=True)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def _figures(trainer: pl.Trainer) -> str:
    metrics = trainer.callback_metrics
    return "  ".join(
        f"{name} {form.format(float(metrics[key]))}" for name, key, form in _SHOWN if key in metrics
    )
