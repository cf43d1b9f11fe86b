"""How the bits are spread over the latent channels."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from tngexp.logs.loggers import log_histogram
from tngexp.training.validation import ImageResult

__all__ = ["ChannelBits"]


class ChannelBits(pl.Callback):
    """Logs a histogram of bits per pixel of each latent channel at every validation.

    Channels that carry nothing pile up at zero: a model whose M is too large for its rate.
    """

    def __init__(self) -> None:
        self._bpp: list[Tensor] = []

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._bpp = []

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
            if not result.y_bits.numel():
                continue  # no latent, but a conventional codec
            pixels = result.x.shape[-2] * result.x.shape[-1]
            self._bpp.append(result.y_bits.detach().cpu() / pixels)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._bpp and not trainer.sanity_checking:
            mean = torch.stack(self._bpp).mean(0)  # (M,)
            log_histogram(trainer.loggers, "val/channel_bpp", mean, trainer.global_step)
