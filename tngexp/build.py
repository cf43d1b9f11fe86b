"""From a plain dictionary to a module: the part of configuration that a deployed codec needs.

Hydra composes configurations, but a codec loaded from a checkpoint must not depend on it, and
must not import whatever a file from elsewhere names. Both uses share this one builder.
"""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Mapping
from typing import Any

from tngexp.types import ConfigError

__all__ = ["build"]

_ROOMS = ("transforms", "quantizers", "priors", "rate")


def build(config: Mapping[str, Any], *, trusted: bool = False) -> Any:
    """Build the object that ``config`` describes.

    ``_target_`` is the path of a class, the other keys its arguments; nested descriptions are
    built first. ``_partial_: true`` gives a factory with the arguments filled in.

    Args:
        config: the description.
        trusted: whether ``_target_`` may name any importable class (a configuration of the
            user's own) or only this package's components (one that came with a file).

    Raises:
        ConfigError: for an unknown class, one not allowed, or arguments it does not take.
    """
    arguments = {
        key: build(value, trusted=trusted)
        if isinstance(value, Mapping) and "_target_" in value
        else value
        for key, value in config.items()
        if key not in ("_target_", "_partial_")
    }
    target = _locate(str(config.get("_target_", "")), trusted)
    factory = functools.partial(target, **arguments)
    if config.get("_partial_", False):
        return factory
    try:
        inspect.signature(target).bind(**arguments)
    except TypeError as error:
        accepted = ", ".join(inspect.signature(target).parameters)
        raise ConfigError(f"{config['_target_']}: {error}; it takes: {accepted}") from error
    return factory()


def _locate(path: str, trusted: bool) -> type:
    module_name, _, name = path.rpartition(".")
    package, _, room = module_name.partition(".")
    if not trusted and (package != "tngexp" or room.partition(".")[0] not in _ROOMS):
        raise ConfigError(
            f"component '{path}' is not part of tngexp; if you trust where it comes from, "
            "load with trusted=True"
        )
    try:
        target = getattr(importlib.import_module(module_name), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"component '{path}' does not exist: {error}") from error
    if not isinstance(target, type):
        raise ConfigError(f"component '{path}' is not a class")
    return target
