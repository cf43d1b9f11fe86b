"""Bad input: one clear message with the fix, exit code 2, no traceback, nothing lost."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tngexp.io import CheckpointError, load
from tngexp.runs import checkpoint_io
from tngexp.runs.interrupt import StopRequest
from tngexp.training.module import LitCodec, NonFiniteError
from tngexp.training.train import TrainResult

Command = Callable[..., tuple[int, str]]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["model=gm"], ["unknown option model=gm", "Did you mean 'gmm'?", "checkerboard"]),
        (["quantizer=round"], ["unknown option quantizer=round", "soft_round, soft_to_hard, ste"]),
        (["experiment=nope"], ["unknown option experiment=nope", "smoke"]),
        (["quantizr=ste"], ["unknown option quantizr", "Did you mean 'quantizer'?"]),
        (["trainer.max_step=3"], ["trainer.max_step", "Did you mean 'trainer.max_steps'?"]),
        (["+trainer.max_step=3"], ["trainer.max_step", "Did you mean 'max_steps'?"]),
        (["+optimizer.lrr=1"], ["optimizer.lrr", "Did you mean 'lr'?"]),
        (["prior.mixtur=3"], ["prior.mixtur", "Did you mean 'prior.mixture'?"]),
        (["+encoder.depth=3"], ["depth", "it takes: N, M"]),
        (["loss.lmbda=0"], ["loss.lmbda must be positive"]),
        (["loss.lmbda=-1"], ["loss.lmbda must be positive"]),
        (["loss.lmbda=high"], ["loss.lmbda='high' must be a positive number"]),
        (["+rate.lmbda=0.1"], ["rate.lmbda is not an option", "Set loss.lmbda"]),
        (["loss.lmbda_min=1"], ["loss.lmbda_min=1 must be below loss.lmbda_max=0.0483"]),
        (["rate=variable", "loss.lmbda_min=0"], ["lmbda_min", "must be positive"]),
        (["data.crop=100"], ["data.crop=100", "multiple of 64", "data.crop=128"]),
        (
            ["loss=msssim", "data.crop=128"],
            ["data.crop=128 is too small", "176", "data.crop=192", "loss=mse"],
        ),
        (["data.root=/nowhere/at/all"], ["data.root", "/nowhere/at/all", "does not exist"]),
        (["data.root=null"], ["data.root is not set"]),
        (["resume=nowhere.ckpt"], ["resume", "nowhere.ckpt", "no such checkpoint"]),
        (["init_from=nowhere.ckpt"], ["init_from", "nowhere.ckpt", "no such checkpoint"]),
        (["init_parts=[transform]"], ["init_parts needs a checkpoint", "set init_from=…"]),
        (["init_parts=3", "init_from=a"], ["init_parts=3 must be a list of parts"]),
        (["init_parts=[]", "init_from=a"], ["init_parts=[] takes nothing"]),
        (
            ["init_parts=[transfrom]", "init_from=a"],
            ["no part 'transfrom'", "Did you mean 'transform'?", "prior.hyper, "],
        ),
        (["freeze=[encoder]"], ["freeze: the codec has no part", "Did you mean 'transform'?"]),
        (["freeze=[hyper]"], ["no part 'hyper'", "Did you mean 'prior.hyper'?"]),
        (["freeze=[prior,quantizer]"], ["freeze: quantizer has no parameters", "leave it out"]),
        (["freeze=[transform,prior]"], ["nothing to train", "leave out one of transform, prior"]),
        (["trainer.max_steps=0"], ["trainer.max_steps=0", "at least 1"]),
        (["trainer.precision=bf61"], ["trainer.precision='bf61'", "Did you mean 'bf16'"]),
        (["optimizer._target_=torch.optim.Adm"], ["torch.optim.Adm", "does not exist"]),
        (["optimizer.lr=0"], ["optimizer.lr=0 must be above 0"]),
        (["scheduler.shape=step"], ["scheduler.shape", "cosine, linear"]),
        (["logger=wand"], ["logger=wand", "Did you mean 'wandb'?"]),
        (["callbacks.ema.decay=2"], ["callbacks.ema.decay=2", "callbacks.ema=null"]),
        (["seed=-1"], ["seed=-1"]),
        (["loss.lmbda=[1"], ["loss.lmbda=[1"]),
    ],
    ids=lambda value: "+".join(value) if "=" in value[0] else "",
)
def test_message_names_option_and_fix(
    command: Command, tmp_path: Path, words: list[str], expected: list[str]
) -> None:
    code, err = command(*words)
    assert code == 2
    assert err.startswith("error: ")
    assert "Traceback" not in err
    assert err.count("error: ") == 1
    for part in expected:
        assert part in err
    assert not list(tmp_path.rglob("*.ckpt"))


def test_empty_data_folder(command: Command, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    code, err = command(f"data.root={empty}")
    assert code == 2
    assert err.startswith("error: ")
    assert str(empty) in err


def test_checkpoint_of_another_architecture(run: Callable[..., TrainResult]) -> None:
    first = run("trainer.max_steps=1")
    for option in ("resume", "init_from"):
        with pytest.raises(CheckpointError) as info:
            run("quantizer=ste", "encoder.N=16", f"{option}={first.last}", name="other")
        message = str(info.value)
        assert "another architecture" in message
        assert "encoder.N: 8 in the checkpoint, 16 now" in message
        assert "quantizer: tngexp.quantizers.mixed.Mixed in the checkpoint" in message
        assert "size mismatch" not in message


def test_warm_start_takes_averaged_weights_and_another_loss(
    run: Callable[..., TrainResult],
) -> None:
    first = run("trainer.max_steps=2")
    # A learning rate this small leaves the weights where they were.
    second = run(
        "loss=mixed",
        "data.crop=192",
        "optimizer.lr=1e-12",
        "trainer.max_steps=1",
        f"init_from={first.last}",
        name="second",
    )
    before, after = load(first.last).state_dict(), load(second.last).state_dict()
    for name, weight in before.items():
        assert torch.allclose(weight, after[name], atol=1e-6), name


def test_files_that_are_no_checkpoints(command: Command, tmp_path: Path) -> None:
    text = tmp_path / "text.ckpt"
    text.write_text("not a checkpoint")
    foreign = tmp_path / "foreign.ckpt"
    torch.save({"state_dict": {}}, foreign)
    for path in (text, foreign, tmp_path):
        code, err = command(f"init_from={path}")
        assert code == 2
        assert str(path) in err
        assert "Traceback" not in err


def test_full_disk_keeps_the_previous_checkpoint(
    run: Callable[..., TrainResult], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    save, saves = torch.save, []

    def full(obj: Any, file: Any, *args: Any, **kwargs: Any) -> None:
        saves.append(file)
        if len(saves) > 1:
            file.write(b"half of a checkpoint")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        save(obj, file, *args, **kwargs)

    monkeypatch.setattr(checkpoint_io.torch, "save", full)
    with pytest.raises(CheckpointError) as info:
        run("trainer.max_steps=4", "trainer.val_check_interval=2")
    last = tmp_path / "run/checkpoints/last.ckpt"
    assert "disk is full" in str(info.value)
    assert "previous one is intact" in str(info.value)
    assert f"resume={last}" in str(info.value)
    load(last)
    assert torch.load(last, weights_only=True)["global_step"] == 2
    left = sorted(path.name for path in last.parent.iterdir())
    assert left == ["best.ckpt", "last.ckpt", "previous.ckpt"]


def test_full_disk_at_the_first_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(obj: Any, file: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(checkpoint_io.torch, "save", full)
    with pytest.raises(CheckpointError, match="there was none before"):
        checkpoint_io.write_checkpoint({}, tmp_path / "a/last.ckpt")
    assert not list((tmp_path / "a").iterdir())


def test_nan_loss_stops_and_keeps_the_checkpoint(
    run: Callable[..., TrainResult], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    step = LitCodec.training_step

    def poisoned(self: LitCodec, batch: Any, batch_idx: int) -> Any:
        loss = step(self, batch, batch_idx)
        if self.global_step == 3:  # the fourth step
            assert self.last_terms is not None
            self.last_terms = self.last_terms._replace(loss=self.last_terms.loss * float("nan"))
            return loss * float("nan")
        return loss

    monkeypatch.setattr(LitCodec, "training_step", poisoned)
    with pytest.raises(NonFiniteError, match="at step 4"):
        run("trainer.max_steps=6", "trainer.val_check_interval=2")
    last = tmp_path / "run/checkpoints/last.ckpt"
    checkpoint = torch.load(last, weights_only=True)
    assert checkpoint["global_step"] == 2
    assert all(torch.isfinite(w).all() for w in checkpoint["state_dict"].values())


def test_nan_gradient_of_an_early_micro_batch_stops_too(
    run: Callable[..., TrainResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    step = LitCodec.training_step

    def poisoned(self: LitCodec, batch: Any, batch_idx: int) -> Any:
        loss = step(self, batch, batch_idx)
        return loss * float("nan") if batch_idx == 0 else loss

    monkeypatch.setattr(LitCodec, "training_step", poisoned)
    with pytest.raises(NonFiniteError, match="gradient's norm is nan at step 1"):
        run("trainer.accumulate_grad_batches=2")


def test_nan_through_the_command_line(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        LitCodec,
        "configure_gradient_clipping",
        lambda self, *_, **__: (_ for _ in ()).throw(NonFiniteError("the loss is nan", 1)),
    )
    code, err = command()
    assert code == 2
    assert err.startswith("error: the loss is nan at step 1")


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_through_the_command_line(
    command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, signum: signal.Signals
) -> None:
    start = LitCodec.on_train_batch_start

    def interrupted(self: LitCodec, batch: Any, batch_idx: int) -> None:
        if self.global_step == 2 and batch_idx % 2 == 0:  # the first half of a step
            os.kill(os.getpid(), signum)
        start(self, batch, batch_idx)

    monkeypatch.setattr(LitCodec, "on_train_batch_start", interrupted)
    before = signal.getsignal(signum)
    code, err = command(
        "trainer.max_steps=50", "trainer.val_check_interval=50", "trainer.accumulate_grad_batches=2"
    )
    assert code == 128 + signum
    assert f"stopped at step 3 by {signum.name}" in err
    assert "Continue with: python -m tngexp.train" in err
    assert "Traceback" not in err
    (last,) = tmp_path.rglob("last.ckpt")
    assert f"resume={last.relative_to(tmp_path)}" in err
    assert torch.load(last, weights_only=True)["global_step"] == 3
    assert signal.getsignal(signum) == before


def test_stop_requested_by_a_program(run: Callable[..., TrainResult]) -> None:
    stop = StopRequest()
    assert not stop
    stop.signum = signal.SIGTERM
    assert stop


def test_sweep_goes_on_after_a_failed_job(command: Command, tmp_path: Path) -> None:
    code, err = command("-m", "loss.lmbda=-1,0.01", "trainer.max_steps=1")
    assert code == 2
    assert "loss.lmbda must be positive" in err
    (best,) = tmp_path.rglob("best.ckpt")
    assert best.parent.parent.name == "1_loss.lmbda=0.01"


def test_own_warnings_are_shown_once_without_their_source(
    command: Command, tmp_path: Path, photos: Path
) -> None:
    folder = tmp_path / "photos"
    shutil.copytree(photos, folder)
    (folder / "broken.png").write_bytes(b"not a picture")
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        code, err = command("-m", f"data.root={folder}", "seed=0,1", "trainer.max_steps=1")
    assert code == 0
    (line,) = (line for line in err.splitlines() if "broken.png" in line)
    assert line.startswith("warning: ")


def test_installed_command_has_no_traceback(tmp_path: Path) -> None:
    """The real thing once: another folder, another process."""
    done = subprocess.run(
        [sys.executable, "-m", "tngexp.train", "model=gmn"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: unknown option model=gmn. Did you mean 'gmm'?")
    assert "Traceback" not in done.stderr
