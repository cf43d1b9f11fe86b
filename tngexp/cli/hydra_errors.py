"""What is wrong with a command line or its surroundings, in one message with the fix."""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from tngexp.common.configuration import CONF_DIR
from tngexp.common.options import did_you_mean
from tngexp.errors import TngexpError
from tngexp.schema.renamed import new_name
from tngexp.schema.store import SCHEMA

__all__ = ["explain", "groups"]


def explain(error: BaseException, config_name: str) -> str | None:
    """One message for an error that is the user's to fix; None for any other."""
    if isinstance(error, TngexpError):
        return str(error)
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        return _missing_option(error)
    if isinstance(error, HydraException | OmegaConfBaseException):
        return _hydra(error, config_name)
    if isinstance(error, OSError):
        folder = "hydra.run.dir=DIR" if config_name == "train" else "out=DIR"
        return _surroundings(error, f"write elsewhere: {folder}")
    return None


def _surroundings(error: OSError, elsewhere: str) -> str | None:
    """Files and folders that cannot be used; ``elsewhere`` is the fix for those written to."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        where = f" while writing {error.filename}" if error.filename else ""
        return f"the disk is full{where}; free some space, or {elsewhere}"
    if error.filename is None or isinstance(error.filename, int):
        return None
    path = Path(os.fsdecode(error.filename))
    if error.errno == errno.EROFS:
        return f"cannot write {path}: {error.strerror}; {elsewhere}"
    if error.errno in (errno.EACCES, errno.EPERM):
        # The system does not tell which of the two was wanted.
        return (
            f"cannot read or write {path}: {error.strerror}; change its permissions, or run from "
            f"a folder of yours, or {elsewhere}"
        )
    if error.errno == errno.EISDIR:
        return f"{path} is a folder where a file is needed; remove it, or {elsewhere}"
    if error.errno in (errno.EEXIST, errno.ENOTDIR):
        for place in (path, *path.parents):
            if os.path.lexists(place) and not os.path.isdir(place):
                return f"{place} is a file where a folder is needed; name a folder, or {elsewhere}"
    return None


def _missing_option(error: MissingConfigException) -> str:
    group, _, option = str(error.missing_cfg_file).rpartition("/")
    options = [name for name in error.options or [] if not name.startswith("_")]
    if not group:
        return f"there is no configuration called '{option}' in {CONF_DIR}"
    listed = f" Options of {group}: {', '.join(options)}." if options else ""
    return f"unknown option {group}={option}.{did_you_mean(option, options)}{listed}"


def _hydra(error: Exception, config_name: str) -> str:
    text = str(error).strip()
    cause = error.__cause__
    first = text.splitlines()[0] if text else type(error).__name__
    if first.startswith("Could not override '"):
        key = first.split("'")[1]
        if (hint := new_name(key)) is not None:
            return f"{hint}."
        known = _known_keys(config_name)
        if key in known:
            return (
                f"{key} cannot be set, because the command takes {key.partition('.')[0]} out; "
                "leave out one of the two"
            )
        suggestion = did_you_mean(key, known)
        if not suggestion and "." in key:
            parent = key.rpartition(".")[0]
            siblings = [k.rpartition(".")[2] for k in known if k.rpartition(".")[0] == parent]
            if siblings:
                suggestion = f" Options of {parent}: {', '.join(siblings)}."
        elif not suggestion:
            top = sorted({k.partition(".")[0] for k in known})
            suggestion = f" Top-level options: {', '.join(top)}."
        return f"unknown option {key}.{suggestion} (See all with --cfg job.)"
    if first.startswith("Error merging override ") and isinstance(cause, OmegaConfBaseException):
        return _merging(first.removeprefix("Error merging override ").strip(), str(cause))
    missing = re.match(r"Interpolation key '(\S+)' not found\n.*full_key: (\S+)", text, re.DOTALL)
    if missing:
        return f"{missing[1]} is not set, but {missing[2]} is taken from it; set both"
    if first.startswith("Missing mandatory value: "):
        key = first.removeprefix("Missing mandatory value: ")
        return f"{key} is not set and has no default; give it as {key}=…"
    if isinstance(error, OverrideParseException):
        return (
            f"cannot read the override {error.override}: {first}; an override is option=value, and "
            "values with special characters need quotes: 'option=\"value\"'"
        )
    if isinstance(cause, OmegaConfBaseException):
        return f"{first} ({str(cause).splitlines()[0]})"
    # The rest of Hydra's texts are hints about its own syntax, some of them useful.
    return "\n  ".join(line.strip() for line in text.splitlines() if line.strip())


# What OmegaConf says of a value that the schema does not take, and what it should have been.
_TYPES = {
    "could not be converted to Integer": "a whole number",
    "could not be converted to Float": "a number",
    "is not a valid bool": "true or false",
    "Cannot convert": "text",
}


def _merging(override: str, reason: str) -> str:
    """An override that does not fit the schema."""
    key = override.lstrip("+~").partition("=")[0]
    if "does not support deletion" in reason:
        return f"{key} cannot be taken out; set it instead, or leave {override} out"
    unknown = re.match(r"Key '(\S+)' (?:is )?not in '(\w+)'", reason)
    if unknown is not None:
        if (hint := new_name(key)) is not None:
            return f"{hint}."
        names = [field.name for field in fields(SCHEMA[unknown[2]])]
        return (
            f"Key '{unknown[1]}' is not in '{unknown[2]}'.{did_you_mean(unknown[1], names)} "
            f"Options: {', '.join(names)}."
        )
    for words, kind in _TYPES.items():
        if words in reason:
            return f"{override} must be {kind}."
    return f"{override}: {reason.splitlines()[0]}"


def _known_keys(config_name: str) -> list[str]:
    """Every key of the default configuration, and its groups."""
    from hydra import compose, initialize_config_dir

    GlobalHydra.instance().clear()
    names = groups()
    try:
        with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
            config = compose(config_name, _group_choices(names))
    except (HydraException, OmegaConfBaseException):
        return names
    finally:
        GlobalHydra.instance().clear()
    return sorted({*names, *_keys(config)})


def groups() -> list[str]:
    """The groups of options, such as ``model`` and ``loss``."""
    return [entry.name for entry in CONF_DIR.iterdir() if entry.is_dir()]


def _group_choices(names: Iterable[str]) -> list[str]:
    """The ``group=option`` words of the command line: they decide which keys there are."""
    return [
        word
        for word in sys.argv[1:]
        if word.partition("=")[0] in names
        and (CONF_DIR / word.partition("=")[0] / f"{word.partition('=')[2]}.yaml").is_file()
    ]


def _keys(config: DictConfig) -> list[str]:
    plain = OmegaConf.to_container(config, resolve=False)
    found: list[str] = []

    def walk(node: Any, prefix: str) -> None:
        if isinstance(node, Mapping):
            for key, value in node.items():
                name = f"{prefix}{key}"
                found.append(name)
                walk(value, f"{name}.")

    walk(plain, "")
    return found
