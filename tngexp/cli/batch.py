"""The loop over files that compressing and decompressing share."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable

from tqdm import tqdm

from tngexp import zoo
from tngexp.cli.files import Job, Plan, occupied, write_bytes
from tngexp.types import ConfigError, TngexpError

__all__ = ["add_common_arguments", "explain", "run_jobs"]


def add_common_arguments(parser: argparse.ArgumentParser, suffix: str) -> None:
    """Inputs, output, model and ``--force``."""
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
        help="a shipped codec or a checkpoint; default: what TNGEXP_MODEL names, else what "
        f"the .tng file names, else {zoo.DEFAULT}",
    )
    parser.add_argument("--force", action="store_true", help="overwrite existing outputs")


def run_jobs(
    plan: Plan, force: bool, verb: str, convert: Callable[[Job], tuple[bytes, str]]
) -> int:
    """Convert every job's input and write its output; returns the exit code.

    Alone, a file that cannot be converted, or whose output exists, is an error. In a batch it is
    reported and counted, so that a batch that was interrupted continues where it stopped.

    Args:
        plan: from :func:`tngexp.cli.files.plan`.
        force: overwrite existing outputs.
        verb: "compressed"; for the summary.
        convert: returns the output's bytes and a word on the result.
    """
    done = skipped = failed = 0
    taken: dict[str, Job] = {}
    bar = tqdm(
        plan.jobs,
        unit="file",
        file=sys.stderr,
        disable=len(plan.jobs) < 2 or not sys.stderr.isatty(),
    )
    try:
        for job in bar:
            try:
                _check_target(job, taken)
                if job.target is not None and occupied(job.target) and not force:
                    if plan.batch and job.target.is_file():
                        skipped += 1
                        continue
                    raise ConfigError(f"{job.target} exists; --force overwrites it")
                data, note = convert(job)
                write_bytes(job.target, data)
                done += 1
                if not plan.batch and job.target is not None:
                    _say(f"{job.target}: {note}")
            except BrokenPipeError:
                raise
            except Exception as error:
                if os.environ.get("TNGEXP_DEBUG") == "1":
                    raise
                failed += 1
                _say(f"error: {job.name}: {explain(error)}")
    except (KeyboardInterrupt, SystemExit):
        bar.close()
        if plan.batch:
            _say(f"{done} of {len(plan.jobs)} files {verb}; the same command continues")
        raise
    if plan.batch:
        notes = [f"{done} {'file' if done == 1 else 'files'} {verb}"]
        if skipped:
            notes.append(f"{skipped} skipped, whose outputs exist (--force overwrites them)")
        if failed:
            notes.append(f"{failed} failed")
        _say(", ".join(notes))
    return 2 if failed else 0


def explain(error: Exception) -> str:
    """The reason for a failure, without the file's name."""
    if isinstance(error, TngexpError):
        return str(error)
    if isinstance(error, OSError):
        if error.strerror is None:
            return str(error)
        return error.strerror[0].lower() + error.strerror[1:]
    if isinstance(error, MemoryError):
        return "not enough memory"
    first = (str(error).splitlines() or [""])[0]
    return f"{type(error).__name__}: {first} (TNGEXP_DEBUG=1 shows where)"


def _check_target(job: Job, taken: dict[str, Job]) -> None:
    """a.jpg and a.png would both become a.tng; the second must not pass for done or replace it."""
    if job.target is None:
        return
    if job.source is not None and job.target.exists() and job.target.samefile(job.source):
        raise ConfigError("the output would replace the input itself; give another with -o")
    key = os.path.normcase(job.target.absolute())
    if key in taken:
        raise ConfigError(
            f"{job.target} is the output of {taken[key].name} too; "
            "convert them into different folders"
        )
    taken[key] = job


def _say(text: str) -> None:
    tqdm.write(text, file=sys.stderr)
