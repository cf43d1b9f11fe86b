"""Complexity of a codec: ``python -m tngexp.complexity``, see :mod:`tngexp.cli.complexity`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from tngexp.cli.complexity import main

if TYPE_CHECKING:
    from tngexp.evaluation.complexity import details, measure, table

__all__ = ["details", "main", "measure", "table"]


def __getattr__(name: str) -> Any:
    # torch takes a second to import: --help should not wait for it.
    if name in ("details", "measure", "table"):
        from tngexp.evaluation import complexity

        return getattr(complexity, name)
    raise AttributeError(f"module 'tngexp.complexity' has no attribute '{name}'")


if __name__ == "__main__":
    sys.exit(main())
