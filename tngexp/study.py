"""Votes of people: ``python -m tngexp.study``, see :mod:`tngexp.cli.study`."""

from __future__ import annotations

import sys

from tngexp.cli.study import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
