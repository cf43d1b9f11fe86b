"""Text that every program can print: any character, any bytes of a name, nothing as markup."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest
from rich.table import Table

from tngexp.common import terminal

PACKAGE = Path(__file__).parents[2] / "tngexp"


def printed(text: str, encoding: str) -> bytes:
    buffer = io.BytesIO()
    with pytest.MonkeyPatch.context() as patch:
        stream = io.TextIOWrapper(buffer, encoding=encoding, errors="strict")
        patch.setattr(sys, "stdout", stream)
        terminal.forgiving()
        print(text, end="", flush=True)
        stream.detach()
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("text", "encoding", "expected"),
    [
        ("768×512 …", "utf-8", "768×512 …".encode()),
        ("768×512 … λ≥1", "ascii", b"768x512 ... lambda>=1"),
        ("768×512 … λ", "latin-1", b"768\xd7512 ... lambda"),
        ("1⁰ 2¹", "ascii", b"1(0) 2(1)"),
        ("日.png", "ascii", b"\\u65e5.png"),
        ("日.png", "cp1252", b"\\u65e5.png"),
        ("a\udcffb.png", "utf-8", b"a\xffb.png"),  # the bytes of the name themselves
        ("a\udcff×.png", "ascii", b"a\xffx.png"),
        ("half \ud83d pair", "utf-8", b"half \\ud83d pair"),
    ],
)
def test_any_text_is_printed(text: str, encoding: str, expected: bytes) -> None:
    assert printed(text, encoding) == expected


def test_reading_keeps_its_own_errors() -> None:
    with pytest.raises(UnicodeDecodeError):
        b"\xff".decode("utf-8", terminal._ERRORS)


def test_the_console_prints_text_as_it_is() -> None:
    odd = "exp[lr]/[/b] :smile: [link=x]"
    file = io.StringIO()
    console = terminal.console(file, width=100)
    console.print(odd)
    table = Table(title=odd, caption=odd)
    table.add_column(odd)
    table.add_row(odd)
    console.print(table)
    assert file.getvalue().count(odd) == 5


def test_no_console_but_that_one() -> None:
    makers = [
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if "Console(" in path.read_text(encoding="utf-8")
    ]
    assert makers == ["common/terminal.py"]


PROGRAM = """
import sys
from tngexp.common.terminal import run_printing
def program():
    {body}
sys.exit(run_printing(program))
"""


def run(body: str, stdout: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM.format(body=body)],
        stdout=stdout,  # type: ignore[arg-type]
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no full device here")
@pytest.mark.parametrize("body", ["print('x')", "print('x' * 100000)", "print('x'); sys.exit(0)"])
def test_output_that_cannot_be_written_is_an_error(body: str) -> None:
    with open("/dev/full", "wb") as full:
        result = run(body, full)
    assert result.returncode == 2
    assert result.stderr == "error: cannot write standard output: no space left on device\n"


def test_a_reader_that_leaves_hears_nothing() -> None:
    reading, writing = os_pipe()
    reading.close()
    with writing:
        result = run("print('x' * 100000)", writing)
    assert (result.returncode, result.stderr) == (2, "")


def os_pipe() -> tuple[io.FileIO, io.FileIO]:
    import os

    reading, writing = os.pipe()
    return io.FileIO(reading, "rb"), io.FileIO(writing, "wb")


def test_errors_of_files_are_not_those_of_the_output() -> None:
    def program() -> int:
        open("/nowhere/at/all")  # noqa: SIM115
        return 0

    with pytest.raises(FileNotFoundError):
        terminal.run_printing(program)


@pytest.mark.parametrize("text", ["λ ×", "", "a\\xff"])
def test_visible_text_is_shown_as_it_is(text: str) -> None:
    assert terminal.shown(text) == terminal.valid(text) == text


def test_other_names_are_shown_by_their_bytes() -> None:
    assert terminal.valid("é\udcff\n.png") == "é\\xff\n.png"
    assert terminal.shown("é\udcff\n\x85\u2028.png") == "é\\xff\\n\\x85\\u2028.png"
    assert terminal.shown("half \ud83d").isprintable()


def test_what_is_told_to_a_closed_standard_error_goes_nowhere() -> None:
    body = "print('hidden', file=sys.stderr); print(sys.stderr.isatty()); return 0"
    result = subprocess.run(
        ["sh", "-c", 'exec "$0" "$@" 2>&-', sys.executable, "-c", PROGRAM.format(body=body)],
        stdout=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
    assert (result.returncode, result.stdout) == (0, "False\n")
