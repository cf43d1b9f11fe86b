"""Measurements on disk: JSON Lines, one per image, so that an interrupted evaluation goes on."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, final

from tngexp.types import TngexpError

__all__ = ["RECORD_VERSION", "RecordFile"]

RECORD_VERSION = 3
# All that figures depend on. Data set and image are names, which others may have, too.
_KEY = (
    *("model", "weights_sha256", "config_sha256", "effort", "tune", "objective"),
    *("original", "quality", "measurement"),
)
_ALWAYS = ("model", "dataset", "image", "quality", "version")


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
        self._all: list[dict[str, Any]] = []
        self._found: dict[tuple[Any, ...], dict[str, Any]] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            self._read()

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """All records, in the order they were added."""
        return iter(self._all)

    def get(self, metrics: Iterable[str] = (), **key: Any) -> dict[str, Any] | None:
        """The record of a codec's content on a picture's content, if there is one.

        Args:
            metrics: further metrics it must hold.
            key: model, weights_sha256, config_sha256, effort, tune and objective of the codec
                (:attr:`tngexp.evaluation.Model.key`), original
                (:func:`tngexp.evaluation.photos.digest`), quality and measurement (the version).
        """
        record = self._found.get(tuple(key[name] for name in _KEY))
        if record is None or not set(metrics) <= record["metrics"].keys():
            return None
        return record

    def add(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Append a record, at once on disk; it replaces an older one of the same key."""
        complete = {"version": RECORD_VERSION, **record}
        with self.path.open("a", encoding="utf-8") as file:
            # In ASCII: a file's name need not be valid text, nor free of line separators.
            file.write(json.dumps(complete, allow_nan=False) + "\n")
        self._take(complete)
        return complete

    def _take(self, record: dict[str, Any]) -> None:
        self._all.append(record)
        if record["original"] is not None:
            self._found[tuple(record[name] for name in _KEY)] = record

    def _read(self) -> None:
        whole, end, rest = self.path.read_bytes().rpartition(b"\n")
        for number, line in enumerate(whole.split(b"\n") if end else [], start=1):
            try:
                record = json.loads(line)
                version = int(record["version"])
                if not all(name in record for name in _ALWAYS):
                    raise KeyError
            except (ValueError, KeyError, TypeError) as error:
                raise TngexpError(
                    f"{self.path}, line {number}: not a record of an evaluation; "
                    "choose another folder with out=DIR"
                ) from error
            if version > RECORD_VERSION:
                raise TngexpError(
                    f"{self.path}, line {number}: written by a newer tngexp (records {version}, "
                    f"this one knows up to {RECORD_VERSION}); update, or choose another out=DIR"
                )
            self._take(_upgraded(record, version))
        if rest:
            os.truncate(self.path, len(whole) + len(end))


def _upgraded(record: dict[str, Any], version: int) -> dict[str, Any]:
    if version == 1:  # 0.1: codecs only, no further metrics, versions at the top level
        record = {
            **record,
            "kind": "codec",
            "codec": Path(record["checkpoint"]).stem,
            "setting": "" if record["quality"] is None else f"q={record['quality']:g}",
            "metrics": {},
            "peak_memory_mib": None,
            "weights_sha256": None,
            "config_sha256": None,
            "versions": {name: record.pop(name, None) for name in ("tngexp", "torch")},
        }
    if version <= 2:  # named the data set and the image, and did not say which pixels those had
        record = {**record, "original": None, "measurement": None}
        record |= {"file": None, "file_sha256": None}
    # Before encoders searched, and before it was noted for what.
    return {"effort": 0, "tune": None, "objective": None, **record, "version": RECORD_VERSION}
