"""Exponential moving average of the weights, used for validation and shipped in checkpoints."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.strategies import DeepSpeedStrategy, FSDPStrategy
from torch import Tensor, nn

from tngexp.training.state import APART
from tngexp.types import ConfigError

__all__ = ["EMA", "ema_decay"]


def ema_decay(step: int, decay: float) -> float:
    """Decay after ``step`` updates: rises with the run so that a short one forgets its start.

    min(decay, (1 + t) / (10 + t)), the warm-up of TensorFlow's ExponentialMovingAverage.
    """
    return min(decay, (1 + step) / (10 + step))


class EMA(pl.Callback):
    """Averages parameters after each optimizer step and swaps them in for validation.

    Frozen ones have no average but stay exactly what they are, and so do a loss's and a critic's.

    Lightning's ``WeightAveraging`` with ``use_buffers=False`` and a warm-up in its ``avg_fn`` would
    train alike. This one holds the average of what is trained alone, where that one copies the
    whole module, frozen parts and the network of a loss included; and it keeps the raw weights
    beside the averaged ones in the checkpoint's own format, which earlier versions wrote.

    Args:
        decay: weight of the past once warmed up.
    """

    def __init__(self, decay: float = 0.999) -> None:
        if not 0 <= decay < 1:
            raise ConfigError(
                f"callbacks.ema.decay={decay!r} must lie in [0, 1); "
                "callbacks.ema=null turns averaging off."
            )
        self._decay = decay
        self._average: dict[str, Tensor] = {}
        self._step = 0  # the optimizer step the average includes
        self._swapped = False

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if isinstance(getattr(trainer, "strategy", None), FSDPStrategy | DeepSpeedStrategy):
            raise ConfigError(
                "callbacks.ema averages whole tensors, which this trainer.strategy divides among "
                "devices: set callbacks.ema=null."
            )
        if not self._average:
            self._average = {n: p.detach().clone() for n, p in _averaged(pl_module).items()}
        for name, p in _averaged(pl_module).items():
            self._average[name] = self._average[name].to(p.device)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any
    ) -> None:
        if trainer.global_step == self._step:
            return  # gradients are still accumulating
        self._step = trainer.global_step
        parameters = _averaged(pl_module)
        average = [self._average[name] for name in parameters]
        weight = 1 - ema_decay(self._step, self._decay)
        with torch.no_grad():
            torch._foreach_lerp_(average, [p.detach() for p in parameters.values()], weight)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._average and not self._swapped:
            self._swap(pl_module)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._swapped:
            self._swap(pl_module)

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        if self._swapped:
            self._swap(pl_module)

    def state_dict(self) -> dict[str, Any]:
        return {"step": self._step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._step = state_dict["step"]

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        if not self._average:
            return
        assert not self._swapped, "checkpoints are written outside validation"
        raw = checkpoint["state_dict"]
        checkpoint["raw_state_dict"] = raw
        checkpoint["state_dict"] = {**raw, **self._average}

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        # LitModel.on_load_checkpoint has already moved the average to its own key.
        source = checkpoint.get("averaged_state_dict", checkpoint["state_dict"])
        self._average = {name: source[name].detach().clone() for name in _averaged(pl_module)}

    def _swap(self, pl_module: pl.LightningModule) -> None:
        for name, p in _averaged(pl_module).items():
            p.data, self._average[name] = self._average[name], p.data
        self._swapped = not self._swapped


def _averaged(module: pl.LightningModule) -> dict[str, nn.Parameter]:
    """The parameters that training changes and a checkpoint ships, by name."""
    return {
        name: p
        for name, p in module.named_parameters()
        if p.requires_grad and not name.startswith(APART)
    }
