"""What people sent back: their votes, read with the key of the study they took part in."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tngexp.common.folders import search, shown_path
from tngexp.people.key import Study
from tngexp.types import ConfigError

__all__ = ["Participant", "Votes", "read_votes"]

_FORMAT = "tngexp-study-results"
_VERSION = 1


@dataclass(frozen=True)
class Participant:
    """One session, of whoever had it."""

    session: str
    choices: tuple[tuple[str, bool], ...]  # pair or catch trial, and whether a was chosen
    complete: bool
    path: Path


class Votes(NamedTuple):
    """Votes that count, and what was left out."""

    wins: NDArray[np.float64]  # (P, n, n): how often participant P chose the row over the column
    participants: list[Participant]  # P of them
    failed: list[Participant]  # left out for a catch trial
    notes: list[str]


def read_votes(places: Sequence[str | Path], study: Study) -> Votes:
    """The votes in files and folders.

    A session that is there several times, as it was saved on the way, counts once, with the most
    votes. Who chose the ruined picture of a catch trial, or has not come to one, is left out.

    Raises:
        ConfigError: for a file that holds no results, or those of another study; for a folder
            without any; for no votes that count.
    """
    sessions: dict[str, Participant] = {}
    notes: list[str] = []
    for path in _files(places):
        one = _participant(path, study)
        other = sessions.setdefault(one.session, one)
        if other is not one:
            notes.append(
                f"{shown_path(one.path)} and {shown_path(other.path)} are of one session, which "
                "counts once"
            )
            sessions[one.session] = max(other, one, key=lambda found: len(found.choices))
    catches = {study.catch_id(photo) for photo in study.catches}
    counted, failed = [], []
    for one in sessions.values():
        answers = [first for trial, first in one.choices if trial in catches]
        wrong = answers.count(False)
        if wrong or (study.catch_trials and catches and not answers):
            failed.append(one)
            why = (
                f"chose the ruined picture in {wrong} of {len(answers)} catch trials"
                if wrong
                else "ended before the first catch trial"
            )
            notes.append(f"{shown_path(one.path)} is left out: it {why}")
        else:
            counted.append(one)
    if partial := sum(not one.complete for one in counted):
        notes.append(f"{partial} of {len(counted)} sessions ended early; their votes count")
    if not any(trial not in catches for one in counted for trial, _ in one.choices):
        raise ConfigError(
            f"no vote counts: of {len(sessions)} session(s) {len(failed)} failed the catch trials "
            "and the others hold none. Fix: results of more people"
            + "".join(f" ({note})" for note in notes)
        )
    return Votes(np.stack([_wins(one, study) for one in counted]), counted, failed, notes)


def _files(places: Sequence[str | Path]) -> list[Path]:
    files: list[Path] = []
    for place in map(Path, places):
        if not place.is_dir():
            files.append(place)
            continue
        # Keys and scores may lie in the same folder.
        found = [path for path in search(place, {".json"}).files if _is_results(path)]
        if not found:
            raise ConfigError(
                f"results: no file in {shown_path(place)} holds answers; they are the .json files "
                "that the page gave to people"
            )
        files += found
    return list({path.resolve(): path for path in files}.values())


def _is_results(path: Path) -> bool:
    try:
        content = json.loads(path.read_bytes())
    except ValueError:
        return True  # damaged: it is not left out without a word
    return isinstance(content, dict) and content.get("format") == _FORMAT


def _participant(path: Path, study: Study) -> Participant:
    shown = shown_path(path)
    if not path.is_file():
        raise ConfigError(f"results: there is no file or folder {shown}")
    try:
        content: Mapping[str, Any] = json.loads(path.read_bytes())
        if content["format"] != _FORMAT or content["version"] != _VERSION:
            raise ValueError(f"format {content['format']!r}, version {content['version']!r}")
        if content["study"] != study.id:
            raise ConfigError(
                f"{shown} is of another study ({content['study']}; the key is of {study.id}); "
                "out=DIR names the folder of its key"
            )
        known = {pair.id for pair in study.pairs} | {study.catch_id(p) for p in study.catches}
        choices = []
        for vote in content["votes"]:
            if vote["pair"] not in known or vote["chosen"] not in ("a", "b"):
                raise ValueError(f"a vote {vote!r}")
            choices.append((str(vote["pair"]), vote["chosen"] == "a"))
        return Participant(
            str(content["session"]), tuple(choices), content["complete"] is True, path
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{shown} holds no results of a study ({type(error).__name__}: {error}); take it out "
            "of results=[…]"
        ) from error


def _wins(one: Participant, study: Study) -> NDArray[np.float64]:
    pairs = {pair.id: pair for pair in study.pairs}
    index = {label: number for number, label in enumerate(study.codecs)}
    wins = np.zeros((len(index), len(index)))
    for trial, first in one.choices:
        if trial in pairs:
            sides = (pairs[trial].a.codec, pairs[trial].b.codec)
            winner, loser = sides if first else sides[::-1]
            wins[index[winner], index[loser]] += 1
    return wins
