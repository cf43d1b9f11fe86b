"""The loop over files that compressing and decompressing share."""

from __future__ import annotations

import argparse
import functools
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tngexp import zoo
from tngexp.cli.files import (
    Job,
    OutputError,
    Plan,
    check_writable,
    occupied,
    read_bytes,
    write_bytes,
)
from tngexp.cli.made import Made
from tngexp.common.configuration import cache_folder
from tngexp.common.terminal import reason
from tngexp.errors import ConfigError, TngexpError

if TYPE_CHECKING:
    from tqdm import tqdm

__all__ = [
    "Convert",
    "Progress",
    "add_common_arguments",
    "chosen_settings",
    "explain",
    "run_jobs",
    "say",
]

Progress = Callable[..., None]
"""Told which share of a file is done, from 0 to 1, and if there is more to say, a few words."""

Convert = Callable[[Job, bytes, Progress], tuple[bytes, str]]
"""Given a job, its input and whom to tell how far it is, returns the output's bytes and a word on
the result."""

_NO_SETTINGS = frozenset({"command", "inputs", "output", "model", "look_from", "force"})


def add_common_arguments(
    parser: argparse.ArgumentParser, suffix: str, model: str | None = None
) -> None:
    """Inputs, output, model and ``--force``.

    Args:
        parser: gets them.
        suffix: of outputs without a name.
        model: help on the model, if it is not a codec.
    """
    parser.add_argument(
        "inputs",
        nargs="+",
        metavar="IN",
        help="files, folders (searched recursively), or - for standard input",
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="OUT",
        help=f"a file, or a folder for several inputs, or - for standard output; "
        f"default: beside the input, with {suffix}",
    )
    parser.add_argument(
        "--model",
        metavar="MODEL",
        help=model
        or "a shipped codec (tng models lists them) or a checkpoint; default: what TNGEXP_MODEL "
        f"names, else what the .tng file names, else {zoo.DEFAULT}",
    )
    parser.add_argument("--force", action="store_true", help="overwrite existing outputs")


def chosen_settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """Every option of a command that a result may depend on, apart from the model."""
    return {key: value for key, value in vars(arguments).items() if key not in _NO_SETTINGS}


def run_jobs(
    plan: Plan,
    force: bool,
    verb: str,
    convert: Convert,
    settings: Callable[[bytes], Any],
) -> int:
    """Convert every job's input and write its output; returns the exit code.

    Alone, a file whose output exists is an error. In a batch an existing output counts as done if
    it is what would be written, so that a batch that was interrupted continues where it stopped.
    Any other is an error, which like a file that cannot be converted is reported and counted. Of
    several inputs with one output the first that can be converted gets it; the others are errors.
    No output replaces an input of the plan. Earlier results that a folder holds among its inputs
    are left out.

    Args:
        plan: from :func:`tngexp.cli.files.plan`.
        force: overwrite existing outputs.
        verb: "compressed"; for the summary.
        convert: does the work.
        settings: given an input, all else that its output depends on, as plain data.
    """
    done = skipped = 0
    failed = len(plan.left_out)
    for path, why in plan.left_out:
        say(f"error: {path}: {why}")
    made = Made(cache_folder() / "batches")
    plan = _without_results(plan, made)
    taken = {
        key: "is an input, which is never replaced; name another folder with -o"
        for job in plan.jobs
        if job.source is not None
        for key in _names(job.source)
    }
    bar = _bar(plan)
    try:
        for number, job in enumerate(plan.jobs):
            progress = functools.partial(_advance, bar, job, number)
            progress(0.0)
            try:
                note = _convert(job, plan.batch, force, convert, progress, settings, made, taken)
                if note is None:
                    skipped += 1
                    continue
                done += 1
                if not plan.batch and job.target is not None:
                    say(f"{job.target}: {note}")
            except BrokenPipeError:
                raise
            except Exception as error:
                if os.environ.get("TNGEXP_DEBUG") == "1":
                    raise
                failed += 1
                # What is wrong with an output is no fault of the input, and says its own name.
                about = "" if isinstance(error, OutputError) else f"{job.name}: "
                say(f"error: {about}{explain(error)}")
    except (KeyboardInterrupt, SystemExit):
        if plan.batch:
            say(f"{done} of {len(plan.jobs)} files {verb}; the same command continues")
        raise
    finally:
        if bar is not None:
            bar.close()
    if plan.batch:
        notes = [f"{done} {'file' if done == 1 else 'files'} {verb}"]
        if skipped:
            notes.append(f"{skipped} skipped, whose outputs are up to date")
        if plan.results:
            notes.append(f"{plan.results} left out as earlier results")
        if failed:
            notes.append(f"{failed} failed")
        say(", ".join(notes))
    return 2 if failed else 0


def explain(error: Exception) -> str:
    """The reason for a failure, without the file's name."""
    if isinstance(error, TngexpError):
        return str(error)
    if isinstance(error, OSError):
        return reason(error)
    if isinstance(error, MemoryError):
        return "not enough memory"
    first = (str(error).splitlines() or [""])[0]
    return f"{type(error).__name__}: {first} (TNGEXP_DEBUG=1 shows where)"


def _convert(
    job: Job,
    batch: bool,
    force: bool,
    convert: Convert,
    progress: Progress,
    settings: Callable[[bytes], Any],
    made: Made,
    taken: dict[Any, str],
) -> str | None:
    """Convert one file; a word on the result, or None if it was there already."""
    target = job.target
    exists = _occupied(job, batch, force, taken)
    if target is None:
        data, word = convert(job, read_bytes(job.source), progress)
        write_bytes(None, data)
        return word
    source = read_bytes(job.source, alone=not batch)
    how = settings(source) if batch else None
    word = ""
    if not (exists and made.known(source, how, target)):
        data, word = convert(job, source, progress)
        if exists and target.read_bytes() != data:
            raise ConfigError(
                f"{target} exists and is another result: of another file, model or setting, or "
                "changed since; --force overwrites it, or choose another folder with -o"
            )
        if batch:
            made.note(source, how, target, data)
        if not exists:
            write_bytes(target, data)
    taken.update(
        dict.fromkeys(
            _names(target),
            f"is the output of {job.name} too; convert them into different folders",
        )
    )
    return None if exists else word


def _without_results(plan: Plan, made: Made) -> Plan:
    """The plan without inputs that an earlier command wrote and nobody has changed since."""
    jobs = [
        job
        for job in plan.jobs
        if job.source is None or job.source not in plan.doubtful or not made.wrote(job.source)
    ]
    return plan._replace(jobs=jobs, results=plan.results + len(plan.jobs) - len(jobs))


def _occupied(job: Job, batch: bool, force: bool, taken: dict[Any, str]) -> bool:
    """Whether the output exists and may be what is wanted; an error if it cannot be written."""
    target = job.target
    try:
        _check_target(job, taken)
        if target is not None and occupied(target) and not force:
            if not (batch and target.is_file()):
                raise OutputError(f"{target} exists; --force overwrites it")
            return True
        check_writable(target)
    except OSError as error:
        raise OutputError(f"cannot write {target}: {reason(error)}") from error
    return False


def _check_target(job: Job, taken: dict[Any, str]) -> None:
    """a.jpg and a.png would both become a.tng; the second must not pass for done or replace it.
    Nor must it replace the input of another job.
    """
    if job.target is None:
        return
    if job.source is not None and job.target.exists() and job.target.samefile(job.source):
        raise ConfigError("the output would replace the input itself; give another with -o")
    for key in _names(job.target):
        if key in taken:
            raise ConfigError(f"{job.target} {taken[key]}")


def _names(path: Path) -> list[Any]:
    """What ``path`` may be met again by: its name, and which file it is (A.tng may be a.tng)."""
    names: list[Any] = [os.path.abspath(path)]
    if os.path.isfile(path):  # False, too, for what must not be looked at
        status = path.stat()
        names.append((status.st_dev, status.st_ino))
    return names


def _bar(plan: Plan) -> tqdm[Any] | None:
    """Progress in files and parts of files, on a terminal, of what takes more than a second."""
    if not sys.stderr.isatty():
        return None
    from tqdm import tqdm

    return tqdm(
        total=len(plan.jobs),
        file=sys.stderr,
        delay=1,
        leave=False,
        bar_format="{desc}{percentage:3.0f}%|{bar}| {elapsed}<{remaining}",
    )


def _advance(bar: tqdm[Any] | None, job: Job, number: int, share: float, words: str = "") -> None:
    """Show that ``number`` files are done, and ``share`` of the next."""
    if bar is None:
        return
    many = f"file {number + 1} of {bar.total} "
    what = f"{job.name} " if bar.total == 1 else many
    bar.set_description_str(f"{what}{words} " if words else what, refresh=False)
    bar.update(number + share - bar.n)


def say(text: str) -> None:
    """Print a line on standard error, above the bar if there is one."""
    if sys.stderr.isatty():
        from tqdm import tqdm

        tqdm.write(text, file=sys.stderr)
    else:
        print(text, file=sys.stderr)
