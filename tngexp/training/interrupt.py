"""Ctrl-C and SIGTERM end a run between two optimizer steps, where a checkpoint is exact."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from tngexp.types import TngexpError

__all__ = ["Interrupted", "StopRequest", "catch_signals"]


class StopRequest:
    """Set by a signal handler, read by the checkpoint callback after each optimizer step."""

    def __init__(self) -> None:
        self.signum: int | None = None

    def __bool__(self) -> bool:
        return self.signum is not None


class Interrupted(TngexpError):  # noqa: N818 (like KeyboardInterrupt, a request)
    """A run that was asked to stop and has saved ``checkpoint``."""

    def __init__(self, step: int, checkpoint: Path | None, signum: int) -> None:
        self.step = step
        self.checkpoint = checkpoint
        self.exit_code = 128 + signum  # the shell's convention
        saved = f"; saved {checkpoint}" if checkpoint else "; nothing was saved yet"
        super().__init__(f"stopped at step {step} by {signal.Signals(signum).name}{saved}")


@contextmanager
def catch_signals(request: StopRequest) -> Iterator[None]:
    """Record SIGINT and SIGTERM in ``request``; a second SIGINT interrupts at once."""
    if threading.current_thread() is not threading.main_thread():
        yield  # Python only lets the main thread install handlers
        return

    def handler(signum: int, frame: FrameType | None) -> None:
        if request and signum == signal.SIGINT:
            raise KeyboardInterrupt
        request.signum = signum

    previous = {
        signum: signal.getsignal(signum)
        for signum in (signal.SIGINT, signal.SIGTERM)
        # A shell has background jobs ignore Ctrl-C; that is to stay so.
        if signal.getsignal(signum) is not signal.SIG_IGN
    }
    for signum in previous:
        signal.signal(signum, handler)
    try:
        yield
    finally:
        for signum, old in previous.items():
            signal.signal(signum, old)
