"""Measurements on disk: JSON Lines, one per image, so that an interrupted evaluation goes on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, final

from tngexp.types import TngexpError

__all__ = ["RECORD_VERSION", "RecordFile"]

RECORD_VERSION = 1
_KEY = ("model", "dataset", "image", "quality")


@final
class RecordFile:
    """Append-only records; a line that was cut off by an interruption is dropped and redone.

    Args:
        path: created with its folder when missing.

    Raises:
        TngexpError: when the file holds something else than records of this version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._records: dict[tuple[Any, ...], dict[str, Any]] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            self._read()

    def get(self, **key: Any) -> dict[str, Any] | None:
        """The record of a model (fingerprint), data set, image and quality, if there is one."""
        return self._records.get(tuple(key[name] for name in _KEY))

    def add(self, record: Mapping[str, Any]) -> None:
        """Append a record, at once on disk."""
        complete = {"version": RECORD_VERSION, **record}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(complete, ensure_ascii=False, allow_nan=False) + "\n")
        self._records[tuple(complete[name] for name in _KEY)] = complete

    def _read(self) -> None:
        text = self.path.read_text(encoding="utf-8")
        whole, _, rest = text.rpartition("\n")
        for number, line in enumerate(whole.splitlines(), start=1):
            try:
                record = json.loads(line)
                key = tuple(record[name] for name in _KEY)
                version = record["version"]
            except (ValueError, KeyError, TypeError) as error:
                raise TngexpError(
                    f"{self.path}, line {number}: not a record of an evaluation; "
                    "choose another folder with out=DIR"
                ) from error
            if version != RECORD_VERSION:
                raise TngexpError(
                    f"{self.path}, line {number}: written by another version of tngexp (records "
                    f"{version}, this one writes {RECORD_VERSION}); choose another out=DIR"
                )
            self._records[key] = record
        if rest:
            self.path.write_text(whole + "\n" if whole else "", encoding="utf-8")
