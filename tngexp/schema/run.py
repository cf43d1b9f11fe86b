"""The rest of ``conf/train.yaml``: groups that may be off, groups that must not, single options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from tngexp.common.options import declared_types, known_options, mismatch
from tngexp.schema.trainer import TrainerSettings
from tngexp.types import ConfigError

__all__ = ["LoggerSettings", "ReportSettings", "complete", "report_settings"]

# Groups without which there is nothing to train; the others of the file can be switched off.
_NEEDED = ("encoder", "quantizer", "prior", "rate", "loss", "data", "optimizer", "trainer")


@dataclass(frozen=True)
class LoggerSettings:
    """``logger.*``; only ``name`` matters where that is not wandb."""

    name: str = "none"
    mode: str = "offline"
    project: str = "tngexp"
    tags: list[str] | None = None
    id: str | None = None
    system_metrics: bool = True


@dataclass(frozen=True)
class ReportSettings:
    """``report.*``, the comparison with real codecs at the end of a run."""

    anchors: list[str] | None = None
    anchor_settings: dict[str, Any] | None = None
    images: int = 4
    qualities: list[float] | float = field(default_factory=lambda: [0.0, 0.25, 0.5, 0.75, 1.0])
    cache: str | None = None


@dataclass(frozen=True)
class _RunSettings:
    """What belongs to no group."""

    seed: int = 0
    resume: str | None = None
    init_from: str | None = None
    init_parts: Any = "all"  # checked where the parts are known
    freeze: Any = field(default_factory=list)
    max_kmac: float | None = None
    name: str | None = None
    group: str | None = None
    run_dir: str | None = None


def complete(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration in which everything stands that a run reads, with values of its type.

    A group that was taken out with ``logger=null`` or ``~logger`` is there as its own off switch,
    an option that was taken out has its default.

    Args:
        config: plain, resolved ``conf/train.yaml``.

    Raises:
        ConfigError: for a group that a run cannot do without, or a value of a wrong type.
    """
    for group in _NEEDED:
        if config.get(group) is None:
            raise ConfigError(
                f"{group} is not set, and nothing can be done without it; choose an option, "
                f"{group}=… (see --help)"
            )
        _check(config[group], dict[str, Any], group)
    TrainerSettings.from_config(config["trainer"])
    callbacks = config.get("callbacks") or {}
    _check(callbacks, dict[str, Any], "callbacks")
    return {
        **config,
        **_filled(config, _RunSettings, ""),
        "callbacks": callbacks,
        "logger": _filled(config.get("logger") or {}, LoggerSettings, "logger"),
        "report": report_settings(config.get("report")),
    }


def report_settings(config: Any) -> dict[str, Any]:
    """``report.*`` with defaults for what is missing; no anchors where the group is off.

    Raises:
        ConfigError: for an unknown option, or a value of a wrong type.
    """
    return _filled(config or {}, ReportSettings, "report")


def _filled(config: Any, settings: type[Any], where: str) -> dict[str, Any]:
    """The options of ``settings`` in ``config``, checked, with the defaults of those missing."""
    _check(config, dict[str, Any], where)
    if where:
        return asdict(settings(**known_options(config, settings, where)))
    types = declared_types(settings)
    for name in types.keys() & config.keys():
        _check(config[name], types[name], name)
    return {name: config.get(name, default) for name, default in asdict(settings()).items()}


def _check(value: object, declared: Any, option: str) -> None:
    expected = mismatch(value, declared)
    if expected is not None:
        raise ConfigError(f"{option}={value!r} must be {expected}.")
