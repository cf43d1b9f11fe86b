"""trainer.max_minutes ends a run early, but in the ordinary way."""

from __future__ import annotations

import io
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from rich.console import Console

from tngexp.train import TrainResult, main
from tngexp.training.callbacks import time_limit
from tngexp.training.summary import print_summary


@pytest.fixture
def minute_per_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that only the time limit reads: 0 at the start, k minutes after step k."""
    readings = iter(range(0, 6000, 60))
    monkeypatch.setattr(
        time_limit, "time", SimpleNamespace(monotonic=lambda: float(next(readings)))
    )


@pytest.mark.usefixtures("minute_per_step")
def test_time_limit_ends_the_run_validated_and_resumable(run: Callable[..., TrainResult]) -> None:
    options = ["trainer.max_steps=6", "trainer.val_every=2", "trainer.precision=32-true"]
    part = run(*options, "trainer.max_minutes=3", name="part")
    assert part.steps == 3
    assert part.time_limit == 3
    last = torch.load(part.last, weights_only=True)
    assert last["global_step"] == 3  # validated and saved although 3 is not a multiple of 2
    assert part.picture is not None

    console = Console(width=80, record=True, file=io.StringIO())
    print_summary(part, "name", console)
    text = console.export_text()
    assert "step 3 of 6" in text
    assert "trainer.max_minutes=3" in text
    assert f"resume={part.last}" in text

    rest = run(*options, f"resume={part.last}", name="rest")
    whole = run(*options, name="whole")
    assert (rest.steps, rest.time_limit) == (6, None)
    one, two = (torch.load(r.last, weights_only=True)["state_dict"] for r in (rest, whole))
    assert all(torch.equal(weight, two[key]) for key, weight in one.items())


@pytest.mark.usefixtures("minute_per_step")
def test_reaching_max_steps_is_not_stopping_early(run: Callable[..., TrainResult]) -> None:
    result = run("trainer.max_steps=2", "trainer.max_minutes=2")
    assert (result.steps, result.time_limit) == (2, None)


@pytest.mark.usefixtures("minute_per_step")
def test_accumulated_steps_are_finished(run: Callable[..., TrainResult]) -> None:
    result = run("trainer.max_steps=4", "trainer.accumulate=2", "trainer.max_minutes=1")
    assert result.steps == 1


@pytest.mark.usefixtures("minute_per_step")
def test_command_line_ends_with_zero(
    tiny: list[str], tmp_path: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    code = main(
        [*tiny, "trainer.max_steps=5", "trainer.max_minutes=1", f"hydra.run.dir={tmp_path}"]
    )
    assert code == 0
    assert "step 1 of 5" in capfd.readouterr().out


@pytest.mark.parametrize("minutes", ["0", "-1", "soon", "true", "nan"])
def test_impossible_limits_are_refused(
    tiny: list[str], tmp_path: Any, capfd: pytest.CaptureFixture[str], minutes: str
) -> None:
    code = main([*tiny, f"trainer.max_minutes={minutes}", f"hydra.run.dir={tmp_path}"])
    assert code == 2
    assert "trainer.max_minutes" in capfd.readouterr().err
