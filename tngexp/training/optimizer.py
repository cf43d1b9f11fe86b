"""Optimizer and learning-rate scheduler, from ``conf/optimizer`` and ``conf/scheduler``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from tngexp.schema.instantiate import instantiate, target_of
from tngexp.training.schedule import WarmupDecay
from tngexp.types import ConfigError

__all__ = [
    "MakeOptimizer",
    "Schedule",
    "make_optimizer",
    "make_scheduler",
    "options_of",
    "remembered",
]

MakeOptimizer = Callable[[Any], torch.optim.Optimizer]
"""Parameters → optimizer."""

Schedule = WarmupDecay | Callable[[torch.optim.Optimizer], LRScheduler | ReduceLROnPlateau]
"""A learning rate that follows the run's progress, or optimizer → scheduler of torch's."""


def make_optimizer(config: Mapping[str, Any], option: str = "optimizer") -> MakeOptimizer:
    """The optimizer that ``config`` describes; ``_partial_`` goes without saying.

    Args:
        config: the description.
        option: what the user knows it as.

    Raises:
        ConfigError: for a class that is no optimizer, or options that it does not take.
    """
    target, path = target_of(config, option), config["_target_"]
    if not (isinstance(target, type) and issubclass(target, torch.optim.Optimizer)):
        raise ConfigError(f"{option}._target_={path} is not an optimizer of torch's kind.")
    factory: MakeOptimizer = instantiate({**config, "_partial_": True}, option)
    if not config.get("lr", 1.0) > 0:
        raise ConfigError(f"{option}.lr={config['lr']} must be above 0.")
    try:
        factory([nn.Parameter(torch.zeros(1))])
    except (TypeError, ValueError, RuntimeError) as error:
        raise ConfigError(f"{option}={target.__name__} refuses its options: {error}") from error
    return factory


def make_scheduler(config: Mapping[str, Any] | None) -> Schedule | None:
    """The scheduler that ``config`` describes; None for a constant rate.

    Raises:
        ConfigError: for a class that is none, or options that it does not take.
    """
    if not config or config.get("_target_") is None:
        return None
    target, path = target_of(config, "scheduler"), config["_target_"]
    if target is WarmupDecay:
        ours: WarmupDecay = instantiate(config, "scheduler")
        return ours
    if not (isinstance(target, type) and issubclass(target, LRScheduler | ReduceLROnPlateau)):
        raise ConfigError(
            f"scheduler._target_={path} is no learning-rate scheduler: name a class of "
            "torch.optim.lr_scheduler, or choose scheduler=warmup_decay."
        )
    factory: Schedule = instantiate({**config, "_partial_": True}, "scheduler")
    return factory


def remembered(make: MakeOptimizer) -> set[str]:
    """Names of what an optimizer keeps of each weight, as seen after one step."""
    weight = nn.Parameter(torch.zeros(1))
    weight.grad = torch.ones(1)
    optimizer = make([weight])
    optimizer.step(lambda: 0.0)
    return set(optimizer.state[weight])


def options_of(configured: Any) -> list[list[dict[str, Any]]]:
    """Of each optimizer that a module configures, the options of its groups of parameters.

    The rate is left out where a scheduler of torch's goes on from where it was.

    Args:
        configured: what ``configure_optimizers`` returns.
    """
    options = []
    for one in configured if isinstance(configured, list) else [configured]:
        optimizer, left = one, {"params"}
        if isinstance(one, dict):
            optimizer, left = one["optimizer"], {"params", "lr", "initial_lr"}
        groups: list[dict[str, Any]] = optimizer.param_groups
        options.append([{k: v for k, v in group.items() if k not in left} for group in groups])
    return options
