"""The rest of ``conf/train.yaml``: groups that may be off, groups that must not, single options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from tngexp.common.options import declared_types, did_you_mean, known_options, mismatch
from tngexp.errors import ConfigError
from tngexp.schema.trainer import TrainerConf

__all__ = ["ReportSettings", "TrainConf", "complete", "report_settings"]

# Groups without which there is nothing to train; the others of the file can be switched off.
_NEEDED = ("loss", "data", "optimizer", "trainer")
_CODEC = ("encoder", "quantizer", "prior", "rate")  # unless it is a network behind other codecs


@dataclass(frozen=True)
class ReportSettings:
    """``report.*``, the comparison with real codecs at the end of a run."""

    anchors: list[str] | None = None
    anchor_settings: dict[str, Any] | None = None
    images: int = 4
    qualities: list[float] | float = field(default_factory=lambda: [0.0, 0.25, 0.5, 0.75, 1.0])
    cache: str | None = None


# Text, which OmegaConf would make of any number: a folder called 2024_01 is 202401 to YAML.
_TEXT = ("resume", "init_from", "name", "group", "run_dir")


@dataclass
class TrainConf:
    """``conf/train.yaml``: single options and groups; what is in a group is the group's own."""

    seed: int = 0
    resume: Any = None
    init_from: Any = None
    init_parts: Any = "all"  # checked where the parts are known
    freeze: Any = field(default_factory=list)
    max_kmac: float | None = None
    anneal_until: float = 0.9
    channels_last: bool = True
    compile: bool = False
    name: Any = None
    group: Any = None
    run_dir: Any = None
    encoder: Any = None
    hyper: Any = None
    quantizer: Any = None
    prior: Any = None
    rate: Any = None
    noise: Any = None  # what the decoder adds to the latent
    post: Any = None
    pre: Any = None
    base: Any = None  # codecs that post stands behind
    critic: Any = None
    critic_optimizer: Any = None  # comes with the critic
    loss: Any = None
    data: Any = None
    optimizer: Any = None
    scheduler: Any = None
    trainer: Any = None
    logger: Any = None
    callbacks: Any = None
    report: Any = None
    ladder: Any = None
    contents: Any = None  # of photos and first weights, which a sweep records


def complete(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration in which everything stands that a run reads, with values of its type.

    A group that was taken out with ``logger=null`` or ``~logger`` is there as its own off switch,
    an option that was taken out has its default.

    Args:
        config: plain, resolved ``conf/train.yaml``.

    Raises:
        ConfigError: for a group that a run cannot do without, an unknown option, or a value of a
            wrong type.
    """
    hybrid = config.get("post") is not None
    for group in (*(("post", "base") if hybrid else _CODEC), *_NEEDED):
        if config.get(group) is None:
            raise ConfigError(
                f"{group} is not set, and nothing can be done without it; choose an option, "
                f"{group}=… (see --help)"
            )
        if group != "base":
            _check(config[group], dict[str, Any], group)
    if hybrid and config.get("quantizer") is not None:
        raise ConfigError(
            "quantizer and post contradict each other: a network behind another codec "
            "(model=hybrid) has no quantizer of its own. Leave one of them out."
        )
    if config.get("critic") is not None:
        _check(config["critic"], dict[str, Any], "critic")
        if hybrid:
            raise ConfigError(
                "critic and post contradict each other: a critic judges what a codec of its own "
                "decodes, not a network behind another one (model=hybrid). Leave one of them out."
            )
    trainer = TrainerConf.from_config(config["trainer"])
    callbacks = config.get("callbacks") or {}
    _check(callbacks, dict[str, Any], "callbacks")
    return {
        **_filled(config, TrainConf, ""),
        "trainer": asdict(trainer),
        "callbacks": callbacks,
        "report": report_settings(config.get("report")),
    }


def report_settings(config: Any) -> dict[str, Any]:
    """``report.*`` with defaults for what is missing; no anchors where the group is off.

    Raises:
        ConfigError: for an unknown option, or a value of a wrong type.
    """
    return _filled(config or {}, ReportSettings, "report")


def _filled(config: Any, settings: type[Any], where: str) -> dict[str, Any]:
    """The options of ``settings``, checked, with the defaults of those missing."""
    _check(config, dict[str, Any], where)
    if where:
        return asdict(settings(**known_options(config, settings, where)))
    types = {**declared_types(settings), **dict.fromkeys(_TEXT, str | None)}
    for name in config:
        if name not in types:
            raise ConfigError(f"unknown option {name}.{did_you_mean(str(name), types)}")
        _check(config[name], types[name], name)
    return {name: config.get(name, default) for name, default in asdict(settings()).items()}


def _check(value: object, declared: Any, option: str) -> None:
    expected = mismatch(value, declared)
    if expected is not None:
        raise ConfigError(f"{option}={value!r} must be {expected}.")
