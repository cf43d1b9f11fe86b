"""Signals end a run between two optimizer steps, where a checkpoint is exact.

Ctrl-C and SIGTERM end it for good. A cluster's launcher announces the end of a job by SIGUSR1 or
SIGUSR2 (submitit's handler for it requeues the job): its handler is called after the checkpoint.
"""

from __future__ import annotations

import functools
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from tngexp.errors import TngexpError

__all__ = ["Interrupted", "StopRequest", "catch_signals"]

# Absent on Windows.
_ANNOUNCED = tuple(
    getattr(signal, name) for name in ("SIGUSR1", "SIGUSR2") if hasattr(signal, name)
)


class StopRequest:
    """Set by a signal handler, read by the checkpoint callback after each optimizer step."""

    def __init__(self) -> None:
        self.signum: int | None = None
        self._requeue: Callable[[], object] | None = None

    def __bool__(self) -> bool:
        return self.signum is not None

    def hand_on(self) -> None:
        """Let the launcher requeue the job, if it was it that wanted an end; may not return."""
        requeue, self._requeue = self._requeue, None
        if requeue is not None:
            requeue()

    def set(self, signum: int, requeue: Callable[[], object] | None = None) -> None:
        """Ask for an end; ``requeue`` is called once the checkpoint is written."""
        self.signum = signum
        self._requeue = requeue or self._requeue  # SIGTERM often follows an announcement


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
    """Record signals in ``request``; a second SIGINT interrupts at once."""
    if threading.current_thread() is not threading.main_thread():
        yield  # Python only lets the main thread install handlers
        return

    def handler(signum: int, frame: FrameType | None) -> None:
        if request and signum == signal.SIGINT:
            raise KeyboardInterrupt
        theirs = previous[signum]
        if signum in _ANNOUNCED and callable(theirs):
            request.set(signum, functools.partial(theirs, signum, frame))
        else:
            request.set(signum)

    previous: dict[int, Any] = {
        signum: signal.getsignal(signum)
        for signum in (signal.SIGINT, signal.SIGTERM, *_ANNOUNCED)
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
