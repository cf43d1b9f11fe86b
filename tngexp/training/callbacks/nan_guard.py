"""Stops a run whose loss is no longer a number, before the optimizer spreads it."""

from __future__ import annotations

import math

import lightning.pytorch as pl
import torch

from tngexp.devices.distributed import agreed
from tngexp.training.module import LitCodec, NonFiniteError

__all__ = ["NaNGuard"]


class NaNGuard(pl.Callback):
    """Raises :class:`NonFiniteError` before weights or a checkpoint take damage, naming the terms.

    The gradient, which also covers the earlier micro-batches of an accumulated step, is checked by
    the module where it takes the norm anyway.
    """

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        assert isinstance(pl_module, LitCodec)
        assert pl_module.last_terms is not None
        terms = pl_module.last_terms
        if not agreed(trainer, int(not math.isfinite(terms.loss))):
            return
        bad = [
            name
            for name, value in terms.scalars().items()
            if name != "loss" and not math.isfinite(value)
        ]
        because = f" (not finite: {', '.join(bad)})" if bad else ""
        loss = float(terms.loss)
        what = f"the loss is {loss}" if not math.isfinite(loss) else "another process's loss is NaN"
        raise NonFiniteError(f"{what}{because}", trainer.global_step + 1)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        loss = trainer.callback_metrics.get("val/loss")
        if loss is not None and not math.isfinite(loss):
            raise NonFiniteError(f"the validation loss is {float(loss)}", trainer.global_step)
