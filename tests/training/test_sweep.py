"""A sweep is one piece of work: it can be repeated, continued, and ends with one report."""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

import tngexp.cli.compare
import tngexp.cli.train
from tngexp.cli.train import main
from tngexp.common.configuration import CONF_DIR, register_resolvers, swept
from tngexp.io import load
from tngexp.runs import checkpoint_io
from tngexp.runs.lock import RunLock
from tngexp.studies.plan import MARKER, ladder_values
from tngexp.training.module import LitCodec
from tngexp.types import ConfigError

Command = Callable[..., tuple[int, str, str]]
LAMBDA_MSE = [0.0018, 0.0035, 0.0067, 0.013, 0.025, 0.0483]
LAMBDA_MSSSIM = [2.40, 4.58, 8.73, 16.64, 31.73, 60.50]
REPORT = ["report=default", "report.anchors=[jpeg]", "report.anchor_settings={jpeg:[5,50]}"]


@pytest.fixture
def sweep(
    tiny: list[str],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Command:
    """A sweep of the command line in this process: (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TNGEXP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(sys, "argv", ["train.py"])

    def sweep(*words: str) -> tuple[int, str, str]:
        GlobalHydra.instance().clear()
        given = {word.partition("=")[0] for word in words}
        kept = [word for word in tiny if word.partition("=")[0] not in given]
        code = main(["hydra/job_logging=none", "hydra/hydra_logging=none", *kept, *words])
        streams = capfd.readouterr()
        return code, streams.out, streams.err

    return sweep


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The configuration of each run that is really trained."""
    runs: list[dict[str, Any]] = []
    train = tngexp.cli.train.train

    def spy(config: Any, *args: Any, **kwargs: Any) -> Any:
        runs.append(json.loads(json.dumps(dict(config))))
        return train(config, *args, **kwargs)

    monkeypatch.setattr(tngexp.train, "train", spy)
    return runs


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The runs of each comparison, which is not made."""
    runs: list[Any] = []

    def compare(config: Any) -> None:
        runs.append((config["runs"], config["out"]))
        raise ConfigError("not measured")

    monkeypatch.setattr(tngexp.compare, "compare", compare)
    return runs


def interrupt_second(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """SIGTERM at step 1 of the run with λ = 0.02."""
    start = LitCodec.on_train_batch_start

    def interrupted(self: LitCodec, batch: Any, batch_idx: int) -> None:
        lmbda = self._info["config"]["loss"]["lmbda"]
        if lmbda == 0.02 and self.global_step == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        start(self, batch, batch_idx)

    monkeypatch.setattr(LitCodec, "on_train_batch_start", interrupted)
    return monkeypatch


@pytest.mark.parametrize(
    ("name", "loss", "values"),
    [
        ("lambda_mse", "MSELoss", LAMBDA_MSE),
        ("lambda_msssim", "MSSSIMLoss", LAMBDA_MSSSIM),
        ("lambda_mixed", "MixedLoss", LAMBDA_MSSSIM),
        ("ladder_mse", "MSELoss", LAMBDA_MSE[::-1]),
        ("ladder_msssim", "MSSSIMLoss", LAMBDA_MSSSIM[::-1]),
    ],
)
def test_named_sweeps_are_the_published_ladders(name: str, loss: str, values: list[float]) -> None:
    register_resolvers()
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        config = compose("train", [f"+sweep={name}"], return_hydra_config=True)
    swept_values = config.hydra.sweeper.params["loss.lmbda"]
    assert [float(word) for word in swept_values.split(",")] == values
    assert config.loss._target_.endswith(loss)
    assert config.hydra.mode.name == "MULTIRUN"
    short = loss.removesuffix("Loss").lower()
    assert config.hydra.sweep.dir == f"multirun/{name}-gmm-{short}"
    if name.startswith("ladder"):
        assert 1 + 5 * config.ladder.fraction <= 2.2


def test_a_named_sweep_names_its_runs_by_what_differs() -> None:
    job = ["+sweep=lambda_mse", "model=gmm", "loss.lmbda=0.025"]
    assert swept(job, ["model=gmm"], ["loss.lmbda"]) == "loss.lmbda=0.025"


def test_ladder_values_are_named_as_hydra_names_them() -> None:
    assert ladder_values("60.50, 31.73,2") == ["60.5", "31.73", "2"]


def test_the_same_command_again_trains_nothing(
    sweep: Command, trained: list[dict[str, Any]], tmp_path: Path
) -> None:
    # The command line's list overrules the file's.
    words = ["+sweep=lambda_mse", "loss.lmbda=0.01,0.02", *REPORT, "report.images=1"]
    code, out, err = sweep(*words)
    assert code == 0, err
    folder = tmp_path / "multirun" / "lambda_mse-hyperprior-mse"
    runs = [path.parent.name for path in sorted(folder.glob(f"*/{MARKER}"))]
    assert runs == ["loss.lmbda=0.01", "loss.lmbda=0.02"]
    assert [(run["name"], run["group"]) for run in trained] == [(n, folder.name) for n in runs]
    assert "BD-rate against" in out
    assert out.count("report in ") == 1
    assert (folder / "report" / "report.html").is_file()
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.ckpt")}

    code, out, err = sweep(*words)
    assert code == 0, err
    assert len(trained) == 2
    assert out.count("finished before, skipped") == 2
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.ckpt")} == before


def test_an_interrupted_sweep_goes_on(
    sweep: Command,
    trained: list[dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = ["-m", "loss.lmbda=0.01,0.02", "trainer.max_steps=4", "hydra.sweep.dir=here"]
    with pytest.MonkeyPatch.context() as patch:
        interrupt_second(patch)
        code, _, err = sweep(*words)
    assert code == 128 + signal.SIGTERM
    assert "Continue with: python -m tngexp.train -m " in err
    assert "hydra.sweep.dir=here" in err
    second = tmp_path / "here" / "1_loss.lmbda=0.02"
    last = second / "checkpoints" / "last.ckpt"
    assert torch.load(last, weights_only=True)["global_step"] == 2
    assert not (second / MARKER).exists()

    code, out, err = sweep(*words)
    assert code == 0, err
    assert "1_loss.lmbda=0.02: goes on from its last checkpoint" in out
    assert [run["resume"] for run in trained] == [None, None, str(last)]
    assert torch.load(last, weights_only=True)["global_step"] == 4
    assert json.loads((second / MARKER).read_text())["complete"]

    # Killed between the last step and the marker: nothing is left to train.
    (second / MARKER).unlink()
    code, _, err = sweep(*words)
    assert code == 0, err
    assert len(trained) == 3
    assert (second / MARKER).is_file()


def test_runs_of_an_earlier_version_are_known_again(
    sweep: Command, trained: list[dict[str, Any]], tmp_path: Path
) -> None:
    words = ["-m", "loss.lmbda=0.01", "hydra.sweep.dir=here", "trainer.max_steps=1"]
    assert sweep(*words)[0] == 0
    (marker,) = (tmp_path / "here").rglob(MARKER)
    content = json.loads(marker.read_text())
    content["config"]["rate"]["lmbda"] = 0.01  # the rate had a copy of λ,
    for option in ("init_parts", "freeze"):  # and these did not exist
        del content["config"][option]
    marker.write_text(json.dumps(content))
    code, out, err = sweep(*words)
    assert code == 0, err
    assert "finished before, skipped" in out
    assert len(trained) == 1


def test_a_run_ended_by_its_time_limit_goes_on(
    sweep: Command, trained: list[dict[str, Any]], tmp_path: Path
) -> None:
    words = ["-m", "loss.lmbda=0.01", "trainer.max_steps=3", "hydra.sweep.dir=here"]
    code, _, err = sweep(*words, "trainer.max_minutes=0.00001")
    assert code == 0, err
    (marker,) = (tmp_path / "here").rglob(MARKER)
    ended = json.loads(marker.read_text())
    assert not ended["complete"]
    code, out, err = sweep(*words, "trainer.max_minutes=0.00001")  # as much as it had
    assert (code, len(trained)) == (0, 1), err
    assert "finished before, skipped" in out
    assert json.loads(marker.read_text()) == ended
    marker.unlink()  # stopped before it could say so
    code, out, err = sweep(*words, "trainer.max_minutes=0.00001")
    assert (code, len(trained)) == (0, 1), err
    assert not json.loads(marker.read_text())["complete"]
    code, _, err = sweep(*words)  # the limit is no part of what is trained
    assert code == 0, err
    content = json.loads(marker.read_text())
    assert content["complete"]
    assert content["steps"] == 3
    assert len(trained) == 2


def test_another_configuration_is_refused(
    sweep: Command, trained: list[dict[str, Any]], tmp_path: Path
) -> None:
    words = ["-m", "loss.lmbda=0.01", "hydra.sweep.dir=here", "trainer.max_steps=1"]
    assert sweep(*words)[0] == 0
    for marker in (True, False):  # without one the checkpoint tells
        if not marker:
            next((tmp_path / "here").rglob(MARKER)).unlink()
        code, _, err = sweep(*words, "optimizer.lr=0.5")
        assert code == 2
        assert "holds a run of another configuration" in err
        assert "optimizer.lr: 0.0005 there, 0.5 now" in err
        assert "hydra.sweep.dir=DIR" in err
        assert "Traceback" not in err
    assert len(trained) == 1


def test_a_moved_sweep_is_still_the_same(
    sweep: Command, trained: list[dict[str, Any]], tmp_path: Path
) -> None:
    words = ["-m", "loss.lmbda=0.01", "trainer.max_steps=1", "hydra.sweep.subdir=a"]
    assert sweep(*words, "hydra.sweep.dir=here")[0] == 0
    (tmp_path / "here").rename(tmp_path / "there")
    code, out, err = sweep(*words, "hydra.sweep.dir=there", "name=other", "logger=csv")
    assert code == 0, err
    assert "there/a: finished before, skipped" in out
    assert len(trained) == 1


def test_a_failed_job_leaves_the_others_and_the_report(
    sweep: Command, compared: list[Any], tmp_path: Path
) -> None:
    words = ["-m", "loss.lmbda=-1,0.01", "hydra.sweep.dir=here", "trainer.max_steps=1"]
    code, _, err = sweep(*words, *REPORT)
    assert code == 2
    assert "error: 1 job of the sweep failed:\n  0_loss.lmbda=-1: loss.lmbda must" in err
    assert "warning: no report on the sweep: not measured" in err
    folder = tmp_path / "here"
    best = folder / "1_loss.lmbda=0.01" / "checkpoints" / "best.ckpt"
    assert compared == [({"hyperprior-mse": [str(best)]}, str(folder / "report"))]


def test_a_run_that_another_process_trains_is_left_to_it(
    sweep: Command, tmp_path: Path, trained: list[dict[str, Any]]
) -> None:
    words = ["+sweep=lambda_mse", "loss.lmbda=0.01,0.02", "report=none", "hydra.sweep.dir=twice"]
    with RunLock() as other:
        other.claim(tmp_path / "twice" / "loss.lmbda=0.01")
        code, out, err = sweep(*words)
    assert code == 2
    assert "another process is training in" in err
    assert "loss.lmbda=0.01" in err
    assert "hydra.sweep.dir=DIR" in err
    assert list((tmp_path / "twice").glob(f"*/{MARKER}")) == [
        tmp_path / "twice" / "loss.lmbda=0.02" / MARKER
    ]

    code, out, err = sweep(*words)
    assert code == 0, err
    assert out.count("finished before, skipped") == 1


def test_a_full_disk_fails_one_job_which_goes_on_later(
    sweep: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["+sweep=lambda_mse", "loss.lmbda=0.01,0.02", "report=none", "hydra.sweep.dir=full"]
    words += ["trainer.max_steps=4", "trainer.val_every=2"]
    save, saves = torch.save, []

    def full_once(content: Any, file: Any, *rest: Any, **options: Any) -> None:
        saves.append(content["global_step"])
        if saves.count(4) == 1 and saves[-1] == 4:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        save(content, file, *rest, **options)

    monkeypatch.setattr(checkpoint_io.torch, "save", full_once)
    code, out, err = sweep(*words)
    assert code == 2
    assert "disk is full" in err
    assert "1 job of the sweep failed" in err
    first, second = (tmp_path / "full" / f"loss.lmbda={value}" for value in (0.01, 0.02))
    assert not (first / MARKER).exists()
    assert torch.load(first / "checkpoints/last.ckpt", weights_only=True)["global_step"] == 2
    assert (second / MARKER).exists()

    code, out, err = sweep(*words)
    assert code == 0, err
    assert "goes on from its last checkpoint" in out
    assert (first / MARKER).exists()


def test_resume_is_no_option_of_a_sweep(sweep: Command) -> None:
    code, _, err = sweep("-m", "loss.lmbda=0.01", "resume=a.ckpt")
    assert code == 2
    assert "to continue a sweep repeat its command" in err


def test_ladder_starts_each_run_from_the_one_before(
    sweep: Command, trained: list[dict[str, Any]], compared: list[Any], tmp_path: Path
) -> None:
    # A learning rate this small leaves the weights where they were.
    words = [
        "+sweep=ladder_mse", "loss.lmbda=0.02,0.01", "trainer.max_steps=4", "ladder.fraction=0.3",
        "optimizer.lr=1e-12", "trainer.max_minutes=100", *REPORT,
    ]  # fmt: skip
    code, _, err = sweep(*words)
    assert code == 0, err
    folder = tmp_path / "multirun" / "ladder_mse-hyperprior-mse"
    first, second = (folder / f"loss.lmbda={value}" for value in (0.02, 0.01))
    best = first / "checkpoints" / "best.ckpt"
    assert [run["init_from"] for run in trained] == [None, str(best)]
    assert [run["trainer"]["max_steps"] for run in trained] == [4, 2]  # ⌈0.3 · 4⌉
    assert [run["trainer"]["max_minutes"] for run in trained] == [100, 30]
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
