"""``study.json``: which codec is behind which picture. It stays with whoever asks."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tngexp.common.atomic import replacing
from tngexp.common.folders import shown_path
from tngexp.types import ConfigError

__all__ = ["Pair", "Side", "Study", "check_key", "read_study", "write_study"]

_FORMAT = "tngexp-study"
_VERSION = 1


@dataclass(frozen=True)
class Side:
    """One file of a pair."""

    codec: str  # label
    setting: str
    bytes: int
    pixels_sha256: str  # of the decoded pixels as they are shown


@dataclass(frozen=True)
class Pair:
    """Two files of one photo; the page calls them a and b."""

    photo: str
    a: Side
    b: Side

    @property
    def id(self) -> str:
        """What the page calls the pair: it tells nothing of the codecs."""
        return hashlib.sha256(json.dumps(asdict(self)).encode()).hexdigest()[:12]

    @property
    def excess(self) -> float:
        """By which share the larger file exceeds the smaller one."""
        sizes = (self.a.bytes, self.b.bytes)
        return max(sizes) / min(sizes) - 1


@dataclass(frozen=True)
class Study:
    """What a page asks, and the key to its answers."""

    codecs: tuple[str, ...]  # labels
    pairs: tuple[Pair, ...]
    catches: tuple[str, ...]  # photos whose original is shown beside a ruined version
    size: tuple[int, int]  # width and height of every picture
    catch_trials: int  # of them so many in a session
    reference: str  # label of the codec whose score is 0 where that leaves most scores
    about: Mapping[str, Any] = field(default_factory=dict)  # for people only

    @property
    def id(self) -> str:
        """Equal for pages that ask the same: their results go together."""
        content = [*sorted(pair.id for pair in self.pairs), *self.catches, self.catch_trials]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]

    def catch_id(self, photo: str) -> str:
        """What the page calls a catch trial, in the way of a pair."""
        return hashlib.sha256(json.dumps(["catch", photo]).encode()).hexdigest()[:12]


def check_key(path: Path, study: Study) -> None:
    """Refuse to replace the key of another study, without which its votes cannot be read.

    Args:
        path: where the key of ``study`` is to lie.
        study: may still be without pairs; then what else it asks is compared.

    Raises:
        ConfigError: with the fix.
    """
    if not os.path.lexists(path):
        return
    try:
        there = read_study(path)
    except ConfigError:
        what = "is no key that can be read, though perhaps somebody's"
    else:
        if there.id == study.id if study.pairs else _asked(there) == _asked(study):
            return
        what = "is the key of another study, without which its results cannot be read"
    raise ConfigError(
        f"{shown_path(path)} {what}; it is not replaced: name another folder, out=DIR, or remove it"
    )


def _asked(study: Study) -> tuple[Any, ...]:
    """What two studies of one id have in common, apart from their pairs."""
    return sorted(study.codecs), study.catches, study.size, study.catch_trials


def write_study(study: Study, path: Path) -> None:
    """Write the key, whole or not at all."""
    content = {
        "format": _FORMAT,
        "version": _VERSION,
        "id": study.id,
        **asdict(study),
        "pairs": [{"id": pair.id, **asdict(pair)} for pair in study.pairs],
    }
    with replacing(path) as temporary:
        # In ASCII: a file's name need not be valid text.
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="ascii")


def read_study(path: Path) -> Study:
    """The key in a file.

    Raises:
        ConfigError: when there is none, or it is none; the message says what to do.
    """
    shown = shown_path(path)
    if not path.is_file():
        raise ConfigError(
            f"{shown} is missing: results are read with the key that was written beside their "
            "page; out=DIR names its folder"
        )
    try:
        content = json.loads(path.read_bytes())
        if content["format"] != _FORMAT or content["version"] != _VERSION:
            raise ValueError(f"format {content['format']!r}, version {content['version']!r}")
        width, height = content["size"]
        study = Study(
            codecs=tuple(content["codecs"]),
            pairs=tuple(
                Pair(pair["photo"], Side(**pair["a"]), Side(**pair["b"]))
                for pair in content["pairs"]
            ),
            catches=tuple(content["catches"]),
            size=(width, height),
            catch_trials=content["catch_trials"],
            reference=content["reference"],
            about=content["about"],
        )
        if study.id != content["id"]:
            raise ValueError("its pairs are not those its id was made of")
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{shown} is not the key of a study ({error}); make the page again, or name another "
            "folder with out=DIR"
        ) from error
    return study
