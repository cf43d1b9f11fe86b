"""Where measured anchors are kept: a JSON file per point, and the coded file beside it.

A point is one codec at one setting on one image. It lies under the SHA-256 of all that its figures
depend on: the pixels, the codec with its options and versions, the setting, the metrics and
:data:`tngexp.evaluation.measure.MEASUREMENT_VERSION`. So it is found again under any file name and
in any data set, and missed when a library was updated.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

from tngexp.anchors import Anchor
from tngexp.common.atomic import replacing
from tngexp.evaluation.measure import MEASUREMENT_VERSION
from tngexp.metrics.records import ImageRecord, Measurement
from tngexp.types import TngexpError

__all__ = ["Entry", "Point", "cached_file", "keep", "locate", "read", "sha256"]


@dataclass(frozen=True)
class Point:
    """One codec at one setting on one image."""

    anchor: Anchor
    version: str
    setting: float
    metrics: tuple[str, ...]
    index: int  # of the image among those measured
    original: str  # digest of its pixels and size
    entry: Path  # the JSON file

    @property
    def file(self) -> Path:
        """The coded file."""
        return self.entry.with_suffix(self.anchor.extension)


class Entry(NamedTuple):
    """What is kept of a point beside the coded file."""

    measured: Measurement
    file_sha256: str
    date: str


def locate(
    cache: Path,
    original: str,
    anchor: Anchor,
    version: str,
    setting: float,
    metrics: Sequence[str],
    index: int,
) -> Point:
    """The point of an image, known by ``original``, a digest of its pixels and size."""
    names = tuple(sorted(set(metrics)))
    what = [MEASUREMENT_VERSION, original, anchor.name, anchor.how, version, float(setting), names]
    # The name may hold the path of a network.
    folder = anchor.name if "/" not in anchor.name else f"{anchor.name.partition('+')[0]}+network"
    entry = cache / folder / f"{sha256(json.dumps(what).encode())}.json"
    return Point(anchor, version, setting, names, index, original, entry)


def keep(point: Point, measured: Measurement, data: bytes) -> None:
    """Write the coded file, then the entry that vouches for it."""
    entry = {
        "measurement": asdict(measured),
        "file_sha256": sha256(data),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        # For people only: the name of the file says it all, but not readably.
        "codec": point.anchor.label,
        "setting": point.anchor.describe(point.setting),
        "versions": point.version,
        "how": point.anchor.how,
    }
    point.entry.parent.mkdir(parents=True, exist_ok=True)
    # Several processes may write the same point; each file is whole all the same.
    with replacing(point.file) as temporary:
        temporary.write_bytes(data)
    with replacing(point.entry) as temporary:
        temporary.write_bytes(json.dumps(entry, indent=1, allow_nan=False).encode())


def read(point: Point) -> Entry | None:
    """The entry of a point; None where it is missing or damaged."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        content = json.loads(point.entry.read_bytes())
        measured = Measurement.from_json(content["measurement"])
        entry = Entry(measured, content["file_sha256"], content["date"])
        if (
            measured.metrics.keys() == set(point.metrics)
            and isinstance(entry.file_sha256, str)
            and isinstance(entry.date, str)
            and point.file.stat().st_size == measured.bytes
        ):
            return entry
    return None


def cached_file(cache: Path, record: ImageRecord) -> bytes:
    """The coded file of a record of :func:`tngexp.evaluation.anchored.measure_anchors`.

    Raises:
        TngexpError: when it is gone or was changed.
    """
    path = record.file_in(cache)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise TngexpError(f"{path}: {error.strerror}; measure the anchor again") from error
    if sha256(data) != record.file_sha256:
        path.unlink()  # or the entry would go on vouching for it
        raise TngexpError(f"{path} was damaged and is deleted; measure the anchor again")
    return data


def sha256(data: bytes) -> str:
    """In hexadecimal."""
    return hashlib.sha256(data).hexdigest()
