"""``index.json`` beside the shards: how many images each holds, so that a position is computed.

Without it, finding image number n would mean reading every shard before it.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from tngexp.common.atomic import replacing
from tngexp.common.folders import expanded
from tngexp.datasets.images import DataError
from tngexp.datasets.shards.read import join, read_all
from tngexp.datasets.shards.remote import is_url

__all__ = ["INDEX", "Shard", "ShardIndex", "load_index"]

INDEX = "index.json"
_FORMAT = 1
# A name is joined to the root; nothing in an index may lead elsewhere.
_NAME = re.compile(r"[\w.-]+\.tar(\.gz)?")


class Shard(NamedTuple):
    """One tar file, by its name beside the index."""

    name: str
    images: int
    nbytes: int


@dataclass(frozen=True)
class ShardIndex:
    """The shards of a data set in order.

    ``min_side`` is the shorter side of the smallest image, 0 if unknown. ``source`` tells whether
    packing again would give the same shards.
    """

    shards: tuple[Shard, ...]
    min_side: int = 0
    source: str = ""

    @property
    def images(self) -> int:
        """Of all shards together."""
        return sum(shard.images for shard in self.shards)

    def save(self, folder: Path) -> None:
        """Writes the index as one step, so that a reader never sees half of it."""
        content = {
            "format": _FORMAT,
            "min_side": self.min_side,
            "source": self.source,
            "shards": [
                {"name": shard.name, "images": shard.images, "bytes": shard.nbytes}
                for shard in self.shards
            ],
        }
        with replacing(folder / INDEX) as temporary:
            temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")

    def check_files(self, folder: Path) -> None:
        """Raises DataError that names local shards which are missing or of the wrong size."""
        problems = []
        for shard in self.shards:
            try:
                size = (folder / shard.name).stat().st_size
            except OSError:
                problems.append(f"{shard.name} is missing")
                continue
            if size != shard.nbytes:
                what = "truncated" if size < shard.nbytes else "not the one that was packed"
                problems.append(f"{shard.name} is {what} ({size} bytes instead of {shard.nbytes})")
        if problems:
            more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
            raise DataError(
                f"data.root={folder}: {'; '.join(problems[:3])}{more}. "
                "Fix: copy these shards again, or pack anew."
            )


def load_index(root: str | os.PathLike[str] | None) -> tuple[str, ShardIndex]:
    """The root as text and its index; local shards are checked. Raises DataError."""
    if root is None or str(root) == "":
        raise DataError(
            "data.root is not set. Fix: data.root=DIR or URL, where the shards and their "
            f"{INDEX} lie; python -m tngexp.datasets.pack makes them from a folder."
        )
    text = str(root) if is_url(root) else str(expanded(root))
    if not is_url(text):
        folder = Path(text)
        if not folder.is_dir():
            problem = "is a file" if folder.exists() else "does not exist"
            raise DataError(
                f"data.root={root} {problem}. Fix: point data.root at the folder of the shards."
            )
        if not (folder / INDEX).is_file():
            raise DataError(
                f"data.root={root} has no {INDEX}. Fix: make shards with "
                "python -m tngexp.datasets.pack FOLDER OUT, or add an index to shards from "
                "elsewhere with python -m tngexp.datasets.pack --index DIR."
            )
    place = join(text, INDEX)
    index = _parse(read_all(place), place)
    if not is_url(text):
        index.check_files(Path(text))
    return text, index


def _parse(content: bytes, place: str) -> ShardIndex:
    try:
        fields: Any = json.loads(content)
        if fields["format"] != _FORMAT:
            raise ValueError(f"format {fields['format']} instead of {_FORMAT}")
        shards = tuple(
            Shard(str(item["name"]), int(item["images"]), int(item["bytes"]))
            for item in fields["shards"]
        )
        for shard in shards:
            if not _NAME.fullmatch(shard.name) or shard.images < 0:
                raise ValueError(f"shard {shard.name!r}")
        return ShardIndex(shards, int(fields["min_side"]), str(fields["source"]))
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{place} is not an index of shards ({type(error).__name__}: {error}). "
            "Fix: pack anew, or python -m tngexp.datasets.pack --index DIR."
        ) from error
