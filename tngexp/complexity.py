"""Complexity of a codec: ``python -m tngexp.complexity``, see :mod:`tngexp.cli.complexity`."""

from __future__ import annotations

import sys

from tngexp.cli.complexity import details, main, measure, table

__all__ = ["details", "main", "measure", "table"]

if __name__ == "__main__":
    sys.exit(main())
