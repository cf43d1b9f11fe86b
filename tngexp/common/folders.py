"""Searching folders for files: each real folder once, and nothing left out without a word."""

from __future__ import annotations

import os
import stat
from collections.abc import Set
from pathlib import Path
from typing import NamedTuple

from tngexp.common.terminal import reason
from tngexp.errors import ConfigError

__all__ = ["Found", "expanded", "search", "shown_path", "special"]

_SPECIAL = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class Found(NamedTuple):
    """What lies below a folder, each list in the order of relative paths."""

    files: list[Path]
    unusable: list[tuple[Path, str]]  # named like a file that is wanted, but none; and why
    folders: list[tuple[Path, str]]  # that were not looked into, and why


def search(root: Path, extensions: Set[str]) -> Found:
    """Files below ``root`` with one of the extensions.

    Links to folders are followed, and each real folder is searched once: under its own name where
    it lies below ``root``, else under that of the first link. Links to a folder around ``root``
    are not followed. Names that start with a dot are left out: thumbnail folders and macOS's
    ``._`` files are nobody's photos.

    Args:
        root: a folder.
        extensions: in lower case, with the dot.
    """
    found = Found([], [], [])
    around = {_identity(parent) for parent in root.resolve().parents}
    seen: set[tuple[int, int]] = set()
    pending = [root]  # folders, then links to folders
    while pending:
        links: list[Path] = []
        for folder in sorted(pending, key=lambda path: path.relative_to(root).as_posix()):
            _descend(folder, extensions, around, seen, found, links)
        pending = links
    for entries in (found.files, found.unusable, found.folders):
        entries.sort(key=lambda entry: _path(entry).relative_to(root).as_posix())
    return found


def expanded(path: str | os.PathLike[str]) -> Path:
    """``path`` with the home folder in place of ``~``.

    Raises:
        ConfigError: where that folder is not known, as for a user the system does not list.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise ConfigError(f"{path}: no home folder is known here; give the whole path") from None


def special(path: Path) -> str | None:
    """What ``path`` is if it is no file or folder: "a pipe", "a socket" or "a device"."""
    try:
        return _SPECIAL.get(stat.S_IFMT(path.stat().st_mode))
    except OSError:
        return None


def _descend(
    top: Path,
    extensions: Set[str],
    around: Set[tuple[int, int]],
    seen: set[tuple[int, int]],
    found: Found,
    links: list[Path],
) -> None:
    """Search ``top`` and the folders in it; links to folders are put off to ``links``."""
    stack = [top]
    while stack:
        folder = stack.pop()
        try:
            identity = _identity(folder)
            if identity in around:
                found.folders.append((folder, "a link to a folder around the one that is searched"))
                continue
            if identity in seen:
                continue
            seen.add(identity)
            with os.scandir(folder) as entries:
                for entry in entries:
                    if not entry.name.startswith("."):
                        _sort_in(entry, Path(folder, entry.name), extensions, found, stack, links)
        except OSError as error:
            found.folders.append((folder, reason(error)))


def _sort_in(
    entry: os.DirEntry[str],
    path: Path,
    extensions: Set[str],
    found: Found,
    folders: list[Path],
    links: list[Path],
) -> None:
    wanted = path.suffix.lower() in extensions
    try:
        if entry.is_dir():
            (links if entry.is_symlink() else folders).append(path)
        elif not wanted:
            return
        elif entry.is_file():
            found.files.append(path)
        else:
            found.unusable.append((path, f"{special(path) or 'a broken link'}, not a file"))
    except OSError as error:
        if wanted:
            found.unusable.append((path, reason(error)))


def _identity(folder: Path) -> tuple[int, int]:
    """Equal for two names of one folder."""
    status = folder.stat()
    return status.st_dev, status.st_ino


def _path(entry: Path | tuple[Path, str]) -> Path:
    return entry if isinstance(entry, Path) else entry[0]


def shown_path(path: Path) -> str:
    """``path`` relative to the current folder where it lies inside, so that it can be pasted."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
