"""Which version of the code a run was made with."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import NamedTuple

__all__ = ["GitState", "git_state"]


class GitState(NamedTuple):
    """A commit and whether tracked files differ from it; both None outside a repository."""

    commit: str | None
    dirty: bool | None


def git_state(folder: Path | None = None) -> GitState:
    """State of the checkout ``folder`` (default: this package) lies in."""
    folder = folder or Path(__file__).resolve().parents[1]
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None:
        return GitState(None, None)
    if folder.name == "tngexp" and not _git(folder, "ls-files", "types.py"):
        # An installed package in a virtual environment inside somebody else's repository.
        return GitState(None, None)
    changes = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return GitState(commit, None if changes is None else bool(changes))


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
