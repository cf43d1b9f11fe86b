"""Measurements on disk: JSON Lines, one per image, so that an interrupted evaluation goes on."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import final

from tngexp.metrics.records import RECORD_VERSION, ImageRecord, RecordKey
from tngexp.types import TngexpError

__all__ = ["RecordFile"]


@final
class RecordFile:
    """Append-only records; a line that was cut off by an interruption is dropped and redone.

    Records of older versions are read as if written today, with None for what they lack. Those
    that do not say of which pixels they are (before version 3) can be read, by iterating, but are
    not found by :meth:`get`.

    Args:
        path: created with its folder when missing.

    Raises:
        TngexpError: when the file holds something else than records, or newer ones.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._all: list[ImageRecord] = []
        self._found: dict[RecordKey, list[ImageRecord]] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            self._read()

    def __iter__(self) -> Iterator[ImageRecord]:
        """All records, in the order they were added."""
        return iter(self._all)

    def get(self, key: RecordKey, metrics: Iterable[str] = ()) -> ImageRecord | None:
        """The newest record of a codec's content on a picture's content, if there is one.

        Args:
            key: codec, picture and quality.
            metrics: further metrics it must hold.
        """
        wanted = set(metrics)
        found = reversed(self._found.get(key, []))
        return next((one for one in found if wanted <= one.measured.metrics.keys()), None)

    def add(self, record: ImageRecord) -> None:
        """Append a record, at once on disk; it comes before older ones of the same key."""
        with self.path.open("a", encoding="utf-8") as file:
            # In ASCII: a file's name need not be valid text, nor free of line separators.
            file.write(json.dumps(record.to_json(), allow_nan=False) + "\n")
        self._take(record)

    def _take(self, record: ImageRecord) -> None:
        self._all.append(record)
        if record.original is not None:
            self._found.setdefault(record.key, []).append(record)

    def _read(self) -> None:
        whole, end, rest = self.path.read_bytes().rpartition(b"\n")
        for number, line in enumerate(whole.split(b"\n") if end else [], start=1):
            try:
                content = json.loads(line)
                version = int(content["version"])
                record = None if version > RECORD_VERSION else ImageRecord.from_json(content)
            except (ValueError, KeyError, TypeError) as error:
                raise TngexpError(
                    f"{self.path}, line {number}: not a record of an evaluation; "
                    "choose another folder with out=DIR"
                ) from error
            if record is None:
                raise TngexpError(
                    f"{self.path}, line {number}: written by a newer tngexp (records {version}, "
                    f"this one knows up to {RECORD_VERSION}); update, or choose another out=DIR"
                )
            self._take(record)
        if rest:
            os.truncate(self.path, len(whole) + len(end))
