"""What pages are made with: templates that escape, the assets beside them, and data as JSON."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from tngexp.common.terminal import valid

__all__ = ["plain", "template"]

_ASSETS = PackageLoader("tngexp.report", "assets")


def template(
    name: str,
    *,
    filters: Mapping[str, Callable[..., Any]] | None = None,
    functions: Mapping[str, Callable[..., Any]] | None = None,
) -> Template:
    """A template of ``assets/`` that escapes every value, unless it is ``Markup`` or JSON.

    Args:
        name: of the file.
        filters: what it may pipe values through, beside those of jinja2.
        functions: what it may call, beside ``asset``, which gives a script or a style sheet.
    """
    environment = Environment(
        loader=_ASSETS,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    # tojson writes < as \u003c: no < means no end tag and no comment in a script element.
    environment.policies["json.dumps_kwargs"] = {
        "ensure_ascii": False,
        "allow_nan": False,
        "separators": (",", ":"),
    }
    environment.filters |= dict(filters or {})
    environment.globals |= {"asset": lambda name: _asset(environment, name), **(functions or {})}
    return environment.get_template(name)


def _asset(environment: Environment, name: str) -> Markup:
    """A script or style sheet as it is; its braces are no template's."""
    return Markup(_ASSETS.get_source(environment, name)[0])  # our own files


def plain(data: Any) -> Any:
    """The same with only what JSON knows; NaN and infinity become null, the unknown its text."""
    if isinstance(data, Mapping):
        return {str(key): plain(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [plain(value) for value in data]
    if isinstance(data, float):
        return float(data) if math.isfinite(data) else None
    if data is None or isinstance(data, bool | int):
        return data
    return valid(str(data))  # here, since the backslashes of a name are escaped yet
