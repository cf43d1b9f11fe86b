"""Evaluation: ``python -m tngexp.evaluate``, see :mod:`tngexp.cli.evaluate`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from tngexp.cli.evaluate import main

if TYPE_CHECKING:
    from tngexp.evaluation.evaluate import Evaluation, evaluate

__all__ = ["Evaluation", "evaluate", "main"]


def __getattr__(name: str) -> Any:
    # torch takes a second to import: --help should not wait for it.
    if name in ("Evaluation", "evaluate"):
        from tngexp.evaluation import evaluate

        return getattr(evaluate, name)
    raise AttributeError(f"module 'tngexp.evaluate' has no attribute '{name}'")


if __name__ == "__main__":
    sys.exit(main())
