"""How the inner loops are compiled: numba, for fixed argument types, kept in numba's cache.

This file imports numba, so nothing imports it before something is coded. numba renews a kernel's
cache when the kernel's file changes, not when a constant or helper from another file does: touch
the kernel's file then.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numba import njit, types
from numpy.typing import NDArray

__all__ = ["Int", "Int32s", "Int64s", "UInt8s", "UInt32s", "UInt64s", "compiled", "read", "write"]

Int: TypeAlias = Any  # a machine integer: int64, or uint64 where it is the coder's state
UInt8s: TypeAlias = NDArray[np.uint8]
Int32s: TypeAlias = NDArray[np.int32]
Int64s: TypeAlias = NDArray[np.int64]
UInt32s: TypeAlias = NDArray[np.uint32]
UInt64s: TypeAlias = NDArray[np.uint64]

# No kernel allocates, so none needs numba's reference counting of array arguments, whose atomic
# increments in every call of a helper would cost five sixths of the speed.
_OPTIONS = {"error_model": "numpy", "_nrt": False}


def read(scalar: Any, ndim: int = 1) -> Any:
    """Type of an argument that is only read: one signature for writable and read-only arrays."""
    return types.Array(scalar, ndim, "C", readonly=True)


def write(scalar: Any) -> Any:
    """Type of a vector that a kernel writes to."""
    return types.Array(scalar, 1, "C")


def compiled(*arguments: Any) -> Callable[[Callable[..., Any]], Any]:
    """Compile, on import or from the cache, for these argument types; for a helper, on demand."""
    signature = (types.int64(*arguments),) if arguments else ()

    def decorate(function: Callable[..., Any]) -> Any:
        try:
            return njit(*signature, cache=True, **_OPTIONS)(function)
        except RuntimeError:  # no folder to keep the cache in: compile in every process
            return njit(*signature, **_OPTIONS)(function)

    return decorate
