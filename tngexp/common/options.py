"""Whether the value of an option is of the type that whoever takes it has declared."""

from __future__ import annotations

import collections.abc
import difflib
import inspect
import math
import os
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, fields
from typing import Any, Literal, Union

from tngexp.errors import ConfigError

__all__ = [
    "as_list",
    "check_options",
    "declared_types",
    "did_you_mean",
    "known_options",
    "mismatch",
]

_WORDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    type(None): "null",
}
_COMPONENT = "a component, described by a _target_"
_LISTS = (list, tuple, collections.abc.Sequence, collections.abc.Iterable)
_MAPPINGS = (dict, collections.abc.Mapping)


def declared_types(target: Callable[..., Any]) -> dict[str, Any]:
    """The annotations of what ``target`` takes, by name; none where they cannot be resolved."""
    try:
        return typing.get_type_hints(target.__init__ if inspect.isclass(target) else target)
    except (NameError, TypeError, AttributeError):
        return {}


def mismatch(value: object, declared: Any) -> str | None:
    """What an option declared as ``declared`` should have been, in words; None if ``value`` fits.

    Numbers are not text and text is no number. What cannot be written in a configuration, such as a
    module, is taken to fit.
    """
    if _fits(value, declared):
        return None
    words = _words(declared)
    if "text" in words and isinstance(value, bool | int | float):
        words += "; quotes make text of it"
    return words


def _fits(value: object, declared: Any) -> bool:
    origin, arguments = typing.get_origin(declared), typing.get_args(declared)
    if origin in (Union, types.UnionType):
        return any(_fits(value, one) for one in arguments)
    if origin is Literal:
        return any(value == one and type(value) is type(one) for one in arguments)
    kind = origin or declared
    if kind in _LISTS:
        return isinstance(value, list | tuple) and _items_fit(value, kind, arguments)
    if kind in _MAPPINGS:
        return isinstance(value, Mapping)
    if _is_path(kind):
        return isinstance(value, str | os.PathLike)
    if kind is float:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and not math.isnan(value)  # type: ignore[arg-type]
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if kind in _WORDS:
        return isinstance(value, kind)
    # Any, or something that a configuration describes by a _target_ and that was built from it.
    return kind is Any or not isinstance(value, bool | int | float | str | list | tuple)


def _is_path(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, os.PathLike)


def _items_fit(value: list[Any] | tuple[Any, ...], kind: Any, arguments: tuple[Any, ...]) -> bool:
    if not arguments:
        return True
    if kind is tuple and arguments[-1] is not Ellipsis:
        return len(value) == len(arguments) and all(map(_fits, value, arguments))
    return all(_fits(item, arguments[0]) for item in value)


def _words(declared: Any) -> str:
    origin, arguments = typing.get_origin(declared), typing.get_args(declared)
    if origin in (Union, types.UnionType):
        known = dict.fromkeys(_words(one) for one in arguments)
        return " or ".join([words for words in known if words != _COMPONENT] or known)
    if origin is Literal:
        return f"one of {', '.join(map(str, arguments))}"
    kind = origin or declared
    if _is_path(kind):
        return _WORDS[str]
    if kind in _LISTS:
        if kind is tuple and arguments and arguments[-1] is not Ellipsis:
            return f"a list [{', '.join(_words(one) for one in arguments)}]"
        return f"a list [{_words(arguments[0])}, …]" if arguments else "a list"
    if kind in _MAPPINGS:
        return "a group of options"
    return _WORDS.get(kind, _COMPONENT)


def as_list(option: str, value: Any) -> list[str]:
    """The names that a list option holds: ``metrics=ssim`` is a list of one, null an empty one.

    Raises:
        ConfigError: for anything that is neither a name nor a list of names.
    """
    entries = [] if value is None else list(value) if isinstance(value, list | tuple) else [value]
    # Hydra reads a folder called 2024 as a number.
    if not all(
        isinstance(entry, str | int | float) and not isinstance(entry, bool) and entry != ""
        for entry in entries
    ):
        raise ConfigError(f"{option}={value!r} must be a name or a list of names, {option}=[a,b].")
    return [str(entry) for entry in entries]


def did_you_mean(word: str, options: Iterable[str]) -> str:
    """`` Did you mean 'x'?`` when ``word`` resembles an option, otherwise an empty string."""
    close = difflib.get_close_matches(word, list(options), n=1, cutoff=0.6)
    return f" Did you mean '{close[0]}'?" if close else ""


def known_options(
    config: Mapping[str, Any],
    cls: type[Any],
    where: str,
    hint: Callable[[str], str | None] = lambda key: None,
) -> dict[str, Any]:
    """``config`` as arguments of the dataclass ``cls``.

    Args:
        config: the options.
        cls: a dataclass.
        where: what the user knows the group as; empty for what belongs to none.
        hint: what to do about an unknown key, ``where.key``; None where it knows nothing.

    Raises:
        ConfigError: for an unknown option, a missing one, or a value of a wrong type.
    """
    if not isinstance(config, Mapping):
        raise ConfigError(f"{where}={config!r} must be a group of options.")
    names = [field.name for field in fields(cls)]
    within, of = (f"{where}.", f" of {where}") if where else ("", "")
    for key in config:
        if key not in names:
            known = hint(f"{within}{key}")
            if known is not None:
                raise ConfigError(f"{known}.")
            raise ConfigError(
                f"unknown option {within}{key}.{did_you_mean(str(key), names)} "
                f"Options{of}: {', '.join(names)}."
            )
    for field in fields(cls):
        required = field.default is MISSING and field.default_factory is MISSING
        if required and field.name not in config:
            raise ConfigError(
                f"{within}{field.name} is not set and has no default; give {within}{field.name}=…"
            )
    types = declared_types(cls)
    for key, value in config.items():
        expected = mismatch(value, types[key])
        if expected is not None:
            raise ConfigError(f"{within}{key}={value!r} must be {expected}.")
    return dict(config)


def check_options(target: Callable[..., Any], arguments: Mapping[str, Any], option: str) -> None:
    """Raise ConfigError unless ``arguments`` are of the types that ``target`` declares.

    Args:
        target: a class or function.
        arguments: by name.
        option: what the user knows the arguments' group as.
    """
    declared = declared_types(target)
    for key, value in arguments.items():
        expected = mismatch(value, declared[key]) if key in declared else None
        if expected is not None:
            shown = f"{option}.{key}" if option else key
            raise ConfigError(f"{shown}={value!r} must be {expected}.")
