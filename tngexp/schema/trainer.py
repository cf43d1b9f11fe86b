"""Checked settings of the engine: what ``conf/trainer`` and ``conf/optimizer`` may contain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tngexp.common.options import did_you_mean, known_options
from tngexp.errors import ConfigError

__all__ = ["ScheduleSettings", "TrainerSettings"]

_PRECISIONS = ("auto", "32-true", "bf16-mixed")


@dataclass(frozen=True)
class TrainerSettings:
    """``trainer.*``; steps are optimizer steps, whatever ``accumulate`` is."""

    max_steps: int
    val_every: int
    max_minutes: float | None = None
    log_every: int = 10
    accumulate: int = 1
    clip: float | None = 1.0
    precision: str | int = "auto"
    channels_last: bool = True
    compile: bool = False
    accelerator: str = "auto"
    devices: int | list[int] | str = 1
    num_nodes: int = 1
    strategy: str = "auto"
    progress: bool = True

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> TrainerSettings:
        """Raises ConfigError for an unknown key or a value that cannot work."""
        settings = cls(**known_options(config, cls, "trainer"))
        for name in ("max_steps", "val_every", "log_every", "accumulate", "num_nodes"):
            value = getattr(settings, name)
            if value < 1:
                raise ConfigError(
                    f"trainer.{name}={value!r} must be a whole number of at least 1; "
                    f"set e.g. trainer.{name}=1."
                )
        if not _devices(settings.devices):
            raise ConfigError(
                f"trainer.devices={settings.devices!r} must be a number of devices, a list of "
                "their indices such as [0,1], or auto for all there are."
            )
        if settings.strategy != "auto" and not str(settings.strategy).startswith("ddp"):
            raise ConfigError(
                f"trainer.strategy={settings.strategy!r} is not supported; use auto, ddp or "
                "ddp_find_unused_parameters_true."
            )
        minutes = settings.max_minutes
        if minutes is not None and not minutes > 0:
            raise ConfigError(
                f"trainer.max_minutes={minutes!r} must be a number above 0; "
                "trainer.max_minutes=null sets no limit."
            )
        if settings.clip is not None and not settings.clip > 0:
            raise ConfigError(
                f"trainer.clip={settings.clip!r} must be above 0; trainer.clip=null turns it off."
            )
        if str(settings.precision) not in _PRECISIONS:
            raise ConfigError(
                f"trainer.precision={settings.precision!r} is not one of {', '.join(_PRECISIONS)}."
                + did_you_mean(str(settings.precision), _PRECISIONS)
            )
        return settings


@dataclass(frozen=True)
class ScheduleSettings:
    """``schedule.*`` of the optimizer: warm-up, constant, decay."""

    warmup: int = 0  # steps of linear warm-up
    decay_start: float = 1.0  # share of the run after which the decay begins
    final: float = 0.01  # learning rate at the end, relative to its peak
    shape: str = "cosine"

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> ScheduleSettings:
        """Raises ConfigError for an unknown key or a value that cannot work."""
        settings = cls(**known_options(config, cls, "optimizer.schedule"))
        if settings.shape not in ("cosine", "linear"):
            raise ConfigError(
                f"optimizer.schedule.shape={settings.shape!r} is not one of cosine, linear."
            )
        for name in ("decay_start", "final"):
            if not 0 <= getattr(settings, name) <= 1:
                raise ConfigError(
                    f"optimizer.schedule.{name}={getattr(settings, name)!r} must lie in 0..1."
                )
        if settings.warmup < 0:
            raise ConfigError("optimizer.schedule.warmup must be 0 or more steps.")
        return settings


def _devices(value: object) -> bool:
    if isinstance(value, list):
        return bool(value) and all(type(index) is int and index >= 0 for index in value)
    return value == "auto" or (type(value) is int and (value == -1 or value >= 1))
