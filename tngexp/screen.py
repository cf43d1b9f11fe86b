"""Screening of ideas: ``python -m tngexp.screen``, see :mod:`tngexp.cli.screen`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from tngexp.cli.screen import main

if TYPE_CHECKING:
    from tngexp.studies.screen import Screening, screen

__all__ = ["Screening", "main", "screen"]


def __getattr__(name: str) -> Any:
    # torch takes a second to import: --help should not wait for it.
    if name in ("Screening", "screen"):
        from tngexp.studies import screen

        return getattr(screen, name)
    raise AttributeError(f"module 'tngexp.screen' has no attribute '{name}'")


if __name__ == "__main__":
    sys.exit(main())
