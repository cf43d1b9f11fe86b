"""Whole runs: what they leave behind."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image
from rich.console import Console

import tngexp
from tngexp.cli.train import run_name
from tngexp.devices import compiling
from tngexp.runs.summary import print_summary
from tngexp.training.callbacks import progress
from tngexp.training.train import TrainResult


def test_run_leaves_checkpoints_and_picture(run: Callable[..., TrainResult]) -> None:
    result = run("trainer.max_steps=3", "trainer.val_check_interval=2")
    assert result.steps == 3
    assert result.images == 2
    assert result.best.is_file()
    assert result.picture is not None
    with Image.open(result.picture) as picture:
        # Two rows of three 64-pixel panels with gaps, a caption above each row.
        assert picture.size == (3 * 64 + 2 * 4, 2 * (64 + 16))
    # The last step was validated although 3 is not a multiple of 2.
    last = torch.load(result.last, weights_only=True)
    assert last["global_step"] == 3
    assert {"val/loss", "val/bpp", "val/psnr"} <= result.val.keys()


def test_validation_splits_the_rate_between_latent_and_side_latent(
    run: Callable[..., TrainResult],
) -> None:
    with_side = run(name="with").val
    assert with_side["val/z_bpp"] > 0
    assert with_side["val/bpp"] == pytest.approx(with_side["val/y_bpp"] + with_side["val/z_bpp"])
    without = run("model=factorized", name="without").val
    assert without["val/z_bpp"] == 0
    assert without["val/bpp"] == pytest.approx(without["val/y_bpp"])


def test_names_say_what_is_trained() -> None:
    choices = {"model": "tng", "loss": "msssim", "experiment": None}
    quiet = ["data=folder", "data.root=photos", "run_dir=a/b", "report=none", "logger=csv"]
    quiet += ["data.file=a.safetensors", "data.val_file=b.safetensors", "data.on_device=true"]
    assert (
        run_name(choices, ["model=tng", *quiet, "trainer.enable_progress_bar=false"])
        == "tng-msssim"
    )
    assert run_name(choices, ["quantizer=ste", *quiet]) == "tng-msssim-quantizer=ste"
    tuned = ["experiment=finetune", "init_from=tng-subjective", "model=tng", *quiet]
    assert run_name({**choices, "experiment": "finetune"}, tuned) == "finetune-model=tng"
    long = [f"encoder.option{i}={i}" for i in range(20)]
    name = run_name(choices, long)
    assert len(name) <= 100
    assert name == "-".join(["tng-msssim", *long[:5]])  # cut between overrides


def test_checkpoint_rebuilds_the_codec_and_its_figures(run: Callable[..., TrainResult]) -> None:
    result = run("trainer.max_steps=2", "trainer.precision=32-true")
    stored = torch.load(result.best, weights_only=True)["tngexp"]
    assert stored["format"] == 1
    assert stored["version"] == tngexp.__version__
    assert stored["config"]["trainer"]["max_steps"] == 2
    assert stored["codec"].keys() == {"transform", "quantizer", "prior", "rate"}
    codec = tngexp.load(result.best)
    assert not codec.training
    from tngexp.datasets.folder import FolderDataModule

    options = {k: v for k, v in stored["config"]["data"].items() if k != "_target_"}
    data = FolderDataModule(**options)
    with torch.no_grad():
        bpp = [float(codec(batch.float() / 255).bpp()) for batch in data.val_dataloader()]
    assert sum(bpp) / len(bpp) == pytest.approx(result.val["val/bpp"], rel=1e-5)


def test_shipped_weights_are_the_averaged_ones(run: Callable[..., TrainResult]) -> None:
    checkpoint = torch.load(run("trainer.max_steps=3").last, weights_only=True)
    averaged, raw = checkpoint["state_dict"], checkpoint["raw_state_dict"]
    assert averaged.keys() == raw.keys()
    assert any(not torch.equal(averaged[key], raw[key]) for key in raw)
    plain = torch.load(
        run("trainer.max_steps=3", "callbacks.ema=null", name="plain").last, weights_only=True
    )
    assert "raw_state_dict" not in plain
    for key, weight in plain["state_dict"].items():
        assert torch.equal(weight, raw[key])


def test_accumulation_equals_a_larger_batch(run: Callable[..., TrainResult]) -> None:
    # Straight-through rounding draws no noise, so the two differ by summation order alone.
    common = ["quantizer=ste", "trainer.max_steps=2", "trainer.precision=32-true"]
    # Not Adam, whose first steps are the signs of gradients, however small.
    common += ["optimizer._target_=torch.optim.SGD", "~optimizer.betas"]
    large = run(*common, "data.batch_size=4", name="large")
    small = run(*common, "data.batch_size=2", "trainer.accumulate_grad_batches=2", name="small")
    one, two = (torch.load(r.last, weights_only=True)["raw_state_dict"] for r in (large, small))
    for key, weight in one.items():
        assert torch.allclose(weight, two[key], atol=1e-6), key
    assert small.steps == large.steps == 2


def test_compile_keeps_keys_clean(
    run: Callable[..., TrainResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled: list[Any] = []
    modes: list[bool] = []  # of the codec at each compilation
    original = torch.nn.Module.compile

    def compile_eagerly(self: torch.nn.Module, *args: Any, **kwargs: Any) -> None:
        def backend(graph: Any, inputs: Any) -> Any:
            modes.append(self.training)
            return graph.forward

        compiled.append(self)
        original(self, backend=backend)  # dynamo without the minute of C++

    monkeypatch.setattr(torch.nn.Module, "compile", compile_eagerly)
    monkeypatch.setattr(compiling, "_failure", lambda device: None)
    result = run("compile=true", "trainer.max_steps=1")
    assert len(compiled) == 1
    assert modes
    assert all(modes)  # photos of all sizes are validated without compiling for each
    plain = run("trainer.max_steps=1", name="plain")
    one, two = (torch.load(r.last, weights_only=True)["state_dict"] for r in (result, plain))
    assert one.keys() == two.keys()
    tngexp.load(result.best)


def test_quiet_console(run: Callable[..., TrainResult], capfd: pytest.CaptureFixture[str]) -> None:
    run("logger=wandb", "logger.system_metrics=false")
    out, err = capfd.readouterr()
    assert out == ""
    assert err == ""


def test_progress_bar_and_summary(
    run: Callable[..., TrainResult], capfd: pytest.CaptureFixture[str]
) -> None:
    result = run(
        "trainer.enable_progress_bar=true", "data.crop=192", "data.val_crop=192", "loss=mixed"
    )
    shown = capfd.readouterr().err
    for word in ("2/2", "bpp", "PSNR", "MS-SSIM", "img/s"):
        assert word in shown
    console = Console(width=80, record=True, file=io.StringIO())
    print_summary(result, "name", console)
    text = console.export_text()
    for word in ("bpp (estimated)", "dB PSNR", "MS-SSIM", "images/s", "reconstructions.png"):
        assert word in text
    assert str(result.run_dir) in text
    assert f"{result.val['val/bpp']:.4f}" in text


def test_bar_on_a_terminal(
    run: Callable[..., TrainResult],
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    run("trainer.enable_progress_bar=true")
    err = capfd.readouterr().err
    assert "█" in err
    assert "2/2" in err
    assert "val PSNR" in err


def test_the_bar_reads_figures_a_few_times_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU each reading waits for all that was asked of it."""
    now, read = [100.0], []
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(progress, "_figures", lambda trainer: read.append(now[0]) or "")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    bar, trainer, lit = progress.ProgressBar(), SimpleNamespace(global_step=0, max_steps=50), None
    bar.on_train_start(trainer, lit)  # type: ignore[arg-type]
    for step in range(1, 51):
        trainer.global_step = step
        now[0] += 0.02
        bar.on_train_batch_end(trainer, lit)  # type: ignore[arg-type]
    bar.on_train_end(trainer, lit)  # type: ignore[arg-type]
    assert 4 <= len(read) <= 5
    assert bar._step == 50


def test_seed_decides_everything(run: Callable[..., TrainResult]) -> None:
    one, two, three = (run(f"seed={s}", name=str(i)).val for i, s in enumerate((1, 1, 2)))
    assert one == two
    assert one != three


def test_a_new_prior_trains_on_shipped_transforms(run: Callable[..., TrainResult]) -> None:
    """The main job, as ``make train`` begins it."""
    result = run(
        *("experiment=new_prior", "model=gmm", "loss=msssim", "encoder.N=192", "encoder.M=192"),
        *("data.crop=192", "data.batch_size=1", "data.val_crop=192", "data.val_images=1"),
        "trainer.max_steps=1",
    )
    trained = tngexp.load(result.last).model.state_dict()
    shipped = tngexp.load("tng-subjective").model.state_dict()
    kept = [name for name in trained if name.startswith("transform.")]
    assert kept
    assert all(torch.equal(trained[name], shipped[name]) for name in kept)
    assert tngexp.load(result.last).model.prior.mixture == 3
