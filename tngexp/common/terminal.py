"""What programs print to: any name on any terminal, and nothing read as formatting.

A file may be called ``photo[1].png``, or by bytes that are no text at all, and a terminal may know
only ASCII. Neither is a reason for a program to fail, least of all after its work is done.
"""

from __future__ import annotations

import argparse
import codecs
import io
import os
import re
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["console", "forgiving", "named_path", "reason", "run_printing", "shown", "valid"]

_ERRORS = "tngexp.forgiving"
# What our own texts use and an ASCII or Latin-1 terminal lacks.
_PLAIN = str.maketrans(
    {
        **{"×": "x", "·": "*", "…": "...", "–": "-", "—": "-", "−": "-", "→": "->", "↔": "<->"},
        **{"±": "+-", "≤": "<=", "≥": ">=", "∞": "inf", "½": "1/2", "λ": "lambda", "σ": "sigma"},
        **{digit: f"({n})" for n, digit in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")},
    }
)


def _replaced(error: UnicodeError) -> tuple[str | bytes, int]:
    """A handler of ``codecs``: the original bytes of a name, a plainer sign, or an escape."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    character = error.object[error.start]
    if "\udc80" <= character <= "\udcff":  # a byte of a name that is not text, as Python holds it
        return bytes([ord(character) - 0xDC00]), error.start + 1
    plain = character.translate(_PLAIN)
    if not plain.isascii():
        plain = character.encode("ascii", "backslashreplace").decode("ascii")
    return plain, error.start + 1


codecs.register_error(_ERRORS, _replaced)


def forgiving() -> None:
    """Have standard output and standard error take any text, whatever their encoding.

    A standard error that is closed takes what nobody reads: ``print`` would put it into standard
    output, and the next file that is opened would take its place for what writes to it directly.
    """
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_ERRORS)


def valid(text: str) -> str:
    r"""``text`` for what takes only valid text: bytes that are none become ``\xff`` or the like."""

    def escaped(found: re.Match[str]) -> str:
        code = ord(found[0])
        return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x}"

    return re.sub("[\ud800-\udfff]", escaped, text)


def shown(text: str) -> str:
    r"""The same on one line, in visible characters: others become ``\x85`` or the like."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in valid(text)
    )


def console(file: TextIO | None = None, width: int | None = None) -> Console:
    """A console of rich that prints text as it is; on standard output unless ``file`` is given."""
    from rich.console import Console

    plain = {"markup": False, "emoji": False, "highlight": False}
    if file is None:
        return Console(**plain)  # type: ignore[arg-type]
    return Console(file=file, width=width, color_system=None, **plain)  # type: ignore[arg-type]


def named_path(word: str) -> Path:
    """An argument of ``argparse`` as a path; an empty one would be the current folder."""
    if not word:
        raise argparse.ArgumentTypeError("an empty name (a variable of the shell that is not set?)")
    return Path(word)


def reason(error: OSError) -> str:
    """What the system says, as the end of a sentence: "permission denied"."""
    text = error.strerror or str(error)
    return text[:1].lower() + text[1:]


def run_printing(program: Callable[[], int]) -> int:
    """Run ``program``, which prints; returns its exit code, or 2 where its output cannot be taken.

    A reader that leaves (``| head``) is no error to speak of; a full disk is, and is named.
    """
    forgiving()
    try:
        try:
            return program()
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()  # here, where the error can still be told
    except BrokenPipeError:
        _abandon_output()
        return 2
    except OSError as error:
        if error.filename is not None:
            raise
        _abandon_output()
        print(f"error: cannot write standard output: {reason(error)}", file=sys.stderr)
        return 2


def _abandon_output() -> None:
    """Let the interpreter's own flush at exit succeed, which would complain again."""
    with suppress(OSError, ValueError):  # no descriptor: a stream of the program that called us
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
