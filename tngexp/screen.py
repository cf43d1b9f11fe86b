"""Screening of ideas: ``python -m tngexp.screen``, see :mod:`tngexp.cli.screen`."""

from __future__ import annotations

import sys

from tngexp.cli.screen import Screening, main, screen

__all__ = ["Screening", "main", "screen"]

if __name__ == "__main__":
    sys.exit(main())
