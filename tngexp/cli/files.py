"""Which file becomes which, and writing files that appear whole or not at all."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence, Set
from pathlib import Path
from typing import NamedTuple

from tngexp.common.atomic import replacing
from tngexp.common.folders import search, special
from tngexp.common.terminal import reason
from tngexp.errors import ConfigError, TngexpError

__all__ = [
    "STANDARD",
    "Job",
    "OutputError",
    "Plan",
    "check_writable",
    "occupied",
    "plan",
    "read_bytes",
    "write_bytes",
]

STANDARD = "-"
"""Standard input or output."""


class OutputError(ConfigError):
    """An output that cannot be written; the message names it."""


class Job(NamedTuple):
    """One input and where its result goes; None is standard input or output."""

    source: Path | None
    target: Path | None

    @property
    def name(self) -> str:
        """What messages call the input."""
        return "standard input" if self.source is None else str(self.source)


class Plan(NamedTuple):
    """The work that the command line asks for."""

    jobs: list[Job]
    batch: bool  # folders or several files: what is done is skipped, a bad file stops nothing
    left_out: Sequence[tuple[Path, str]] = ()  # in folders: what could not be taken in, and why
    results: int = 0  # in folders: files left out because they lie where results go
    doubtful: Set[Path] = frozenset()  # inputs in folders that may be results of earlier commands


def plan(inputs: Sequence[str], output: str | None, suffix: str, extensions: Set[str]) -> Plan:
    """Pair every input with its output.

    Args:
        inputs: files, folders (searched recursively for ``extensions``), or ``-``.
        output: a file for one input, a folder for several or for a folder, whose tree it then
            repeats; ``-``; None for beside the input.
        suffix: what takes the place of an input's suffix where no name is given: ".tng". If it is
            one of the ``extensions``, the next search of a folder would find results there: those
            in ``output`` are left out.
        extensions: in lower case, with the dot.

    Raises:
        ConfigError: for a combination that has no meaning, or a folder without files.
    """
    paths = [None if name == STANDARD else Path(name) for name in inputs]
    folders = [path for path in paths if path is not None and path.is_dir()]
    batch = len(paths) > 1 or bool(folders)
    if None in paths and batch:
        raise ConfigError("standard input (-) cannot be combined with other inputs")
    if output == STANDARD and batch:
        raise ConfigError("several files cannot go to standard output: name a folder with -o")
    if paths == [None]:
        to_stdout = output is None or output == STANDARD
        return Plan([Job(None, None if to_stdout else Path(str(output)))], batch=False)
    if output == STANDARD:
        return Plan([Job(paths[0], None)], batch=False)
    if not batch:
        source = paths[0]
        assert source is not None
        beside = source.with_name(source.stem + suffix)
        if output is None:
            return Plan([Job(source, beside)], batch=False)
        into = output.endswith(("/", os.sep)) or Path(output).is_dir()
        return Plan([Job(source, Path(output) / beside.name if into else Path(output))], False)
    folder = None if output is None else Path(output)
    if folder is not None and folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file; several results need a folder")
    jobs: dict[tuple[str, str], Job] = {}  # a file that is named twice is one job
    left_out: list[tuple[Path, str]] = []
    results, doubtful = 0, set()
    for path in paths:
        assert path is not None
        root, found = None, [path]
        if path.is_dir():
            root, below = path, search(path, extensions)
            found, missed = below.files, [*below.folders, *below.unusable]
            if not found and not missed:
                listed = ", ".join(sorted(extensions))
                raise ConfigError(f"{path}: no {listed} files in this folder")
            left_out += missed
            if suffix in extensions:
                found = below.files if folder is None else _outside(below.files, root, folder)
                results += len(below.files) - len(found)
                doubtful.update(found)
        for source in found:
            inside = Path(source.name) if root is None else source.relative_to(root)
            target = source if folder is None else folder / inside
            target = target.with_name(target.stem + suffix)
            jobs.setdefault(
                (os.path.realpath(source), os.path.abspath(target)), Job(source, target)
            )
    return Plan([*jobs.values()], True, left_out, results, doubtful)


def _outside(files: list[Path], root: Path, folder: Path) -> list[Path]:
    """Those found below ``root`` that do not lie in ``folder``; all if ``root`` itself does."""
    top, inside = Path(os.path.realpath(root)), Path(os.path.realpath(folder))
    if top.is_relative_to(inside):
        return files
    return [file for file in files if not Path(os.path.realpath(file)).is_relative_to(inside)]


def read_bytes(source: Path | None, alone: bool = True) -> bytes:
    """A file's contents, or standard input's.

    Args:
        source: None is standard input.
        alone: whether a pipe may be read, which waits for what is written to it.

    Raises:
        TngexpError: for what would never end, or not begin.
    """
    if source is None:
        if sys.stdin is None:
            raise TngexpError("it is closed: name a file, or redirect one to it")
        return sys.stdin.buffer.read()
    kind = special(source)
    if kind == "a pipe" and not alone:
        raise TngexpError("a pipe, not a file; give it alone")
    if kind is not None and kind != "a pipe":
        raise TngexpError(f"{kind}, not a file")
    return source.read_bytes()


def occupied(target: Path) -> bool:
    """Whether writing there would replace something; a device or a pipe is written through."""
    return target.is_file() or target.is_dir()


def check_writable(target: Path | None) -> None:
    """Find out before the work whether its result can be written, as far as that can be told.

    Args:
        target: None is standard output.

    Raises:
        OutputError: naming what is in the way.
    """
    if target is None:
        if sys.stdout is None:
            raise OutputError("standard output is closed: use -o FILE")
        if sys.stdout.isatty():
            raise OutputError("this output is not for a terminal: redirect it, or use -o FILE")
        return
    if target.exists() and not occupied(target):
        return
    if target.is_dir():
        raise OutputError(f"cannot write {target}: it is a folder")
    folder = target.parent
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir():
        raise OutputError(f"cannot write {target}: {folder} is a file, not a folder")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"cannot write {target}: no permission to write in {folder}")


def write_bytes(target: Path | None, data: bytes) -> None:
    """Write a file so that it appears whole or not at all; folders on the way are made.

    The contents go to a hidden file beside it, to the disk, and only then under the final name.

    Raises:
        OutputError: naming the output, and what the system says.
    """
    try:
        _write(target, data)
    except BrokenPipeError:
        raise
    except OSError as error:
        name = "standard output" if target is None else target
        raise OutputError(f"cannot write {name}: {reason(error)}") from error


def _write(target: Path | None, data: bytes) -> None:
    if target is None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    if target.exists() and not occupied(target):
        target.write_bytes(data)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target) as temporary, temporary.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())  # a photo may be deleted as soon as its file is there
