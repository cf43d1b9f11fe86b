"""Options that were called otherwise in an earlier version, or that Lightning alone has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["modernise_trainer", "new_name"]

# Options that Lightning's Trainer has and a run cannot honour, and what to do instead.
_REFUSED = {
    "logger": "loggers are a group of their own: logger=wandb, logger=csv, or any by its _target_",
    "callbacks": "callbacks are a group of their own: +callbacks.NAME={_target_:PATH.OF.CLASS}",
    "default_root_dir": "every file of a run lies in its folder: run_dir=DIR",
    "max_epochs": "training data has no end, so a run is as long as trainer.max_steps says",
    "min_epochs": "training data has no end, so a run is as long as trainer.max_steps says",
    "check_val_every_n_epoch": "training data has no end: set trainer.val_check_interval, batches",
    "reload_dataloaders_every_n_epochs": "training data has no end, so there are no epochs",
    "overfit_batches": "the data module counts its own samples; use trainer.limit_val_batches, or "
    "a folder with the photos that are to be overfitted",
    "use_distributed_sampler": "the data module divides its samples among processes itself",
    "enable_checkpointing": "a run is what its checkpoints hold; trainer.fast_dev_run=true leaves "
    "none",
    "barebones": "it turns off the checkpoints and the log; trainer.enable_progress_bar=false and "
    "logger=none save what can be saved",
}

# Of the group ``trainer``: Lightning's own names have taken their places.
_TRAINER = {
    "val_every": "val_check_interval",
    "log_every": "log_every_n_steps",
    "accumulate": "accumulate_grad_batches",
    "clip": "gradient_clip_val",
    "progress": "enable_progress_bar",
}
_TOP = ("channels_last", "compile")

_KEYS = {
    **{f"trainer.{old}": f"trainer.{new}" for old, new in _TRAINER.items()},
    **{f"trainer.{name}": name for name in _TOP},
    "trainer.max_minutes": "trainer.max_time={minutes:…}",
    "callbacks.annealing.end": "anneal_until",
    "callbacks.annealing": "anneal_until",
    "callbacks.nan_guard": "nothing any more: training always stops before a NaN spreads",
    "callbacks.metrics": "nothing any more: the module logs its figures itself",
    "logger.system_metrics": "logger.settings.x_disable_stats, the other way round",
    "logger.name": "logger=wandb, csv, tensorboard or none, or logger._target_",
}


def new_name(key: str) -> str | None:
    """What to do about an option that an earlier version had, or Lightning has; None if unknown.

    Args:
        key: as typed, ``trainer.clip``.
    """
    if key in _KEYS:
        return f"{key} is now {_KEYS[key]}"
    if key.startswith("optimizer.schedule"):
        return f"{key} is now {key.replace('optimizer.schedule', 'scheduler', 1)}"
    group, _, name = key.partition(".")
    if group == "trainer" and name in _REFUSED:
        return f"{key} cannot be set: {_REFUSED[name]}"
    return None


def modernise_trainer(config: Mapping[str, Any]) -> dict[str, Any]:
    """A run's configuration of an earlier version with today's names; one of today unchanged."""
    config = dict(config)
    trainer = dict(config.get("trainer") or {})
    if not trainer.keys() & {*_TRAINER, *_TOP, "max_minutes"}:
        return config
    accumulate = trainer.get("accumulate", 1)
    for name in _TOP:
        if name in trainer:
            config[name] = trainer.pop(name)
    if (minutes := trainer.pop("max_minutes", None)) is not None:
        trainer["max_time"] = {"minutes": minutes}
    for old, new in _TRAINER.items():
        if old in trainer:
            value = trainer.pop(old)
            # Optimizer steps then, batches now.
            trainer[new] = value * accumulate if old == "val_every" else value
    optimizer = dict(config.get("optimizer") or {})
    schedule = optimizer.pop("schedule", None)
    callbacks = dict(config.get("callbacks") or {})
    annealing = callbacks.pop("annealing", None) or {}
    for name in ("nan_guard", "metrics"):
        callbacks.pop(name, None)
    return {
        **config,
        "trainer": trainer,
        "optimizer": optimizer,
        "scheduler": {"_target_": "tngexp.training.schedule.WarmupDecay", **(schedule or {})},
        "callbacks": callbacks,
        "anneal_until": annealing.get("end", 1.0),
    }
