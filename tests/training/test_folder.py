"""A folder holds one run: nothing that lies there is replaced."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tngexp.runs.folder import check_folder
from tngexp.training.train import TrainResult
from tngexp.types import ConfigError

Run = Callable[..., TrainResult]
Command = Callable[..., tuple[int, str]]


def contents(folder: Path) -> dict[str, str]:
    """A hash of every file, but of Hydra's own log."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".log"
    }


@pytest.mark.parametrize("option", ["run_dir=here", "hydra.run.dir=here"])
def test_the_same_folder_again_is_refused(command: Command, tmp_path: Path, option: str) -> None:
    words = [option, "logger=csv"]
    assert command(*words)[0] == 0
    before = contents(tmp_path / "here")
    assert "checkpoints/best.ckpt" in before
    code, err = command(*words, "seed=7")
    assert code == 2
    assert err.startswith("error: here holds a run (at step 2 of 2) already")
    for fix in ("resume=here/checkpoints/last.ckpt", "run_dir=DIR", "delete here"):
        assert fix in err
    assert contents(tmp_path / "here") == before
    # What the message says works.
    resume = "resume=here/checkpoints/last.ckpt"
    assert command(*words, resume, "trainer.max_steps=3")[0] == 0


def test_the_command_is_recorded_where_the_run_is(command: Command, tmp_path: Path) -> None:
    assert command("run_dir=here", "seed=3")[0] == 0
    assert "- seed=3" in (tmp_path / "here" / ".hydra" / "overrides.yaml").read_text()
    assert len(list(tmp_path.rglob(".hydra"))) == 1


def test_a_run_that_continues_another_one_respects_the_folder(run: Run) -> None:
    first, other = run(name="first"), run(name="other")
    before = contents(other.run_dir)
    with pytest.raises(ConfigError, match=r"other holds a run .* already"):
        run("trainer.max_steps=4", f"resume={first.last}", name="other")
    assert contents(other.run_dir) == before


def test_an_earlier_step_does_not_replace_a_later_one(run: Run) -> None:
    words = ["trainer.max_steps=4", "trainer.val_check_interval=2"]
    first = run(*words)
    earlier = first.last.with_name("previous.ckpt")
    assert torch.load(earlier, weights_only=True)["global_step"] == 2
    before = contents(first.run_dir)
    with pytest.raises(ConfigError, match=r"earlier step than last\.ckpt .* run_dir=DIR"):
        run("trainer.max_steps=6", f"resume={earlier}")
    assert contents(first.run_dir) == before
    assert run("trainer.max_steps=6", f"resume={earlier}", name="elsewhere").steps == 6


@pytest.mark.parametrize("name", ["last.ckpt", "best.ckpt", "previous.ckpt"])
def test_any_checkpoint_counts_even_a_damaged_one(tmp_path: Path, name: str) -> None:
    (tmp_path / "checkpoints").mkdir()
    check_folder(tmp_path, None)
    (tmp_path / "checkpoints" / name).write_bytes(b"damaged")
    with pytest.raises(ConfigError, match="holds a run already"):
        check_folder(tmp_path, None)


def test_a_refused_job_of_a_sweep_leaves_the_folder_alone(command: Command, tmp_path: Path) -> None:
    words = ["-m", "loss.lmbda=0.01", "hydra.sweep.dir=here", "hydra.sweep.subdir=a"]
    assert command(*words)[0] == 0
    before = contents(tmp_path / "here" / "a")
    assert ".hydra/overrides.yaml" in before
    code, err = command(*words, "optimizer.lr=0.5")
    assert code == 2
    assert "holds a run of another configuration" in err
    assert contents(tmp_path / "here" / "a") == before


def test_a_single_run_does_not_go_into_a_sweeps_folder(command: Command, tmp_path: Path) -> None:
    assert command("-m", "loss.lmbda=0.01", "hydra.sweep.dir=s", "hydra.sweep.subdir=a")[0] == 0
    before: Any = contents(tmp_path / "s")
    code, err = command("run_dir=s/a")
    assert (code, err.count("holds a run")) == (2, 1)
    assert contents(tmp_path / "s") == before
