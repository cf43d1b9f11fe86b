"""Paired seeds decide, with Student's interval."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from tngexp.studies.screen_analysis import band, judge


def test_what_a_seed_does_to_both_cancels() -> None:
    base = {0: 1.0, 1: 5.0, 2: 40.0}
    verdict = judge(base, {seed: 0.98 * loss for seed, loss in base.items()})
    assert verdict.change == pytest.approx(-0.02)
    assert verdict.half_width == pytest.approx(0, abs=1e-12)
    assert verdict.word == "better"


def test_the_interval_is_student_s() -> None:
    changes = np.array([-0.03, -0.01, 0.02, -0.015])
    base = dict.fromkeys(range(4), 2.0)
    verdict = judge(base, {seed: 2.0 * (1 + change) for seed, change in enumerate(changes)}, 0.9)
    low, high = stats.t.interval(0.9, 3, changes.mean(), stats.sem(changes))
    assert verdict.change == pytest.approx(changes.mean())
    assert verdict.half_width == pytest.approx((high - low) / 2)
    assert verdict.word == "undecided"  # the interval holds zero
    assert judge(base, dict.fromkeys(range(4), 2.2)).word == "worse"


def test_one_seed_makes_no_statement() -> None:
    verdict = judge({0: 1.0, 1: 1.0}, {0: 0.5})
    assert (verdict.seeds, verdict.half_width, verdict.word) == (1, None, "one seed")
    assert "no statement" in str(verdict)
    with pytest.raises(ValueError, match="no seed in common"):
        judge({0: 1.0}, {1: 1.0})


def test_a_band_holds_the_mean_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(400):
        mean, half = band(list(rng.normal(3, 1, 3)), 0.8)
        assert half is not None
        held += abs(mean - 3) <= half
    assert 0.74 < held / 400 < 0.86
