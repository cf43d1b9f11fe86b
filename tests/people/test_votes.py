"""From the files that people sent back to scores: what counts, what is left out, what is said."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tngexp import study as entry
from tngexp.people.key import write_study
from tngexp.people.votes import read_votes
from tngexp.types import ConfigError


def choices(made: Any, order: tuple[str, ...], times: int = 1) -> list[tuple[str, str]]:
    """Every pair, the codec earlier in ``order`` being chosen."""
    return [
        (pair.id, "a" if order.index(pair.a.codec) < order.index(pair.b.codec) else "b")
        for pair in made.study.pairs
    ] * times


def test_votes_are_counted_for_the_codec_that_was_chosen(made, answer) -> None:
    order = made.study.codecs
    votes = read_votes([answer("one", choices(made, order))], made.study)
    expected = [[0, 3, 3], [0, 0, 3], [0, 0, 0]]  # three photos of each two
    assert votes.wins.tolist() == [expected]
    turned = read_votes([answer("two", choices(made, order[::-1]))], made.study)
    assert turned.wins[0].T.tolist() == expected
    assert votes.notes == []


def test_who_fails_a_catch_trial_is_left_out_and_counted(made, answer) -> None:
    given = choices(made, made.study.codecs)
    good = answer("good", given)
    bad = answer("bad", given, caught=("a", "b"))
    early = answer("early", given[:2], caught=(), complete=False)
    partial = answer("partial", given[:4], caught=("a",), complete=False)
    votes = read_votes([good, bad, early, partial], made.study)
    assert [one.session for one in votes.participants] == ["good", "partial"]
    assert [one.session for one in votes.failed] == ["bad", "early"]
    assert votes.wins.sum((1, 2)).tolist() == [9, 4]
    text = "\n".join(votes.notes)
    assert "bad.json is left out: it chose the ruined picture in 1 of 2 catch trials" in text
    assert "early.json is left out: it ended before the first catch trial" in text
    assert "1 of 2 sessions ended early" in text
    with pytest.raises(ConfigError, match="no vote counts"):
        read_votes([bad], made.study)


def test_a_session_counts_once_with_its_most_votes(made, answer, tmp_path: Path) -> None:
    given = choices(made, made.study.codecs)
    answer("first", given[:3], session="s", complete=False)
    answer("whole", given, session="s")
    (tmp_path / "results" / "scores.json").write_text('{"format": "tngexp-study-scores"}')
    votes = read_votes([tmp_path / "results"], made.study)
    assert votes.wins.sum() == 9
    assert "of one session" in votes.notes[0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "holds no results of a study"),
        ("[]", "holds no results of a study"),
        ('{"format": "other", "version": 1}', "format 'other'"),
    ],
)
def test_what_holds_no_results_is_named(made, tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "odd.json"
    path.write_text(content)
    with pytest.raises(ConfigError, match=message) as caught:
        read_votes([path], made.study)
    assert "odd.json" in str(caught.value)


def test_results_of_another_study_and_missing_ones_are_refused(made, answer, tmp_path) -> None:
    other = answer("other", [], study="0123")
    with pytest.raises(ConfigError, match=r"of another study \(0123.*out=DIR"):
        read_votes([other], made.study)
    with pytest.raises(ConfigError, match="no file or folder"):
        read_votes([tmp_path / "none.json"], made.study)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"no file in .*empty holds answers"):
        read_votes([tmp_path / "empty"], made.study)
    odd = answer("odd", [("no-pair", "a")])
    with pytest.raises(ConfigError, match="a vote"):
        read_votes([odd], made.study)


def test_the_program_scores_and_draws(made, answer, tmp_path: Path, capsys: Any) -> None:
    for number, order in enumerate(itertools.permutations(made.study.codecs)):
        answer(f"p{number}", choices(made, order))
        answer(f"q{number}", choices(made, made.study.codecs))
    answer("careless", choices(made, made.study.codecs), caught=("b", "b"))
    out = made.page.parent
    words = [f"results=[{tmp_path / 'results'}]", f"out={out}", "resamples=300"]
    assert entry.main(words) == 0
    shown = capsys.readouterr().out
    for text in (*made.study.codecs, "Scores of 108 votes by 12 participants", "Every two codecs"):
        assert text in shown
    assert "careless.json is left out" in shown.replace("\n", " ")
    found = json.loads((out / "scores.json").read_text())
    assert (found["participants"], found["left_out"], found["votes"]) == (12, 1, 108)
    assert found["resampled"] == "participants"
    best = found["scores"][0]
    assert best["codec"] == made.study.codecs[0]
    assert {one["codec"] for one in found["scores"]} == set(made.study.codecs)
    assert len(found["contests"]) == 3
    assert (out / "scores.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_one_person_is_said_to_be_one(made, answer, capsys: Any) -> None:
    path = answer("only", choices(made, made.study.codecs, times=4))
    assert entry.main([f"results={path}", f"out={made.page.parent}", "resamples=200"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "there is one participant: intervals come from resampling votes" in shown


def test_two_codecs_that_no_chain_of_wins_connects_have_no_verdict(
    made, answer, tmp_path: Path, capsys: Any
) -> None:
    # JPEG and WebP are never shown together, and beat AVIF every time.
    *strong, weak = made.study.codecs
    pairs = tuple(p for p in made.study.pairs if weak in (p.a.codec, p.b.codec))
    study = replace(made.study, pairs=pairs)
    write_study(study, tmp_path / "study.json")
    given = choices(made._replace(study=study), made.study.codecs)
    for number in range(6):
        answer(f"p{number}", given, study=study.id)
    words = [f"results=[{tmp_path / 'results'}]", f"out={tmp_path}", "resamples=100"]
    assert entry.main([*words, "reference=jpeg"]) == 0
    assert "NaN" not in capsys.readouterr().out
    found = json.loads((tmp_path / "scores.json").read_text())
    said = "no chain of wins leads from"
    (contest,) = [c for c in found["contests"] if {c["one"], c["other"]} == set(strong)]
    assert (contest["share"], contest["low"], contest["high"]) == (None, None, None)
    assert not contest["decided"]
    assert contest["refused"].startswith(said)
    (score,) = [s for s in found["scores"] if s["codec"] == strong[1]]
    assert (score["score"], score["low"], score["high"]) == (None, None, None)
    assert score["refused"].startswith(said)


def test_a_missing_key_and_an_unknown_reference_are_refused(
    made, answer, tmp_path: Path, capsys: Any
) -> None:
    path = answer("one", choices(made, made.study.codecs))
    assert entry.main([f"results={path}", f"out={tmp_path / 'nowhere'}"]) == 2
    assert "study.json is missing" in capsys.readouterr().err
    assert entry.main([f"results={path}", f"out={made.page.parent}", "reference=x"]) == 2
    assert "reference=x is none of the codecs: JPEG" in capsys.readouterr().err
