"""Keeps freed memory in the process, so that a training step does not page it in again."""

from __future__ import annotations

import ctypes
import platform

__all__ = ["keep_freed_memory", "return_freed_memory"]

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # malloc.h


def keep_freed_memory() -> bool:
    """Have glibc reuse large blocks; returns whether it could be told to.

    By default it maps each block above 32 MiB anew and returns the end of the heap to the system,
    so that every large activation of every step costs page faults: a fifth of a step on a CPU.
    """
    return _set_thresholds(mmap=2**30, trim=2**31 - 1)


def return_freed_memory() -> bool:
    """Undo it: the thresholds glibc itself ends up with after large blocks, and nothing kept."""
    known = _set_thresholds(mmap=2**25, trim=2**26)
    if known:
        ctypes.CDLL(None).malloc_trim(0)
    return known


def _set_thresholds(mmap: int, trim: int) -> bool:
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(_MMAP_THRESHOLD, mmap)) and bool(mallopt(_TRIM_THRESHOLD, trim))
