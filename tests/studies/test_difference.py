"""Paired seeds decide, with Student's interval."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from tngexp.runs.learning_curve import LEARNING_CURVE, LearningCurve
from tngexp.studies.screen_analysis import band, curves_of, judge
from tngexp.types import ConfigError


def test_what_a_seed_does_to_both_cancels() -> None:
    base = {"0": 1.0, "1": 5.0, "2": 40.0}
    difference = judge(base, {seed: 0.98 * loss for seed, loss in base.items()})
    assert difference.change == pytest.approx(-0.02)
    assert difference.half_width == pytest.approx(0, abs=1e-12)
    assert difference.word == "better"


def test_the_interval_is_student_s() -> None:
    changes = np.array([-0.03, -0.01, 0.02, -0.015])
    base = dict.fromkeys("0123", 2.0)
    difference = judge(base, {str(k): 2.0 * (1 + change) for k, change in enumerate(changes)}, 0.9)
    low, high = stats.t.interval(0.9, 3, changes.mean(), stats.sem(changes))
    assert difference.change == pytest.approx(changes.mean())
    assert difference.half_width == pytest.approx((high - low) / 2)
    assert difference.word == "undecided"  # the interval holds zero
    assert judge(base, dict.fromkeys("0123", 2.2)).word == "worse"


def test_one_pair_makes_no_statement() -> None:
    difference = judge({"0": 1.0, "1": 1.0}, {"0": 0.5})
    assert (difference.pairs, difference.half_width, difference.word) == (1, None, "one pair")
    assert "no statement" in str(difference)
    with pytest.raises(ValueError, match="no pair in common"):
        judge({"0": 1.0}, {"1": 1.0})


def test_curves_keep_the_steps_that_all_runs_have_measured() -> None:
    whole = LearningCurve((2, 4, 6), (3.0, 2.0, 1.0))
    resumed = LearningCurve((4, 6), (None, 1.5))  # the photos were too small at first
    assert curves_of({"0": whole, "1": resumed}) == ([6], {"0": [1.0], "1": [1.5]})


def test_a_validation_that_is_repeated_replaces_what_followed(tmp_path: Path) -> None:
    curve = LearningCurve((2, 4, 6), (3.0, 2.0, 1.0), 9.0, 5)
    again = curve.extended(4, float("nan"), 8.0, 5)
    assert again == LearningCurve((2, 4), (3.0, None), 8.0, 5)
    again.write(tmp_path / "run")
    assert LearningCurve.read(tmp_path / "run") == again
    assert LearningCurve.read(tmp_path) is None
    (tmp_path / "run" / LEARNING_CURVE).write_text('{"steps": [')
    with pytest.raises(ConfigError, match="is damaged; delete the run's folder"):
        LearningCurve.read(tmp_path / "run")


def test_a_band_holds_the_mean_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(400):
        mean, half = band(list(rng.normal(3, 1, 3)), 0.8)
        assert half is not None
        held += abs(mean - 3) <= half
    assert 0.74 < held / 400 < 0.86
