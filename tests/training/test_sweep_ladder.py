"""A ladder: a sweep each of whose runs starts from the one before."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from tngexp.io import load
from tngexp.studies.plan import ladder_values

Command = Callable[..., tuple[int, str, str]]
REPORT = ["report=default", "report.anchors=[jpeg]", "report.anchor_settings={jpeg:[5,50]}"]


def test_ladder_values_are_named_as_hydra_names_them() -> None:
    assert ladder_values("60.50, 31.73,2") == ["60.5", "31.73", "2"]


def test_ladder_starts_each_run_from_the_one_before(
    sweep: Command, trained: list[dict[str, Any]], compared: list[Any], tmp_path: Path
) -> None:
    # A learning rate this small leaves the weights where they were.
    words = [
        "+sweep=ladder_mse", "loss.lmbda=0.02,0.01", "trainer.max_steps=4", "ladder.fraction=0.3",
        "optimizer.lr=1e-12", "trainer.max_time={minutes:100}", *REPORT,
    ]  # fmt: skip
    code, _, err = sweep(*words)
    assert code == 0, err
    folder = tmp_path / "multirun" / "ladder_mse-hyperprior-mse"
    first, second = (folder / f"loss.lmbda={value}" for value in (0.02, 0.01))
    best = first / "checkpoints" / "best.ckpt"
    assert [run["init_from"] for run in trained] == [None, str(best)]
    assert [run["trainer"]["max_steps"] for run in trained] == [4, 2]  # ⌈0.3 · 4⌉
    assert [run["trainer"]["max_time"] for run in trained] == [{"minutes": 100}, {"seconds": 1800}]
    last = second / "checkpoints" / "last.ckpt"
    assert torch.load(last, weights_only=True)["global_step"] == 2
    before, after = load(best).state_dict(), load(last).state_dict()
    for name, weight in before.items():
        assert torch.allclose(weight, after[name], atol=1e-6), name
    # One curve, though its runs differ in their steps.
    bests = [str(second / "checkpoints" / "best.ckpt"), str(best)]
    assert compared[0][0] == {"hyperprior-mse-ladder": bests}
    code, _, err = sweep(*words)
    assert (code, len(trained)) == (0, 2), err


def test_ladder_names_the_run_that_is_missing(sweep: Command) -> None:
    code, _, err = sweep("+sweep=ladder_mse", "loss.lmbda=-1,0.01,0.005")
    assert code == 2
    assert "starts from multirun/ladder_mse-hyperprior-mse/loss.lmbda=-1" in err
    assert "missing or has failed" in err
    assert "3 jobs of the sweep failed" in err
    assert "Traceback" not in err
    code, _, err = sweep("sweep=ladder_mse", "loss.lmbda=0.01", "ladder.fraction=2")
    assert "ladder.fraction=2 must be a number above 0" in err
