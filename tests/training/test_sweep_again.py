"""The command of a sweep, repeated: what is finished is kept, what was stopped goes on."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tngexp.io import load
from tngexp.runs.learning_curve import LearningCurve
from tngexp.studies.marker import MARKER
from tngexp.training.module import LitCodec

Command = Callable[..., tuple[int, str, str]]
REPORT = ["report=default", "report.anchors=[jpeg]", "report.anchor_settings={jpeg:[5,50]}"]


def interrupt_second(monkeypatch: pytest.MonkeyPatch, step: int = 1) -> pytest.MonkeyPatch:
    """SIGTERM after ``step`` steps of the run with λ = 0.02; it is obeyed after the next."""
    start = LitCodec.on_train_batch_start

    def interrupted(self: LitCodec, batch: Any, batch_idx: int) -> None:
        lmbda = self._info["config"]["loss"]["lmbda"]
        if lmbda == 0.02 and self.global_step == step:
            os.kill(os.getpid(), signal.SIGTERM)
        start(self, batch, batch_idx)

    monkeypatch.setattr(LitCodec, "on_train_batch_start", interrupted)
    return monkeypatch


def test_the_same_command_again_trains_nothing(
    sweep: Command, trained: list[dict[str, Any]], tmp_path: Path
) -> None:
    # The command line's list overrules the file's.
    words = ["sweep=lambda_mse", "loss.lmbda=0.01,0.02", *REPORT, "report.images=1"]
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
    code, _, err = sweep(*words, "trainer.max_time={minutes:0.00001}")
    assert code == 0, err
    (marker,) = (tmp_path / "here").rglob(MARKER)
    ended = json.loads(marker.read_text())
    assert not ended["complete"]
    code, out, err = sweep(*words, "trainer.max_time={minutes:0.00001}")  # as much as it had
    assert (code, len(trained)) == (0, 1), err
    assert "finished before, skipped" in out
    assert json.loads(marker.read_text()) == ended
    marker.unlink()  # stopped before it could say so
    code, out, err = sweep(*words, "trainer.max_time={minutes:0.00001}")
    assert (code, len(trained)) == (0, 1), err
    assert not json.loads(marker.read_text())["complete"]
    code, _, err = sweep(*words)  # the limit is no part of what is trained
    assert code == 0, err
    content = json.loads(marker.read_text())
    assert content["complete"]
    assert content["steps"] == 3
    assert len(trained) == 2


def test_a_list_of_ones_own_grows(
    sweep: Command, trained: list[dict[str, Any]], tmp_path: Path
) -> None:
    words = ["-m", "hydra.sweep.dir=here", "trainer.max_steps=1"]
    assert sweep(*words, "loss.lmbda=0.02", "seed=0,1")[0] == 0
    # A smaller value of another option: what was number 0 is number 1, by another name.
    code, out, err = sweep(*words, "loss.lmbda=0.01,0.02", "seed=0")
    assert code == 0, err
    assert "here/0_seed=0: finished before, skipped" in out
    assert len(trained) == 3
    markers = sorted(path.parent.name for path in (tmp_path / "here").rglob(MARKER))
    assert markers == ["0_loss.lmbda=0.01", "0_seed=0", "1_seed=1"]


def test_a_run_ended_by_a_callback_is_finished(
    sweep: Command, trained: list[dict[str, Any]], tmp_path: Path
) -> None:
    stopping = "lightning.pytorch.callbacks.EarlyStopping"
    words = ["-m", "loss.lmbda=0.01", "trainer.max_steps=9", "trainer.val_check_interval=1"]
    words += ["hydra.sweep.dir=here", f"+callbacks.stop={{_target_:{stopping},monitor:val/loss,"
              "patience:1,min_delta:1e9}"]  # fmt: skip
    code, _, err = sweep(*words)
    assert code == 0, err
    (marker,) = (tmp_path / "here").rglob(MARKER)
    ended = json.loads(marker.read_text())
    assert ended["complete"]
    assert ended["steps"] < 9
    code, out, err = sweep(*words)
    assert (code, len(trained)) == (0, 1), err
    assert "finished before, skipped" in out


def test_a_trial_leaves_no_finished_run(sweep: Command, tmp_path: Path) -> None:
    words = ["-m", "loss.lmbda=0.01", "hydra.sweep.dir=here", "trainer.max_steps=1"]
    assert sweep(*words, "trainer.fast_dev_run=true")[0] == 0
    assert not list((tmp_path / "here").rglob(MARKER))


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


@pytest.mark.parametrize("ended", [True, False], ids=["ended", "interrupted"])
def test_other_files_under_the_same_path_are_refused(
    sweep: Command, trained: list[dict[str, Any]], tmp_path: Path, photos: Path, ended: bool
) -> None:
    root, start = tmp_path / "photos", tmp_path / "start.ckpt"
    shutil.copytree(photos, root)
    words = ["-m", "loss.lmbda=0.01", "trainer.max_steps=4", f"data.root={root}"]
    assert sweep(*words, "hydra.sweep.dir=first")[0] == 0
    (best,) = (tmp_path / "first").rglob("best.ckpt")
    start.write_bytes(best.read_bytes())
    words += ["hydra.sweep.dir=here", f"init_from={start}"]
    assert sweep(*words)[0] == 0
    if not ended:  # as a kill between the two validations would leave it
        (marker,) = (tmp_path / "here").rglob(MARKER)
        marker.unlink()
        (last,) = (tmp_path / "here").rglob("last.ckpt")
        last.with_name("previous.ckpt").replace(last)
    trained.clear()
    photo, weights = root / "3.png", start.read_bytes()
    earlier = photo.read_bytes()
    photo.write_bytes((root / "4.png").read_bytes())
    code, _, err = sweep(*words)
    assert code == 2
    assert f"the photos of data.root={root} changed since" in err
    assert "Put the earlier ones back" in err
    assert "hydra.sweep.dir=DIR" in err
    photo.write_bytes(earlier)
    start.write_bytes((tmp_path / "here").rglob("best.ckpt").__next__().read_bytes())
    code, _, err = sweep(*words)
    assert code == 2
    assert "the file of init_from changed since" in err
    assert trained == []
    start.write_bytes(weights)
    code, out, err = sweep(*words, "data.cache_mib=7")  # decides nothing
    assert code == 0, err
    assert ("skipped" if ended else "goes on from its last checkpoint") in out


def test_every_run_leaves_its_learning_curve(
    sweep: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["-m", "loss.lmbda=0.02", "trainer.max_steps=6", "trainer.val_check_interval=3"]
    assert sweep(*words, "hydra.sweep.dir=whole")[0] == 0
    with pytest.MonkeyPatch.context() as patch:
        interrupt_second(patch, step=3)
        assert sweep(*words, "hydra.sweep.dir=parts")[0] == 128 + signal.SIGTERM
    (path,) = (tmp_path / "parts").rglob("last.ckpt")
    before = LearningCurve.read(path.parents[1])
    assert before is not None
    assert before.steps == (3,)
    assert sweep(*words, "hydra.sweep.dir=parts")[0] == 0
    (other,) = (tmp_path / "whole").rglob("last.ckpt")
    whole, parts = (LearningCurve.read(folder.parents[1]) for folder in (other, path))
    assert whole is not None
    assert parts is not None
    assert whole.steps == parts.steps == (3, 6)
    assert parts.val_loss == pytest.approx(whole.val_loss, rel=1e-6)
    assert parts.seconds > before.seconds > 0
    codec = load(path).model
    assert parts.parameters == sum(p.numel() for p in codec.parameters())


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


def test_resume_is_no_option_of_a_sweep(sweep: Command) -> None:
    code, _, err = sweep("-m", "loss.lmbda=0.01", "resume=a.ckpt")
    assert code == 2
    assert "to continue a sweep repeat its command" in err
