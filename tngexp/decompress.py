"""Decompress files: ``python -m tngexp.decompress photo.tng --model CHECKPOINT``.

The same as ``tng decompress``.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from tngexp.cli.main import run_command

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code. ``argv`` (without the program) is for tests."""
    return run_command("decompress", argv)


if __name__ == "__main__":
    sys.exit(main())
