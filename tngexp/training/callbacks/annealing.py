"""Drives annealed quantizers from soft to hard over the run."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl

from tngexp.training.module import LitCodec
from tngexp.types import ConfigError

__all__ = ["Annealing"]


class Annealing(pl.Callback):
    """Calls ``quantizer.anneal(progress)`` before each batch; not annealed quantizers ignore it.

    Args:
        end: share of the run at which annealing is complete; the rest of it trains with the
            (nearly) hard quantizer.
    """

    def __init__(self, end: float = 0.9) -> None:
        if not 0 < end <= 1:
            raise ConfigError(f"callbacks.annealing.end={end!r} must lie in (0, 1].")
        self._end = end

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any
    ) -> None:
        assert isinstance(pl_module, LitCodec)
        pl_module.codec.quantizer.anneal(min(pl_module.progress.fraction / self._end, 1.0))
