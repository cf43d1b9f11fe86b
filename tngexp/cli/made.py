"""What existing results were made of, so that a batch that was interrupted knows what is done.

A result is done if it is what the command would write. To find that out without doing the work
again, each result of a batch is noted down: a hash of the input and of all settings, and a hash of
the result. The notes are a cache: without them the work is done again to compare.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, final

__all__ = ["Made"]


@final
class Made:
    """Notes on results, one file of lines for each folder that results lie in.

    Args:
        cache: where the notes are kept; what cannot be kept there is forgotten.
    """

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self._folders: dict[Path, set[str]] = {}

    def known(self, source: bytes, settings: Any, target: Path) -> bool:
        """Whether ``target`` is, unchanged, what these ``settings`` once made of ``source``."""
        notes = self._notes(target)
        made_of = _key(source, settings)
        if not any(note.startswith(made_of) for note in notes):
            return False  # spares reading the result
        return f"{made_of} {_sha256(target.read_bytes())}" in notes

    def wrote(self, path: Path) -> bool:
        """Whether ``path`` is, unchanged, what any settings once made of anything."""
        notes = self._notes(path)
        try:
            content = _sha256(path.read_bytes()) if notes else ""
        except OSError:
            return False  # which is told when it is read as an input
        return any(note.endswith(f" {content}") for note in notes)

    def note(self, source: bytes, settings: Any, target: Path, result: bytes) -> None:
        """Note that ``settings`` make ``result`` of ``source``; before it is written there."""
        line = f"{_key(source, settings)} {_sha256(result)}"
        notes = self._notes(target)
        if line in notes:
            return
        notes.add(line)
        try:
            path = self._path(target)
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a", encoding="ascii") as file:
                file.write(f"{line}\n")
        except OSError:
            pass  # costs time later, and nothing else

    def _notes(self, target: Path) -> set[str]:
        path = self._path(target)
        if path not in self._folders:
            try:
                lines = path.read_text(encoding="ascii", errors="replace").splitlines()
            except OSError:
                lines = []
            self._folders[path] = set(lines)
        return self._folders[path]

    def _path(self, target: Path) -> Path:
        # The folder decides where to look only; what is found there is compared by content.
        folder = str(target.parent.resolve()).encode("utf-8", "surrogateescape")
        return self._cache / f"{_sha256(folder)[:32]}.txt"


def _key(source: bytes, settings: Any) -> str:
    what = [_sha256(source), settings]
    return _sha256(json.dumps(what, sort_keys=True, default=str).encode())


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
