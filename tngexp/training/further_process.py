"""One of the further processes of a training on several devices; started by ``distributed``."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

from tngexp.devices.distributed import end_with
from tngexp.runs.interrupt import Interrupted
from tngexp.training.engine import run
from tngexp.types import TngexpError

__all__ = ["main"]


def main(file: str) -> int:
    """Train as the configuration in ``file`` says; the exit code."""
    end_with(int(os.environ["_TNGEXP_FIRST_PROCESS"]))
    for name in ("SIGUSR1", "SIGUSR2"):  # meant for the first process, but sent to all
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    try:
        run(json.loads(Path(file).read_text(encoding="utf-8")))
    except Interrupted:
        return 0  # the first process tells
    except TngexpError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
