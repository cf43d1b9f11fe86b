"""Evaluation: ``python -m tngexp.evaluate``, see :mod:`tngexp.cli.evaluate`."""

from __future__ import annotations

import sys

from tngexp.cli.evaluate import Evaluation, evaluate, main

__all__ = ["Evaluation", "evaluate", "main"]

if __name__ == "__main__":
    sys.exit(main())
