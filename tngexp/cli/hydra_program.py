"""What the Hydra programs share: how one is run, with a clear message instead of a traceback."""

from __future__ import annotations

import os
import re
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any, TextIO

import hydra
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from tngexp.cli.hydra_errors import explain, groups
from tngexp.cli.hydra_help import asks_for_help, help_text
from tngexp.common.configuration import CONF_DIR
from tngexp.common.terminal import run_printing
from tngexp.common.words import as_text, without_null_groups
from tngexp.errors import ConfigError, TngexpError
from tngexp.schema.store import register_config

__all__ = ["EXPECTED", "guarded", "run_jobs", "run_program", "tell_error"]

EXPECTED = (TngexpError, OmegaConfBaseException, OSError)
"""What a job may raise that the user can fix."""


def run_program(
    name: str,
    job: Callable[[DictConfig], None],
    about: str | None,
    argv: Sequence[str] | None = None,
) -> int:
    """Run ``python -m tngexp.NAME`` and return its exit code, 2 when a job has failed.

    With ``-m``, a job that fails leaves the others alone.

    Args:
        name: of the program and of its file in ``conf/``.
        job: what is done with one configuration; what it raises is printed as one message.
        about: for ``--help``, the text above what can be set.
        argv: the command line without the program; that of the process by default.
    """
    failed = False

    def one(config: DictConfig) -> None:
        nonlocal failed
        try:
            job(config)
        except EXPECTED as error:
            # Caught here, since Hydra would add a line of its own to the message.
            tell_error(error, name)
            failed = True

    code = run_jobs(name, one, about, argv)
    return 2 if failed else code


def run_jobs(
    name: str,
    job: Callable[[DictConfig], Any],
    about: str | None,
    argv: Sequence[str] | None = None,
    config_name: str | None = None,
) -> int:
    """The same for a job that tells its errors itself, or of which the first error ends the rest.

    Args:
        name: of the program.
        job: returns what a sweeper of Hydra's should minimise, if anything.
        about: for ``--help``.
        argv: the command line without the program; that of the process by default.
        config_name: of ``conf/``, where it is not the program's name.
    """
    register_config()
    if argv is not None:
        sys.argv[1:] = argv
    config_name = config_name or name
    job.__module__ = f"tngexp.{name}"  # Hydra takes the program's name from it
    main = hydra.main(version_base="1.3", config_path=str(CONF_DIR), config_name=config_name)
    return guarded(main(job), config_name, about)


def guarded(entry_point: Callable[[], Any], config_name: str, about: str | None = None) -> int:
    """Run a Hydra entry point and return its exit code, printing expected errors as one message.

    ``TNGEXP_DEBUG=1`` or ``HYDRA_FULL_ERROR=1`` keep the tracebacks.

    Args:
        entry_point: takes its words from ``sys.argv``.
        config_name: of ``conf/``.
        about: for ``--help``, the text above what can be set.
    """

    def program() -> int:
        if about is not None and asks_for_help(sys.argv[1:]):
            return _explained(
                lambda: print(help_text(config_name, about, sys.argv[1:])), config_name
            )
        return _explained(lambda: _checked(entry_point), config_name)

    return run_printing(program)


def tell_error(error: Exception, config_name: str) -> str:
    """Print the message for ``error`` and return it; raise what is not the user's to fix.

    Args:
        error: the exception that is being handled.
        config_name: of ``conf/``.
    """
    message = explain(error, config_name)
    if message is None or _debugging():
        raise error
    print(f"error: {message}", file=sys.stderr)
    return message


def _debugging() -> bool:
    """Whether the user asked for tracebacks."""
    return os.environ.get("TNGEXP_DEBUG") == "1" or _user_wants_traces


_user_wants_traces = os.environ.get("HYDRA_FULL_ERROR") == "1"


def _checked(entry_point: Callable[[], Any]) -> None:
    """Refuse what an unset variable of the shell leaves behind, such as ``resume=``."""
    for word in sys.argv[1:]:
        if re.fullmatch(r"\+{0,2}[\w./@]+=", word):
            name = word.strip("+=")
            raise ConfigError(
                f"{name}= is empty (a variable of the shell that is not set?); {name}=null is the "
                "value of nothing"
            )
    sys.argv[1:] = as_text(without_null_groups(sys.argv[1:], groups()))
    entry_point()


def _explained(work: Callable[[], Any], config_name: str) -> int:
    # Without it Hydra prints its own traceback and exits before we see the exception.
    before = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _WarningOnce()
            work()
    except BrokenPipeError:
        raise
    except (*EXPECTED, HydraException) as error:
        tell_error(error, config_name)
        return int(getattr(error, "exit_code", 2))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    finally:
        if before is None:
            os.environ.pop("HYDRA_FULL_ERROR", None)
        else:
            os.environ["HYDRA_FULL_ERROR"] = before
    return 0


class _WarningOnce:
    """Shows each warning once for a command, however many trainings of it would give it.

    Our own are for the user, who does not care which line of ours gave them.
    """

    def __init__(self) -> None:
        self._shown: set[str] = set()

    def __call__(
        self,
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        text = f"warning: {message}\n"
        if not category.__module__.startswith("tngexp."):
            text = warnings.formatwarning(message, category, filename, lineno, line)
        if text not in self._shown:
            self._shown.add(text)
            (file or sys.stderr).write(text)
