"""Importing the compiled loops when something is coded, not before, and what they report."""

from __future__ import annotations

import logging
from functools import cache, lru_cache
from importlib import import_module
from types import ModuleType
from typing import Any

from tngexp.coding.errors import BitstreamError
from tngexp.coding.probability import MAX_SYMBOL

__all__ = ["load_compiled", "raise_for"]

_LOG = logging.getLogger(__name__)  # warnings reach stderr even where nobody configured logging
_PROJECT = __name__.partition(".")[0] + "."


@cache
def load_compiled(module: str) -> ModuleType:
    """Import a module of compiled loops."""
    _announce_compiling()
    return import_module(module)


@lru_cache(maxsize=1)
def _announce_compiling() -> None:
    """Have it said, once, when numba really compiles one of ours rather than loads a cache."""
    from numba.core import event

    class _Announce(event.Listener):
        said = False

        def on_start(self, event: Any) -> None:
            module = event.data["dispatcher"].py_func.__module__
            if not self.said and module.startswith(_PROJECT):
                self.said = True
                _LOG.warning("compiling the entropy coder (once, about 10 s) …")

        def on_end(self, event: Any) -> None:
            pass

    event.register("numba:compile", _Announce())


def raise_for(kernels: ModuleType, status: int) -> None:
    """Raise what a kernel's negative status stands for."""
    if status >= 0:
        return
    if status == kernels.UNDERRUN:
        raise BitstreamError("the coded stream ends too early")
    if status == kernels.BAD_ESCAPE:
        raise BitstreamError("the coded stream holds an impossible escape code")
    if status == kernels.BAD_SYMBOL:
        raise ValueError(f"a symbol is outside its alphabet or beyond ±{MAX_SYMBOL}")
    raise ValueError("weights must add up to 65536, means lie within ±4096·256, channels exist")
