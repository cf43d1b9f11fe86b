"""Optimizer and learning-rate scheduler, from ``conf/optimizer`` and ``conf/scheduler``."""

from __future__ import annotations

import warnings
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
    "advance",
    "make_optimizer",
    "make_scheduler",
    "options_of",
    "remembered",
]

MakeOptimizer = Callable[[Any], torch.optim.Optimizer]
"""Parameters → optimizer."""

Schedule = WarmupDecay | Callable[[torch.optim.Optimizer], LRScheduler | ReduceLROnPlateau]
"""A learning rate that follows the run's progress, or optimizer → scheduler of torch's."""


_TOLD = ("best", "num_bad_epochs", "cooldown_counter", "last_epoch")
"""What a ReduceLROnPlateau keeps of the validations; the rest of its state are options."""


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

    Args:
        configured: what ``configure_optimizers`` returns.
    """
    options = []
    for one in _each(configured):
        optimizer = one["optimizer"] if isinstance(one, dict) else one
        groups: list[dict[str, Any]] = optimizer.param_groups
        options.append([{k: v for k, v in group.items() if k != "params"} for group in groups])
    return options


def advance(configured: Any, checkpoint: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Bring new schedulers of torch's to the step of a checkpoint; their states, as it has them.

    The state of a scheduler holds its options: restoring the checkpoint's would undo those of this
    run, and a cosine of more steps would rise again behind its old end. So each takes the steps
    anew with its own, but for a :class:`ReduceLROnPlateau`, which keeps what the validations have
    told it, and the share of the rate that it had left.

    Args:
        configured: what ``configure_optimizers`` returns; its rates are changed in place.
        checkpoint: as loaded.

    Raises:
        ConfigError: when a scheduler ends before that step.
    """
    before = checkpoint.get("lr_schedulers", ())
    states: list[dict[str, Any]] = []
    for number, one in enumerate(_each(configured)):
        if not isinstance(one, dict):
            continue
        scheduler = one["lr_scheduler"]["scheduler"]
        if not isinstance(scheduler, ReduceLROnPlateau):
            _take_steps(scheduler, checkpoint["global_step"])
        elif len(states) < len(before) and "num_bad_epochs" in before[len(states)]:
            had = before[len(states)]
            scheduler.load_state_dict({name: had[name] for name in _TOLD if name in had})
            groups = checkpoint["optimizer_states"][number]["param_groups"]
            for own, old in zip(one["optimizer"].param_groups, groups, strict=True):
                own["lr"] *= old["lr"] / old.get("initial_lr", old["lr"])
        states.append(scheduler.state_dict())
    return states


def _take_steps(scheduler: LRScheduler, steps: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # no step of the optimizer comes before
        try:
            for _ in range(steps):
                scheduler.step()
        except ValueError as error:  # of one that knows its number of steps
            raise ConfigError(
                f"scheduler={type(scheduler).__name__} does not reach step {steps}, from which the "
                f"run goes on: {error}"
            ) from error


def _each(configured: Any) -> list[Any]:
    return configured if isinstance(configured, list) else [configured]
