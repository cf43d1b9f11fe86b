"""Telling how far the coding of an image is."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Share", "part"]

Share = Callable[[float], None]
"""Called with the share of the work that is done, 0 … 1."""


def part(progress: Share | None, start: float, stop: float) -> Share:
    """What a part of the work reports to, which is all of it from ``start`` to ``stop``."""
    if progress is None:
        return _nobody
    return lambda share: progress(start + (stop - start) * share)


def _nobody(share: float) -> None:
    pass
