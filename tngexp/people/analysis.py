"""What votes say of codecs, with 95 % intervals, and what they are too few to say."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from omegaconf import DictConfig

import tngexp
from tngexp.common import terminal
from tngexp.common.atomic import replacing
from tngexp.common.folders import shown_path
from tngexp.people.bradley_terry import FEW, differences, interval, links, resampled
from tngexp.people.key import Study, read_study
from tngexp.people.options import connected, label_of, plain_options
from tngexp.people.plot import save_scores
from tngexp.people.votes import Votes, read_votes
from tngexp.report.table import Cell, Column, Table, refused
from tngexp.report.text import print_table
from tngexp.types import ConfigError

__all__ = ["Contest", "Score", "Scores", "analyse", "score", "show_scores"]

LEAST_VOTES = 10
"""Votes that must hold two codecs together. Below, resampling gives intervals that are too narrow:
of eight votes for equal codecs 7 % come out at 7 to 1 or further apart, and it would tell them
apart."""


class Score(NamedTuple):
    """A codec's strength in votes against that of the reference."""

    codec: str
    votes: int  # that it took part in
    score: float | None  # sᵢ − s_reference, natural logarithm of the odds; None: refused
    low: float | None  # of the 95 % interval
    high: float | None
    refused: str = ""  # why there is no figure


class Contest(NamedTuple):
    """Two codecs, the stronger one first where there is one."""

    one: str
    other: str
    votes: int  # between the two
    share: float | None  # of people's votes that the model gives ``one`` over ``other``
    low: float | None
    high: float | None
    decided: bool  # whether the interval keeps to one side of a half
    refused: str = ""  # why there is no verdict


class Scores(NamedTuple):
    """What an analysis found and where it lies."""

    scores: list[Score]  # the strongest first, those without a figure last
    contests: list[Contest]
    reference: str
    participants: int
    failed: int  # left out for catch trials
    votes: int
    resampled: str  # "participants" or "votes"
    notes: list[str]
    tables: list[Table]
    path: Path  # scores.json
    plot: Path


def analyse(config: DictConfig | Mapping[str, Any]) -> Scores:
    """Score codecs by the votes in ``results``, and write ``scores.json`` and ``scores.png``.

    Args:
        config: ``conf/study.yaml`` with ``results``; in ``out`` lies the ``study.json`` of their
            page.

    Raises:
        ConfigError: for results that cannot be used, or that leave codecs without a common scale.
    """
    plain = plain_options(config)
    if plain["resamples"] < 100:
        raise ConfigError(
            f"resamples={plain['resamples']} are too few for an interval; at least 100"
        )
    out = Path(plain["out"])
    study = read_study(out / "study.json")
    wanted = plain["reference"]
    if wanted is not None:
        wanted = label_of(wanted, study.codecs)
    votes = read_votes(plain["results"], study)
    found, contests, reference = score(
        study.codecs, votes.wins, wanted, plain["resamples"], plain["seed"], study.reference
    )
    notes = [*votes.notes, *_remarks(votes, found, reference)]
    people, count = len(votes.participants), int(votes.wins.sum())
    tables = [_score_table(found, reference, people, count), _contest_table(contests)]
    result = Scores(
        scores=found,
        contests=contests,
        reference=reference,
        participants=people,
        failed=len(votes.failed),
        votes=count,
        resampled="votes" if people < FEW else "participants",
        notes=notes,
        tables=tables,
        path=out / "scores.json",
        plot=out / "scores.png",
    )
    _write(result, study, plain)
    save_scores(
        [(s.codec, s.score, s.low, s.high) for s in found],
        result.plot,
        f"{count} votes of {people} participant{'s' if people > 1 else ''}",
        reference,
    )
    return result


def score(
    codecs: Sequence[str],
    wins: NDArray[np.float64],
    reference: str | None,
    resamples: int = 2000,
    seed: int = 0,
    preferred: str | None = None,
) -> tuple[list[Score], list[Contest], str]:
    """Scores, what is to be said of every two codecs, and the codec whose score is 0.

    Args:
        codecs: labels, n of them.
        wins: (P, n, n): how often participant P chose the row over the column.
        reference: the label whose score is 0. None chooses the one against which most scores have
            an interval: one that nearly always loses would leave none.
        resamples: of the bootstrap.
        seed: of its draws.
        preferred: of several such references this one.

    Raises:
        ConfigError: when no votes connect the codecs.
    """
    total = wins.sum(0)
    groups = connected(
        codecs, [(codecs[i], codecs[j]) for i, j in zip(*np.nonzero(total), strict=True)]
    )
    if len(groups) > 1:
        raise ConfigError(
            "no votes connect " + " with ".join(", ".join(group) for group in groups) + ", so that "
            "no scale holds them all. Fix: results of more people"
        )
    estimate = differences(total[None])[0]
    draws = differences(resampled(wins, resamples, seed))
    units = len(wins) if len(wins) >= FEW else int(total.sum())

    def bounds(i: int, j: int) -> tuple[float, float]:
        return interval(draws[:, i, j], units)

    held = links(total)

    def against(base: int) -> list[Score]:
        return [
            _score(codecs, i, base, total, estimate[i, base], bounds(i, base), int(held[i, base]))
            for i in range(len(codecs))
        ]

    if reference is None:
        order = sorted(codecs, key=lambda label: label != preferred)
        reference = max(
            order,
            key=lambda label: sum(s.score is not None for s in against(codecs.index(label))),
        )
    scores = against(codecs.index(reference))
    contests = []
    for i, j in itertools.combinations(range(len(codecs)), 2):
        if estimate[i, j] < 0:
            i, j = j, i
        contests.append(
            _contest(codecs, i, j, total, estimate[i, j], bounds(i, j), int(held[i, j]))
        )
    scores.sort(key=lambda s: (s.score is None, -(s.score or 0.0)))
    return scores, contests, reference


def _score(
    codecs: Sequence[str],
    i: int,
    base: int,
    total: NDArray[np.float64],
    estimate: float,
    bounds: tuple[float, float],
    held: int,
) -> Score:
    name, votes = codecs[i], int(total[i].sum() + total[:, i].sum())
    if i == base:
        return Score(name, votes, 0.0, None, None)
    if held < LEAST_VOTES:
        return Score(name, votes, None, None, None, _too_few(held, codecs[base]))
    if math.isnan(estimate):
        return Score(name, votes, None, None, None, _unconnected(codecs[base]))
    low, high = bounds
    if not math.isfinite(estimate):
        kind = "won" if estimate > 0 else "lost"
        why = f"{kind} every vote that leads to {codecs[base]}: its distance has no bound"
        return Score(name, votes, None, None, None, why)
    if not (math.isfinite(low) and math.isfinite(high)):
        side = "lower" if math.isfinite(high) else "upper" if math.isfinite(low) else "any"
        why = f"the votes set no {side} bound on its distance from {codecs[base]}"
        return Score(name, votes, None, _finite(low), _finite(high), why)
    return Score(name, votes, float(estimate), low, high)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _contest(
    codecs: Sequence[str],
    i: int,
    j: int,
    total: NDArray[np.float64],
    estimate: float,
    bounds: tuple[float, float],
    held: int,
) -> Contest:
    one, other, votes = codecs[i], codecs[j], int(total[i, j] + total[j, i])
    if held < LEAST_VOTES:
        return Contest(one, other, votes, None, None, None, False, _too_few(held))
    if math.isnan(estimate):
        return Contest(one, other, votes, None, None, None, False, _unconnected())
    low, high = bounds
    share, least, most = (_share(value) for value in (estimate, low, high))
    decided = low > 0
    why = "" if decided else "the interval contains 50 %: these votes cannot tell"
    return Contest(one, other, votes, share, least, most, decided, why)


def _share(difference: float) -> float:
    """σ, of infinities, too."""
    return 0.0 if difference < -700 else 1 / (1 + math.exp(-difference))


def _too_few(held: int, other: str = "") -> str:
    between = f"it with {other}" if other else "the two"
    return f"only {held} votes connect {between}, and {LEAST_VOTES} are the least"


def _unconnected(other: str = "") -> str:
    between = f"{other} to it" if other else "one to the other"
    return f"no chain of wins leads from {between}, either way: the votes say nothing of the two"


def _remarks(votes: Votes, scores: Sequence[Score], reference: str) -> list[str]:
    people = len(votes.participants)
    notes = []
    if people < FEW:
        who = "one participant" if people == 1 else f"{people} participants"
        notes.append(
            f"there {'is' if people == 1 else 'are'} {who}: intervals come from resampling votes "
            f"and hold for {'this person' if people == 1 else 'these people'} alone; from {FEW} "
            "participants on, participants are resampled"
        )
    if len(scores) > 1 and all(s.score is None for s in scores if s.codec != reference):
        notes.append(f"no score can be given against {reference}: try another reference=…")
    return notes


def _score_table(scores: Sequence[Score], reference: str, people: int, votes: int) -> Table:
    rows = []
    for one in scores:
        figure = refused(one.refused) if one.score is None else Cell(_real(one.score), one.score)
        bounds = _bounds(one.low, one.high)
        rows.append((Cell(one.codec, one.codec), figure, Cell(bounds), Cell(str(one.votes))))
    return Table(
        "scores",
        f"Scores of {votes} votes by {people} participant{'s' if people > 1 else ''}",
        (Column("codec", numeric=False), Column("score"), Column("interval"), Column("votes")),
        tuple(rows),
        caption=(
            f"Bradley–Terry: ln of the odds of being chosen over {reference}, with a 95 % "
            "interval; by people who saw these photos at this rate."
        ),
    )


def _contest_table(contests: Sequence[Contest]) -> Table:
    rows = []
    for c in contests:
        shown = refused(c.refused) if c.share is None else Cell(f"{100 * c.share:.0f} %", c.share)
        bounds = "–"
        if c.low is not None and c.high is not None:
            bounds = f"{100 * c.low:.0f} … {100 * c.high:.0f} %"
        verdict = Cell("yes") if c.decided else Cell("no", note=c.refused)
        rows.append(
            (
                *(Cell(c.one, c.one), Cell(c.other, c.other), shown, Cell(bounds)),
                *(Cell(str(c.votes)), verdict),
            )
        )
    return Table(
        "contests",
        "Every two codecs",
        (
            *(Column("codec", numeric=False), Column("against", numeric=False)),
            *(Column("chosen"), Column("interval"), Column("votes")),
            Column("told apart", numeric=False),
        ),
        tuple(rows),
        caption=(
            "How often the model has the first chosen over the second, with a 95 % interval. "
            f"Each holds by itself: of {len(contests)} some may err."
        ),
    )


def _bounds(low: float | None, high: float | None) -> str:
    if low is not None and high is not None:
        return f"{_real(low)} … {_real(high)}"
    if high is not None:
        return f"below {_real(high)}"
    return "–" if low is None else f"above {_real(low)}"


def _real(value: float) -> str:
    text = f"{value:+.2f}".replace("-", "−")
    return "0.00" if text in ("+0.00", "−0.00") else text


def _write(result: Scores, study: Study, options: Mapping[str, Any]) -> None:
    content = {
        "format": "tngexp-study-scores",
        "version": 1,
        "study": study.id,
        "tngexp": tngexp.__version__,
        "participants": result.participants,
        "left_out": result.failed,
        "votes": result.votes,
        "reference": result.reference,
        "interval": 0.95,
        "resampled": result.resampled,
        "resamples": options["resamples"],
        "seed": options["seed"],
        "scores": [one._asdict() for one in result.scores],
        "contests": [one._asdict() for one in result.contests],
        "notes": result.notes,
    }
    with replacing(result.path) as temporary:
        temporary.write_text(
            json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="ascii"
        )


def show_scores(result: Scores) -> None:
    """Print the tables, what was left out, and where everything is."""
    console = terminal.console()
    for table in result.tables:
        print_table(console, table)
    for note in result.notes:
        print(f"note: {note}")
    print(f"scores in {shown_path(result.path)}")
    print(f"plot in {shown_path(result.plot)}")
