"""Comparison with real codecs: ``python -m tngexp.compare``, see :mod:`tngexp.cli.compare`."""

from __future__ import annotations

import sys

from tngexp.cli.compare import Comparison, compare, main

__all__ = ["Comparison", "compare", "main"]

if __name__ == "__main__":
    sys.exit(main())
