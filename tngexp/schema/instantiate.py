"""What a user's configuration describes, built by ``hydra.utils.instantiate``.

Codecs are built by :func:`tngexp.model.build.build` instead, because their descriptions also come
with files from elsewhere, which must not name whatever there is to import.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import hydra
from hydra.errors import InstantiationException
from omegaconf.errors import OmegaConfBaseException

from tngexp.common.options import check_options, did_you_mean
from tngexp.errors import ConfigError, TngexpError

__all__ = ["instantiate", "target_of"]

_SPECIAL = ("_target_", "_args_", "_partial_", "_recursive_", "_convert_")


def instantiate(config: Any, option: str, kind: type[Any] | None = None, **filled: Any) -> Any:
    """The object that ``config`` describes by ``_target_`` and arguments, as Hydra builds it.

    Args:
        config: plain; lists, functions, class methods, ``_args_`` and ``_partial_`` as Hydra takes
            them.
        option: what the user knows the description as, for messages.
        kind: what the object has to be.
        filled: further arguments, for what the description leaves open.

    Raises:
        ConfigError: for a target that cannot be imported, arguments that it does not take, or an
            object of another kind.
    """
    target = target_of(config, option)
    arguments = {key: value for key, value in config.items() if key not in _SPECIAL}
    _check_names(target, arguments, option)
    plain = {k: v for k, v in arguments.items() if not (isinstance(v, Mapping) and "_target_" in v)}
    check_options(target, plain, option)
    try:
        made = hydra.utils.instantiate({**config, "_convert_": "all"}, **filled)
    except (InstantiationException, OmegaConfBaseException) as error:
        raise _explained(error, config, option) from error
    if kind is not None and not isinstance(made, kind):
        raise ConfigError(f"{option}._target_={config['_target_']} is no {kind.__name__}.")
    return made


def target_of(config: Any, option: str) -> Callable[..., Any]:
    """The class or function that ``config`` names.

    Raises:
        ConfigError: for a description without a ``_target_``, or one that does not import.
    """
    path = config.get("_target_") if isinstance(config, Mapping) else None
    if not isinstance(path, str):
        raise ConfigError(
            f"{option}={config!r} does not say what to build: give it a _target_, the path of a "
            f"class or function, such as +{option}={{_target_:package.module.Class}}."
        )
    try:
        target: Callable[..., Any] = hydra.utils.get_object(path)
    except ModuleNotFoundError as error:
        raise _missing_module(error, path, option) from error
    except Exception as error:  # whatever an import does
        if isinstance(error.__cause__, ModuleNotFoundError):
            raise _missing_module(error.__cause__, path, option) from error
        reason = str(error).splitlines()[0]
        raise ConfigError(f"{option}._target_={path} does not exist: {reason}") from error
    if not callable(target):
        raise ConfigError(f"{option}._target_={path} is neither a class nor a function.")
    return target


def _missing_module(error: ModuleNotFoundError, path: str, option: str) -> ConfigError:
    name = error.name or path.partition(".")[0]
    if path.startswith(name):
        return ConfigError(f"{option}._target_={path} does not exist: {error}")
    return ConfigError(
        f"{option}._target_={path} needs the package {name}, which is not installed: "
        f"pip install {name.partition('.')[0]}"
    )


def _check_names(target: Callable[..., Any], arguments: Mapping[str, Any], option: str) -> None:
    """Refuse an argument that ``target`` does not take, with the nearest that it does."""
    try:
        parameters = inspect.signature(target).parameters
    except (TypeError, ValueError):
        return  # of a built-in; it tells by itself
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
        return
    for key in arguments:
        if key not in parameters:
            name = getattr(target, "__name__", "it")
            raise ConfigError(
                f"unknown option {option}.{key}.{did_you_mean(str(key), parameters)} "
                f"{name} takes: {', '.join(parameters)}."
            )


def _explained(error: Exception, config: Mapping[str, Any], option: str) -> TngexpError:
    cause = error.__cause__ or error.__context__
    if isinstance(cause, TngexpError):
        return cause
    if isinstance(cause, ModuleNotFoundError):
        return _missing_module(cause, str(config["_target_"]), option)
    reason = str(cause or error).strip().splitlines()
    given = {k: v for k, v in config.items() if k not in _SPECIAL and not isinstance(v, Mapping)}
    shown = ", ".join(f"{key}={value!r}" for key, value in given.items())
    return ConfigError(
        f"{option} cannot be built with {shown or 'its options'}: {reason[0] if reason else cause}"
    )
