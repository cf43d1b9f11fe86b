"""Measurements on disk: JSON Lines, one per image, so that an interrupted evaluation goes on."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, final

from tngexp.types import TngexpError

__all__ = ["RECORD_VERSION", "RecordFile"]

RECORD_VERSION = 2
_KEY = ("model", "dataset", "image", "quality")


@final
class RecordFile:
    """Append-only records; a line that was cut off by an interruption is dropped and redone.

    Records of older versions are read as if written today, with None for what they lack.

    Args:
        path: created with its folder when missing.

    Raises:
        TngexpError: when the file holds something else than records, or newer ones.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._records: dict[tuple[Any, ...], dict[str, Any]] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            self._read()

    def get(self, metrics: Iterable[str] = (), **key: Any) -> dict[str, Any] | None:
        """The record of a model (fingerprint), data set, image and quality, if there is one.

        Args:
            metrics: further metrics it must hold.
            key: model, dataset, image and quality.
        """
        record = self._records.get(tuple(key[name] for name in _KEY))
        if record is None or not set(metrics) <= record["metrics"].keys():
            return None
        return record

    def add(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Append a record, at once on disk; it replaces an older one of the same key."""
        complete = {"version": RECORD_VERSION, **record}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(complete, ensure_ascii=False, allow_nan=False) + "\n")
        self._records[tuple(complete[name] for name in _KEY)] = complete
        return complete

    def _read(self) -> None:
        text = self.path.read_text(encoding="utf-8")
        whole, _, rest = text.rpartition("\n")
        for number, line in enumerate(whole.splitlines(), start=1):
            try:
                record = json.loads(line)
                key = tuple(record[name] for name in _KEY)
                version = int(record["version"])
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
            self._records[key] = _upgraded(record, version)
        if rest:
            self.path.write_text(whole + "\n" if whole else "", encoding="utf-8")


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
    return {**record, "version": RECORD_VERSION}
