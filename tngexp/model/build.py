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

from tngexp.common.options import check_options
from tngexp.types import ConfigError

__all__ = ["build"]

_COMPONENTS = ("transforms", "quantizers", "priors", "rate", "post")


def build(config: Any, *, trusted: bool = False, option: str = "") -> Any:
    """Build the object that ``config`` describes.

    ``_target_`` is the path of a class, the other keys its arguments; nested descriptions are
    built first. ``_partial_: true`` gives a factory with the arguments filled in.

    Args:
        config: the description.
        trusted: whether ``_target_`` may name any importable class (a configuration of the
            user's own) or only this package's components (one that came with a file).
        option: what the user knows the description as, for messages.

    Raises:
        ConfigError: for an unknown class, one not allowed, or arguments that it does not take or
            cannot work with.
    """
    if not isinstance(config, Mapping) or not isinstance(config.get("_target_"), str):
        raise ConfigError(
            f"{option or 'component'}={config!r} does not say what to build: a component is "
            "described by a _target_, the path of its class, and its options"
        )
    name = str(config["_target_"])
    arguments = {
        key: build(value, trusted=trusted, option=f"{option}.{key}" if option else str(key))
        if isinstance(value, Mapping) and "_target_" in value
        else value
        for key, value in config.items()
        if key not in ("_target_", "_partial_")
    }
    target = _locate(name, trusted)
    signature = inspect.signature(target)
    try:
        if config.get("_partial_", False):
            signature.bind_partial(**arguments)
        else:
            signature.bind(**arguments)
    except TypeError as error:
        accepted = ", ".join(signature.parameters)
        raise ConfigError(f"{name}: {error}; it takes: {accepted}") from error
    check_options(target, arguments, option or name)
    factory = functools.partial(target, **arguments)
    if config.get("_partial_", False):
        return factory
    try:
        return factory()
    except (TypeError, ValueError, RuntimeError, ArithmeticError) as error:
        plain = {key: value for key, value in arguments.items() if _is_plain(value)}
        given = ", ".join(f"{key}={value!r}" for key, value in plain.items())
        raise ConfigError(
            f"{option or name} cannot be built with {given or 'its options'}: {error}"
        ) from error


def _is_plain(value: object) -> bool:
    return value is None or isinstance(value, bool | int | float | str | list | tuple)


def _locate(path: str, trusted: bool) -> type:
    module_name, _, name = path.rpartition(".")
    package, _, inner = module_name.partition(".")
    if not trusted and (package != "tngexp" or inner.partition(".")[0] not in _COMPONENTS):
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
