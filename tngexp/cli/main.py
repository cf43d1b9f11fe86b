"""``tng``: parse the command line, turn errors into messages and exit codes.

Exit codes: 0 done, 2 for anything the user can fix (one bad file among many included), 130 after
Ctrl-C, 129 after SIGHUP (the terminal was closed), 143 after SIGTERM.
"""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType, ModuleType

from tngexp import __version__
from tngexp.common.terminal import reason, run_printing
from tngexp.errors import TngexpError

__all__ = ["main", "run_command"]

_COMMANDS = ("compress", "decompress", "restore", "info", "look", "models")
_MODULES = {"models": "shipped"}  # where a command's module is called otherwise


def main(argv: Sequence[str] | None = None) -> int:
    """The ``tng`` command; returns its exit code. ``argv`` (without the program) is for tests."""

    def work() -> int:
        parser = argparse.ArgumentParser(
            prog="tng", description="Compress images with a trained codec, and get them back."
        )
        parser.add_argument("--version", action="version", version=f"tng {__version__}")
        commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
        for name in _COMMANDS:
            text = _module(name).DESCRIPTION
            _module(name).add_arguments(commands.add_parser(name, help=text, description=text))
        arguments = parser.parse_args(argv)
        return int(_module(arguments.command).run(arguments))

    return _guarded(work)


def run_command(name: str, argv: Sequence[str] | None = None) -> int:
    """One command as a program of its own: ``python -m tngexp.compress``."""

    def work() -> int:
        module = _module(name)
        parser = argparse.ArgumentParser(
            prog=f"python -m tngexp.{name}", description=module.DESCRIPTION
        )
        module.add_arguments(parser)
        return int(module.run(parser.parse_args(argv)))

    return _guarded(work)


def _module(name: str) -> ModuleType:
    # Not at the top, so that Ctrl-C is quiet from the start.
    return importlib.import_module(f"tngexp.cli.{_MODULES.get(name, name)}")


def _guarded(work: Callable[[], int]) -> int:
    try:
        with _terminable():
            return run_printing(lambda: _explained(work))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def _explained(work: Callable[[], int]) -> int:
    try:
        return work()
    except (TngexpError, OSError) as error:
        unnamed = isinstance(error, OSError) and error.filename is None  # of a standard stream
        if unnamed or os.environ.get("TNGEXP_DEBUG") == "1":
            raise
        message = f"{error.filename}: {reason(error)}" if isinstance(error, OSError) else error
        print(f"error: {message}", file=sys.stderr)
        return 2


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM and SIGHUP unwind the stack, so that a half-written file is removed as after
    Ctrl-C. What is ignored stays so, as SIGHUP below nohup.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # Python only lets the main thread install handlers
        return

    def stop(signum: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + signum)

    names = [signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
    previous = {
        signum: signal.signal(signum, stop)
        for signum in names
        if signal.getsignal(signum) is not signal.SIG_IGN
    }
    try:
        yield
    finally:
        for signum, handler in previous.items():
            signal.signal(signum, handler)


if __name__ == "__main__":
    sys.exit(main())
