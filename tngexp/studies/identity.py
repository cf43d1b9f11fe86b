"""Which run a configuration is of: what may change from one call of a command to the next."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tngexp.common.folders import shown_path
from tngexp.model.legacy import modernise_run
from tngexp.studies.contents import CONTENTS
from tngexp.types import ConfigError

__all__ = [
    "check_same",
    "differences",
    "identity_of",
    "is_free",
    "of_today",
    "other_contents",
]

_FOLDER = "hydra.sweep.dir"

# What may change between two calls of one command without making it another run.
_FREE = ("name", "group", "run_dir", "resume", "logger", "report")
_FREE_TRAINER = ("max_time", "enable_progress_bar", "enable_model_summary", "profiler")
_FREE_DATA = ("cache_mib",)


def is_free(option: str) -> bool:
    """Whether an option, ``logger.mode``, may change without making a run another one."""
    group, _, name = option.partition(".")
    return group in _FREE or (group, name) in {
        *(("trainer", free) for free in _FREE_TRAINER),
        *(("data", free) for free in _FREE_DATA),
    }


def identity_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """``config`` without what may change from call to call."""
    kept = {key: value for key, value in of_today(config).items() if key not in _FREE}
    if kept.get("ladder") is not None:
        kept.pop("init_from", None)  # follows from the ladder, as a path that may move
    kept = _without_folder(kept, str(config["run_dir"]))
    plain = json.loads(json.dumps(kept, default=str))  # as it will be read again
    assert isinstance(plain, dict)
    return plain


def of_today(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration of any version with today's keys, less the free ones in groups."""
    kept = modernise_run(config)
    for group, free in (("trainer", _FREE_TRAINER), ("data", _FREE_DATA)):
        kept[group] = {key: value for key, value in kept[group].items() if key not in free}
    return kept


def _without_folder(value: Any, run_dir: str) -> Any:
    """Paths inside of the run's folder, relative to it: a sweep may be moved, or seen from afar."""
    if isinstance(value, Mapping):
        return {key: _without_folder(item, run_dir) for key, item in value.items()}
    if isinstance(value, str) and Path(run_dir) in (Path(value), *Path(value).parents):
        return str(Path("run_dir", Path(value).relative_to(run_dir)))
    return value


def check_same(before: Mapping[str, Any], now: Mapping[str, Any], run_dir: Path) -> None:
    """Raise ConfigError unless both are of one run, which ``run_dir`` holds.

    Args:
        before: what the run there was, of any version.
        now: :func:`identity_of` the run that is wanted.
        run_dir: for the message.
    """
    changed = differences(before, now)
    if changed:
        listed = ", ".join(changed[:4]) + (", …" if len(changed) > 4 else "")
        raise ConfigError(
            f"{shown_path(run_dir)} holds a run of another configuration ({listed}); choose "
            f"another folder with {_FOLDER}=DIR, or delete this one."
        )
    others = other_contents(before, now)
    if others:
        raise ConfigError(
            f"{shown_path(run_dir)} holds a run that has started from other files: "
            f"{' and '.join(others)} changed since. Put the earlier ones back, choose another "
            f"folder with {_FOLDER}=DIR, or delete this one to train it anew."
        )


def other_contents(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Which of the files that a run is made of have changed, in words."""
    # What earlier versions did not record cannot be compared.
    known = before.get(CONTENTS) or {}
    names = [name for name, content in known.items() if now[CONTENTS].get(name) != content]
    photos = [_photos_of(now)] if any(name.endswith("photos") for name in names) else []
    read = {"weights": "the file of init_from", "features": "the codec of loss.features"}
    return [*photos, *(words for name, words in read.items() if name in names)]


def _photos_of(config: Mapping[str, Any]) -> str:
    """``the photos of data.root=DIR``, with all places that the data set names."""
    keys = ("root", "file", "val_root", "val_folder", "val_file")
    places = {key: config["data"].get(key) for key in keys}
    named = [f"data.{key}={value}" for key, value in places.items() if value]
    return f"the photos of {' and '.join(named) or 'the data set'}"


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """``option: old there, new now`` for each option in which two configurations differ."""
    old, new = _flat(before), _flat(now)
    return [
        f"{key}: {old.get(key)} there, {new.get(key)} now"
        for key in sorted({*old, *new})
        if old.get(key) != new.get(key)
    ]


def _flat(content: Any, prefix: str = "") -> dict[str, Any]:
    """``{"a": {"b": 1}}`` → ``{"a.b": 1}``, without the contents of files."""
    if not isinstance(content, Mapping) or not content:
        return {prefix: content}
    return {
        name: value
        for key, item in content.items()
        if prefix or key != CONTENTS
        for name, value in _flat(item, f"{prefix}.{key}" if prefix else str(key)).items()
    }
