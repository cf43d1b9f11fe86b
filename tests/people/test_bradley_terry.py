"""Strengths against an independent fit, against theorems, and against votes of known strengths."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy.optimize import minimize

from tngexp.people.analysis import score
from tngexp.people.bradley_terry import FEW, differences, interval, links, resampled
from tngexp.types import ConfigError


def simulated(strengths: list[float], people: int, votes: int, seed: int) -> np.ndarray:
    """(P, n, n): every two codecs ``votes`` times by each participant."""
    random = np.random.default_rng(seed)
    n = len(strengths)
    wins = np.zeros((people, n, n))
    for p, (i, j) in itertools.product(range(people), itertools.combinations(range(n), 2)):
        chance = 1 / (1 + math.exp(strengths[j] - strengths[i]))
        wins[p, i, j] = random.binomial(votes, chance)
        wins[p, j, i] = votes - wins[p, i, j]
    return wins


def test_two_codecs_have_the_odds_of_their_votes() -> None:
    wins = np.array([[[0, 30], [10, 0]]], float)
    assert differences(wins)[0, 0, 1] == pytest.approx(math.log(3))


def test_strengths_are_those_of_a_general_optimizer() -> None:
    random = np.random.default_rng(3)
    sets = random.integers(0, 30, (5, 5, 5)).astype(float)
    sets[:, range(5), range(5)] = 0
    sets[:, 0, 3] = sets[:, 3, 0] = 0  # two that were never compared

    def fit(wins: np.ndarray) -> np.ndarray:
        def cost(s: np.ndarray) -> float:
            return float((wins * np.logaddexp(0, s[None] - s[:, None])).sum()) + 1e-9 * s @ s

        s = minimize(cost, np.zeros(5), method="BFGS", options={"gtol": 1e-7}).x
        return s[:, None] - s[None]

    expected = np.stack([fit(wins) for wins in sets])
    assert differences(sets) == pytest.approx(expected, abs=1e-4)


def test_who_never_lost_is_without_bound_and_leaves_the_others_alone() -> None:
    wins = np.zeros((1, 4, 4))
    wins[0, 0, 1], wins[0, 1, 0] = 20, 10
    wins[0, 2, 0] = 9  # 2 won all its votes, which were against 0 alone
    found = differences(wins)[0]
    assert found[0, 1] == pytest.approx(math.log(2))
    assert found[2, 0] == found[2, 1] == np.inf
    assert found[0, 2] == -np.inf
    assert np.isnan(found[3, :3]).all()  # 3 has no votes
    assert found[3, 3] == 0


def test_an_interval_counts_what_is_unknown_against_both_ends() -> None:
    values = np.arange(1000.0)
    assert interval(values, 1_000_000) == (24, 975)
    values[-100:] = np.nan
    assert interval(values, 1_000_000) == (-np.inf, np.inf)
    assert interval(np.array([-np.inf] * 10 + [1.0] * 980 + [np.inf] * 10), 10**6) == (1, 1)
    assert interval(values, 1) == (-np.inf, np.inf)


def test_an_interval_of_few_people_is_that_of_students_t() -> None:
    # Means of bootstrap samples of n normal values scatter by s √((n − 1)/n) / √n about their mean.
    random, n = np.random.default_rng(0), 6
    values = random.normal(0, math.sqrt((n - 1) / n), 200_000)
    low, high = interval(values, n)
    assert (low, high) == pytest.approx((-2.571, 2.571), abs=0.05)  # t of 5 degrees, 97.5 %


def test_links_are_the_votes_without_which_nothing_connects() -> None:
    wins = np.zeros((4, 4))
    wins[0, 1], wins[1, 0], wins[1, 2], wins[2, 3] = 30, 20, 4, 50
    wins[0, 2] = 3
    held = links(wins)
    assert held[0, 1] == 50 + 3
    assert held[0, 2] == 4 + 3  # directly and through 1
    assert held[0, 3] == 7
    assert held[2, 3] == 50
    assert (held == held.T).all()


def test_people_are_drawn_with_all_their_votes_and_few_people_by_votes() -> None:
    wins = np.zeros((FEW, 2, 2))
    wins[:, 0, 1] = [1, 10, 100, 1000, 10000]
    wins[:, 1, 0] = 7
    drawn = resampled(wins, 200, seed=0)
    assert (drawn[:, 1, 0] == 7 * FEW).all()
    digits = {tuple(map(int, f"{int(w):05d}"[-5:])) for w in drawn[:, 0, 1] if w < 50_000}
    assert all(sum(d) == FEW for d in digits)  # whole persons, each so many times
    few = resampled(wins[:-1], 200, seed=0)
    assert (few.sum((1, 2)) == wins[:-1].sum()).all()
    assert len(np.unique(few[:, 1, 0])) > 10
    assert (resampled(wins, 9, 1) == resampled(wins, 9, 1)).all()


def test_known_strengths_are_found_and_lie_in_their_intervals() -> None:
    truth = [0.0, 0.6, -0.8, 1.5]
    inside = total = 0
    for seed in range(12):
        scores, *_ = score("abcd", simulated(truth, 8, 12, seed), "a", 400)
        for one in scores:
            if one.codec != "a":
                true = truth["abcd".index(one.codec)]
                assert one.score == pytest.approx(true, abs=1.0)
                total += 1
                inside += one.low <= true <= one.high
    assert total == 36
    assert inside >= 31  # 34 are expected of 95 %
    scores, contests, _ = score("abcd", simulated(truth, 40, 100, 0), "a", 400)
    assert [one.codec for one in scores] == ["d", "b", "a", "c"]
    assert [one.score for one in scores] == pytest.approx([1.5, 0.6, 0, -0.8], abs=0.12)
    assert all(contest.decided for contest in contests)


def test_equal_codecs_are_seldom_told_apart() -> None:
    told = 0
    for seed in range(60):
        _, (contest,), _ = score("ab", simulated([0, 0], 1, 12, seed), "a", 300)
        told += contest.decided
    assert told <= 8  # 3 are expected of 5 %


def test_too_few_votes_are_refused() -> None:
    wins = np.zeros((1, 3, 3))
    wins[0, 0, 1], wins[0, 1, 0] = 60, 20
    wins[0, 1, 2] = 9  # all of too few
    scores, contests, _ = score("abc", wins, "a", 300)
    found = {one.codec: one for one in scores}
    assert found["b"].score == pytest.approx(-math.log(3))
    assert found["c"].score is None
    assert "only 9 votes connect it with a" in found["c"].refused
    verdicts = {frozenset((c.one, c.other)): c for c in contests}
    assert verdicts[frozenset("ab")].decided
    assert not verdicts[frozenset("bc")].decided
    assert "only 9 votes" in verdicts[frozenset("bc")].refused
    wins[0, 1, 2] = 12  # enough for an order, and for no distance
    scores, contests, _ = score("abc", wins, "a", 300)
    found = {one.codec: one for one in scores}
    assert found["c"].score is None
    assert "lost every vote" in found["c"].refused
    assert next(c for c in contests if {c.one, c.other} == set("bc")).decided


def test_an_interval_that_contains_a_half_is_no_verdict() -> None:
    wins = np.array([[[0, 26], [24, 0]]], float)
    _, (contest,), _ = score("ab", wins, "a", 300)
    assert not contest.decided
    assert contest.low < 0.5 < contest.high
    assert "cannot tell" in contest.refused


def test_codecs_that_no_votes_connect_are_refused() -> None:
    wins = np.zeros((1, 4, 4))
    wins[0, 0, 1] = wins[0, 1, 0] = wins[0, 2, 3] = wins[0, 3, 2] = 50
    with pytest.raises(ConfigError, match="no votes connect a, b with c, d"):
        score("abcd", wins, "a", 300)


def test_the_reference_is_one_that_leaves_most_scores() -> None:
    wins = np.zeros((1, 4, 4))
    for i, j in itertools.combinations(range(3), 2):
        wins[0, i, j] = wins[0, j, i] = 20
    wins[0, :3, 3] = [20, 20, 19]
    wins[0, 3, 2] = 1  # d loses nearly always
    scores, _, reference = score("abcd", wins, None, 300, preferred="b")
    assert reference == "b"
    found = {one.codec: one for one in scores}
    assert found["a"].low < found["a"].score < found["a"].high
    assert found["d"].score is None
    assert found["d"].low is None
    assert found["d"].high < -1
    assert "no lower bound" in found["d"].refused
    assert scores[-1].codec == "d"
    *_, reference = score("abcd", wins, None, 300, preferred="d")
    assert reference == "a"
    assert score("abcd", wins, "d", 300)[2] == "d"
