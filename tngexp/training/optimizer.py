"""The optimizer and its schedule, from ``conf/optimizer``."""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from tngexp.common.options import did_you_mean
from tngexp.model.build import check_options
from tngexp.schema.trainer import ScheduleSettings
from tngexp.types import ConfigError

__all__ = ["MakeOptimizer", "make_optimizer", "remembered"]

MakeOptimizer = Callable[[Any], torch.optim.Optimizer]
"""Parameters → optimizer."""


def make_optimizer(config: Mapping[str, Any]) -> tuple[MakeOptimizer, ScheduleSettings]:
    """The optimizer that ``config`` describes and its learning-rate schedule.

    Raises:
        ConfigError: for a class that is no optimizer, or options that it does not take.
    """
    arguments = {k: v for k, v in config.items() if k not in ("_target_", "schedule")}
    schedule = ScheduleSettings.from_config(config.get("schedule") or {})
    path = str(config.get("_target_", ""))
    module, _, name = path.rpartition(".")
    try:
        target = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"optimizer '{path}' does not exist: {error}") from error
    if not (isinstance(target, type) and issubclass(target, torch.optim.Optimizer)):
        raise ConfigError(f"optimizer._target_={path} is not an optimizer of torch's kind.")
    accepted = list(inspect.signature(target).parameters)[1:]
    for key in arguments:
        if key not in accepted:
            raise ConfigError(
                f"unknown option optimizer.{key}.{did_you_mean(key, accepted)} "
                f"{name} takes: {', '.join(accepted)}."
            )
    check_options(target, arguments, "optimizer")
    if not arguments.get("lr", 1.0) > 0:
        raise ConfigError(f"optimizer.lr={arguments['lr']} must be above 0.")
    factory: MakeOptimizer = functools.partial(target, **arguments)
    try:
        factory([nn.Parameter(torch.zeros(1))])
    except (TypeError, ValueError, RuntimeError) as error:
        raise ConfigError(f"optimizer={name} refuses its options: {error}") from error
    return factory, schedule


def remembered(make: MakeOptimizer) -> set[str]:
    """Names of what an optimizer keeps of each weight, as seen after one step."""
    weight = nn.Parameter(torch.zeros(1))
    weight.grad = torch.ones(1)
    optimizer = make([weight])
    optimizer.step(lambda: 0.0)
    return set(optimizer.state[weight])
