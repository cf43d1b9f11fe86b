"""What ``conf/evaluate.yaml``, ``conf/compare.yaml`` and ``conf/study.yaml`` may contain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from tngexp.common.options import as_list, known_options
from tngexp.errors import ConfigError

__all__ = ["CompareConf", "EvaluateConf", "StudyConf", "checked"]


@dataclass
class EvaluateConf:
    """``python -m tngexp.evaluate`` and :func:`tngexp.evaluation.evaluate.evaluate`."""

    checkpoint: Any
    data: Any = None
    qualities: Any = field(default_factory=lambda: [0.0, 0.25, 0.5, 0.75, 1.0])
    efforts: Any = field(default_factory=lambda: [0])
    tune: str | None = None
    looks: Any = field(default_factory=lambda: [0])
    look_from: Any = field(default_factory=list)
    metrics: Any = field(default_factory=lambda: ["ssim", "gmsd"])
    out: Any = "evaluations"
    save_files: bool = False
    name: Any = None
    group: Any = None
    logger: Any = None
    seed: int = 0


@dataclass
class CompareConf:
    """``python -m tngexp.compare`` and :func:`tngexp.evaluation.compare.compare`."""

    runs: Any
    data: Any = None
    anchors: Any = field(default_factory=lambda: ["jpeg", "webp", "avif", "bpg"])
    anchor_settings: Any = None
    published: Any = field(default_factory=list)
    reference: str | None = None
    hull: bool = False
    images: Any = None
    held_out: bool = False
    qualities: Any = field(default_factory=lambda: [0.0, 0.14, 0.29, 0.43, 0.57, 0.71, 0.86, 1.0])
    efforts: Any = field(default_factory=lambda: [0])
    tune: str | None = None
    looks: Any = field(default_factory=lambda: [0])
    look_from: Any = field(default_factory=list)
    metrics: Any = field(default_factory=list)
    viewer: Any = field(default_factory=lambda: {"images": 3, "bpp": [0.15, 0.3, 0.6]})
    out: Any = "comparisons"
    cache: Any = None
    workers: int | None = None
    name: Any = None
    group: Any = None
    logger: Any = None
    seed: int = 0


@dataclass
class StudyConf:
    """``python -m tngexp.study``, :func:`tngexp.people.making.make_study` and the analysis."""

    runs: Any = None
    looks: Any = field(default_factory=lambda: [0])
    look_from: Any = field(default_factory=list)
    data: Any = None
    anchors: Any = field(default_factory=lambda: ["jpeg", "webp", "avif", "bpg"])
    bpp: float = 0.15
    tolerance: float = 0.1
    images: Any = 8
    held_out: bool = False
    size: Any = None
    trials: int = 60
    catches: int = 6
    results: Any = field(default_factory=list)
    reference: str | None = None
    resamples: int = 2000
    out: Any = "study"
    cache: Any = None
    seed: int = 0


_LISTS = ("anchors", "look_from", "metrics", "published", "results")


def checked(config: Mapping[str, Any], schema: type[Any]) -> dict[str, Any]:
    """``config`` with defaults for what is missing; single names as lists of one.

    Args:
        config: plain and resolved.
        schema: :class:`EvaluateConf`, :class:`CompareConf` or :class:`StudyConf`.

    Raises:
        ConfigError: for an unknown or a missing option, or a value of a wrong type.
    """
    plain = {key: value for key, value in config.items() if key != "hydra"}
    options = asdict(schema(**known_options(plain, schema, "")))
    if options["data"] is None:
        raise ConfigError("data is not set: choose photos, data=folder data.root=DIR.")
    for name in options.keys() & set(_LISTS):
        options[name] = as_list(name, options[name])
    return options
