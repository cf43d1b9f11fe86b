"""What ``conf/trainer`` may contain: options of Lightning's ``Trainer`` under their own names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import Any

from tngexp.common.options import did_you_mean, known_options
from tngexp.errors import ConfigError
from tngexp.schema.renamed import new_name

__all__ = ["TrainerConf", "seconds_of"]

PRECISIONS = ("auto", "32-true", "bf16-mixed", "16-mixed", "32", "bf16", "16")
# Lightning's others turn all weights into another precision.
_TRUE = (
    "64-true",
    "64",
    "bf16-true",
    "16-true",
    "transformer-engine",
    "transformer-engine-float16",
)


@dataclass
class TrainerConf:
    """``trainer.*``. What is null is left to Lightning; see its documentation of ``Trainer``.

    Three are checked or completed here. ``precision: auto`` takes bf16 where the hardware
    multiplies it. ``max_time`` (``DD:HH:MM:SS`` or ``{minutes: 5}``) is the budget of the whole
    run, resumed parts and validations included, which schedules follow. ``val_check_interval``
    counts batches, as there are no epochs to take a share of.
    """

    max_steps: int = 400
    max_time: Any = None
    val_check_interval: Any = 200
    log_every_n_steps: int | None = 10
    accumulate_grad_batches: int = 1
    gradient_clip_val: float | None = None
    gradient_clip_algorithm: str | None = None
    precision: Any = "auto"
    accelerator: str = "auto"
    devices: Any = 1
    num_nodes: int = 1
    strategy: Any = None
    enable_progress_bar: bool = True
    enable_model_summary: bool | None = False
    num_sanity_val_steps: int | None = 0
    fast_dev_run: Any = None
    min_steps: int | None = None
    limit_train_batches: Any = None
    limit_val_batches: Any = None
    limit_test_batches: Any = None
    limit_predict_batches: Any = None
    deterministic: Any = None
    benchmark: bool | None = None
    inference_mode: bool | None = None
    profiler: Any = None
    detect_anomaly: bool | None = None
    plugins: Any = None
    sync_batchnorm: bool | None = None
    enable_autolog_hparams: bool | None = None
    model_registry: str | None = None

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> TrainerConf:
        """Raises ConfigError for an unknown key or a value that cannot work."""
        settings = cls(**known_options(config, cls, "trainer", new_name))
        settings.check()
        return settings

    def check(self) -> None:
        """Raise ConfigError for a value that cannot work."""
        whole = ("max_steps", "accumulate_grad_batches", "num_nodes", "log_every_n_steps")
        for name in whole:
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(
                    f"trainer.{name}={value!r} must be a whole number of at least 1; "
                    f"set e.g. trainer.{name}=1."
                )
        self._check_interval()
        self._check_limits()
        if not _devices(self.devices):
            raise ConfigError(
                f"trainer.devices={self.devices!r} must be a number of devices, a list of "
                "their indices such as [0,1], or auto for all there are."
            )
        seconds_of(self.max_time)
        clip = self.gradient_clip_val
        if clip is not None and not clip > 0:
            raise ConfigError(
                f"trainer.gradient_clip_val={clip!r} must be above 0; "
                "trainer.gradient_clip_val=null turns clipping off."
            )
        if self.gradient_clip_algorithm not in (None, "norm", "value"):
            raise ConfigError(
                f"trainer.gradient_clip_algorithm={self.gradient_clip_algorithm!r} is not one of "
                "norm, value."
            )
        if str(self.precision) in _TRUE:
            raise ConfigError(
                f"trainer.precision={self.precision} cannot be set: rates and distortions are "
                "float32 whatever the transforms are; use bf16-mixed, 16-mixed or 32-true."
            )
        if str(self.precision) not in PRECISIONS:
            raise ConfigError(
                f"trainer.precision={self.precision!r} is not one of {', '.join(PRECISIONS)}."
                + did_you_mean(str(self.precision), PRECISIONS)
            )

    def _check_interval(self) -> None:
        value = self.val_check_interval
        if isinstance(value, str | Mapping):
            return  # a time, as Lightning reads it
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ConfigError(
                f"trainer.val_check_interval={value!r} must be a whole number of at least 1: "
                "batches between two validations, since training data has no end to take a share "
                "of."
            )

    def _check_limits(self) -> None:
        if self.limit_val_batches == 0:
            raise ConfigError(
                f"trainer.limit_val_batches={self.limit_val_batches!r} leaves out validations, "
                "after which a run saves its checkpoints: it would end with nothing. Validate less "
                f"with trainer.limit_val_batches=1 or trainer.val_check_interval={self.max_steps}."
            )
        if self.limit_train_batches is not None:
            raise ConfigError(
                f"trainer.limit_train_batches={self.limit_train_batches!r} cannot be set: training "
                "data has no end, and the same first batches would come again and again; a run is "
                "as long as trainer.max_steps says."
            )
        if self.min_steps is not None and self.min_steps > self.max_steps:
            # Lightning would not validate at max_steps, and nothing would be saved.
            raise ConfigError(
                f"trainer.min_steps={self.min_steps} is more than trainer.max_steps="
                f"{self.max_steps}; lower the one or raise the other."
            )

    @property
    def seconds(self) -> float | None:
        """``max_time`` in seconds; None for no limit."""
        return seconds_of(self.max_time)

    def for_lightning(self) -> dict[str, Any]:
        """Arguments of ``Trainer``, as they stand; what the engine decides is left out."""
        ours = {"max_time", "precision", "accelerator", "devices", "num_nodes", "strategy"}
        names = [f.name for f in fields(self) if f.name not in {*ours, "plugins"}]
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}


def seconds_of(time: Any) -> float | None:
    """A ``max_time`` of Lightning in seconds; None stays None.

    Args:
        time: ``DD:HH:MM:SS``, or a mapping to the arguments of ``timedelta``, or a ``timedelta``.

    Raises:
        ConfigError: for anything else, or no time at all.
    """
    if time is None:
        return None
    seconds = -1.0
    if isinstance(time, timedelta):
        seconds = time.total_seconds()
    elif isinstance(time, Mapping):
        try:
            parts = {str(key): _number(value) for key, value in time.items()}
            seconds = timedelta(**parts).total_seconds()
        except (TypeError, ValueError, OverflowError):
            seconds = -1.0
    elif isinstance(time, str) and (match := re.fullmatch(r"(\d+):(\d\d):(\d\d):(\d\d)", time)):
        days, hours, minutes, rest = map(int, match.groups())
        seconds = float(((days * 24 + hours) * 60 + minutes) * 60 + rest)
    if not seconds > 0:
        raise ConfigError(
            f"trainer.max_time={time!r} must be a time: days:hours:minutes:seconds, such as "
            "trainer.max_time=00:00:05:00, or trainer.max_time={minutes:5}; null sets no limit."
        )
    return seconds


def _number(value: object) -> float:
    if isinstance(value, bool):
        raise TypeError
    return float(value)  # type: ignore[arg-type]  # raises for what is none


def _devices(value: object) -> bool:
    if isinstance(value, list):
        return bool(value) and all(type(index) is int and index >= 0 for index in value)
    return value == "auto" or (type(value) is int and (value == -1 or value >= 1))
