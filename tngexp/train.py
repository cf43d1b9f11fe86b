"""Training: ``python -m tngexp.train``, see :mod:`tngexp.cli.train`."""

from __future__ import annotations

import sys

from tngexp.cli.train import TrainResult, main, train

__all__ = ["TrainResult", "main", "train"]

if __name__ == "__main__":
    sys.exit(main())
