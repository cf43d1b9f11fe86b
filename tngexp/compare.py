"""Comparison with real codecs: ``python -m tngexp.compare``, see :mod:`tngexp.cli.compare`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from tngexp.cli.compare import main

if TYPE_CHECKING:
    from tngexp.evaluation.compare import Comparison, compare

__all__ = ["Comparison", "compare", "main"]


def __getattr__(name: str) -> Any:
    # torch takes a second to import: --help should not wait for it.
    if name in ("Comparison", "compare"):
        from tngexp.evaluation import compare

        return getattr(compare, name)
    raise AttributeError(f"module 'tngexp.compare' has no attribute '{name}'")


if __name__ == "__main__":
    sys.exit(main())
