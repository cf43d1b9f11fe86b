"""Sends the loss terms to the loggers and the progress bar."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

import lightning.pytorch as pl

from tngexp.devices.distributed import mean_over_processes
from tngexp.training.module import ImageResult, LitCodec

__all__ = ["MetricsLogger", "image_scalars"]


class MetricsLogger(pl.Callback):
    """Logs ``train/*`` after each batch and ``val/*`` averaged over the validation images.

    A variable-rate codec is validated at several qualities: each under ``val/q0.5/…``, their mean
    under ``val/…``.
    """

    def __init__(self) -> None:
        self._values: defaultdict[str, list[float]] = defaultdict(list)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any
    ) -> None:
        assert isinstance(pl_module, LitCodec)
        assert pl_module.last_terms is not None
        scalars = pl_module.last_terms.scalars()
        values: dict[str, Any] = {f"train/{name}": value for name, value in scalars.items()}
        # Of the whole batch, wherever its parts are; PSNR afterwards, it is no mean of means.
        values = mean_over_processes(trainer, values)
        if "train/mse" in values:
            values["train/psnr"] = -10 * values["train/mse"].clamp(min=1e-10).log10()
        values["train/lr"] = trainer.optimizers[0].param_groups[0]["lr"]
        if pl_module.grad_norm is not None:
            values["train/grad_norm"] = pl_module.grad_norm
        pl_module.log_dict(values, on_step=True, on_epoch=False, batch_size=1)

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._values.clear()

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        results: list[ImageResult] = outputs
        for result in results:
            for name, value in image_scalars(result).items():
                self._values[f"val/{name}"].append(value)
                if result.quality is not None:
                    self._values[f"val/q{result.quality:g}/{name}"].append(value)

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # Every process validates on every image, so there is nothing to gather.
        means = {key: sum(values) / len(values) for key, values in self._values.items()}
        # All keep the same value, and with it the same idea of which checkpoint is best.
        pl_module.log_dict(means, batch_size=1, sync_dist=trainer.world_size > 1)


def image_scalars(result: ImageResult) -> dict[str, float]:
    """The measurable figures of one validation image, by the name they are logged under."""
    # In place of the loss's own mse and ms_ssim stand the exact measures.
    values: dict[str, float | None] = {k: v for k, v in result.terms.items() if k != "mse"}
    names = ("loss", "bpp", "y_bpp", "z_bpp", "distortion", "lmbda", "ms_ssim")
    values |= {name: getattr(result, name) for name in names}
    values["psnr"] = result.psnr_db
    return {k: v for k, v in values.items() if v is not None and not math.isnan(v)}
