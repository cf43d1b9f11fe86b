"""What a Lightning user does without asking: each move works here as they know it."""

from __future__ import annotations

import csv
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.loggers import CSVLogger

import tngexp
from tngexp.schema.compose import configuration
from tngexp.schema.instantiate import instantiate
from tngexp.training.module import LitCodec
from tngexp.training.optimizer import advance
from tngexp.training.train import TrainResult
from tngexp.types import ConfigError

Run = Callable[..., TrainResult]
EXAMPLE = Path(__file__).parents[2] / "examples" / "plain_lightning.py"


@pytest.fixture
def config(tiny: list[str]) -> dict[str, Any]:
    return configuration(*tiny, "quantizer=soft_round")


def plain(folder: Path, **options: Any) -> pl.Trainer:
    """A trainer as anybody would write it."""
    return pl.Trainer(
        **{
            "max_steps": 4, "val_check_interval": 2, "check_val_every_n_epoch": None,
            "logger": CSVLogger(folder, name=""), "log_every_n_steps": 1,
            "num_sanity_val_steps": 0, "enable_progress_bar": False, "default_root_dir": folder,
            "enable_model_summary": False, "accelerator": "cpu", **options,
        }
    )  # fmt: skip


@pytest.mark.filterwarnings("ignore")  # what Lightning says of any plain run
class TestAPlainTrainer:
    def test_logs_anneals_and_schedules(
        self, config: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lit = LitCodec.from_config({**config, "scheduler": {**config["scheduler"], "warmup": 0}})
        annealed: list[float] = []
        monkeypatch.setattr(type(lit.codec.quantizer), "anneal", lambda _, s: annealed.append(s))
        best = ModelCheckpoint(tmp_path, "best", monitor="val/loss")
        trainer = plain(tmp_path, callbacks=[best])
        trainer.fit(lit, datamodule=instantiate(config["data"], "data"))

        assert annealed == pytest.approx([0, 0.25 / 0.9, 0.5 / 0.9, 0.75 / 0.9])
        with (tmp_path / "version_0" / "metrics.csv").open() as file:
            rows = list(csv.DictReader(file))
        rates = [float(row["train/lr"]) for row in rows if row["train/lr"]]
        assert rates[0] == pytest.approx(config["optimizer"]["lr"])
        assert rates[3] < rates[2] < rates[1]
        filled = {key for row in rows for key, value in row.items() if value}
        assert {"train/loss", "train/grad_norm", "val/loss", "val/bpp", "val/psnr"} <= filled

    def test_saves_hyperparameters_and_loads(self, config: dict[str, Any], tmp_path: Path) -> None:
        lit = LitCodec.from_config(config, val_qualities=(0.5,))
        assert lit.hparams["loss"] == config["loss"]
        trainer = plain(tmp_path)
        data = instantiate(config["data"], "data")
        trainer.fit(lit, datamodule=data)
        path = tmp_path / "some.ckpt"
        trainer.save_checkpoint(path)

        again = LitCodec.load_from_checkpoint(path)
        assert again.hparams == lit.hparams
        assert all(
            torch.equal(a, b)
            for a, b in zip(lit.state_dict().values(), again.state_dict().values(), strict=True)
        )
        (before,) = trainer.validate(lit, data, verbose=False)
        (after,) = plain(tmp_path).validate(again, data, verbose=False)
        assert after == pytest.approx(before)
        image = torch.rand(3, 64, 64)
        codec = tngexp.load(path)
        assert codec.decompress(codec.compress(image)).size == (64, 64)

    def test_tests_by_files(self, config: dict[str, Any], tmp_path: Path) -> None:
        lit = LitCodec.from_config(config)
        data = instantiate(config["data"], "data")
        (found,) = plain(tmp_path).test(lit, data, verbose=False)
        (estimated,) = plain(tmp_path).validate(lit, data, verbose=False)
        assert estimated["val/bpp"] < found["test/bpp"] < 1.5 * estimated["val/bpp"]
        assert found["test/psnr"] == pytest.approx(estimated["val/psnr"], abs=0.2)
        assert found["test/encode_s"] > 0

    def test_ends_with_its_time(self, config: dict[str, Any], tmp_path: Path) -> None:
        lit = LitCodec.from_config(config)
        trainer = plain(tmp_path, max_steps=10**6, max_time={"seconds": 2}, val_check_interval=1000)
        trainer.fit(lit, datamodule=instantiate(config["data"], "data"))
        assert 0.5 < lit.progress <= 1
        assert trainer.optimizers[0].param_groups[0]["lr"] < config["optimizer"]["lr"]

    def test_a_module_without_descriptions(self, config: dict[str, Any], tmp_path: Path) -> None:
        described = LitCodec.from_config(config)
        lit = LitCodec(described.codec, described.loss, lambda p: torch.optim.SGD(p, lr=1e-3))
        trainer = plain(tmp_path, max_steps=1, val_check_interval=1)
        trainer.fit(lit, datamodule=instantiate(config["data"], "data"))
        trainer.save_checkpoint(tmp_path / "bare.ckpt")
        with pytest.raises(tngexp.io.CheckpointError, match="pass the loss"):
            LitCodec.load_from_checkpoint(tmp_path / "bare.ckpt")
        again = LitCodec.load_from_checkpoint(tmp_path / "bare.ckpt", loss=described.loss)
        assert again.codec.config == lit.codec.config

    def test_the_example(
        self, tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
    ) -> None:
        monkeypatch.chdir(tmp_path)
        small = [word for word in tiny if not word.startswith(("model", "loss", "trainer"))]
        monkeypatch.setattr(sys, "argv", ["plain_lightning.py", "4", *small])
        runpy.run_path(str(EXAMPLE), run_name="__main__")
        assert "plain/best.ckpt: files carry the id" in capfd.readouterr().out


def test_limits_reach_the_trainer(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    original = LitCodec.validation_step
    monkeypatch.setattr(
        LitCodec, "validation_step", lambda *a: (seen.append(a[2]), original(*a))[1]
    )
    result = run("trainer.limit_val_batches=1", "trainer.max_steps=2")
    assert result.steps == 2
    assert set(seen) == {0}


def test_a_profiler_writes_its_report(run: Run, capfd: pytest.CaptureFixture[str]) -> None:
    folder = run(name="elsewhere").run_dir
    run(
        "+trainer.profiler._target_=lightning.pytorch.profilers.SimpleProfiler",
        f"+trainer.profiler.dirpath={folder}", "+trainer.profiler.filename=profile",
        name="profiled",
    )  # fmt: skip
    assert "run_training_batch" in (folder / "fit-profile.txt").read_text()


def test_deterministic_and_anomaly_detection(run: Run) -> None:
    assert run("trainer.deterministic=true", "trainer.detect_anomaly=true").steps == 2
    assert torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(False)


def test_fast_dev_run_leaves_nothing(run: Run) -> None:
    result = run("trainer.fast_dev_run=true", "trainer.max_steps=1000", "logger=csv")
    assert result.steps == 1
    assert "val/loss" in result.val
    left = {path.name for path in result.run_dir.rglob("*") if path.is_file()}
    assert left <= {".lock"}


def test_a_precision_of_lightnings_own(
    run: Run, monkeypatch: pytest.MonkeyPatch, command: Callable[..., tuple[int, str]]
) -> None:
    seen: list[str] = []
    monkeypatch.setattr(LitCodec, "on_train_start", lambda lit: seen.append(lit.trainer.precision))
    run("trainer.precision=32")
    assert seen == ["32-true"]
    code, err = command("trainer.precision=16-mixed", "trainer.accelerator=cpu")
    assert code == 2
    assert "trainer.precision=16-mixed needs a GPU" in err


@pytest.mark.parametrize("plus", ["", "+"])
def test_a_strategy_of_lightnings_own_is_asked_of_lightning(
    command: Callable[..., tuple[int, str]], plus: str
) -> None:
    code, err = command(f"{plus}trainer.strategy=fsdp", "trainer.accelerator=cpu")
    assert code == 2
    assert "fsdp" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    "key", ["logger", "callbacks", "max_epochs", "default_root_dir", "use_distributed_sampler"]
)
def test_what_a_run_cannot_honour_says_why(
    command: Callable[..., tuple[int, str]], key: str
) -> None:
    code, err = command(f"+trainer.{key}=1")
    assert code == 2
    assert f"trainer.{key} cannot be set: " in err


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["trainer.limit_val_batches=0"], "it would end with nothing"),
        (["trainer.limit_val_batches=0.0"], "it would end with nothing"),
        (["trainer.min_steps=3"], "more than trainer.max_steps=2"),
        (["trainer.limit_train_batches=1"], "training data has no end"),
        # Lightning knows only when it has the data: half of one photo is none.
        (["trainer.limit_val_batches=0.5", "data.val_images=1"], "0.5 * 1 < 1"),
    ],
)
def test_limits_that_leave_nothing_are_refused(
    command: Callable[..., tuple[int, str]], words: list[str], reason: str
) -> None:
    code, err = command(*words)
    assert code == 2
    assert reason in err
    assert "Traceback" not in err


def test_every_option_of_lightnings_trainer_is_known_or_refused_with_a_reason() -> None:
    import inspect
    from dataclasses import fields

    from tngexp.schema.renamed import new_name
    from tngexp.schema.trainer import TrainerConf

    known = {field.name for field in fields(TrainerConf)}
    for name in list(inspect.signature(pl.Trainer.__init__).parameters)[1:]:
        assert (name in known) != (new_name(f"trainer.{name}") is not None), name


def test_another_callback_of_lightnings(run: Run) -> None:
    result = run(
        "+callbacks.saved={_target_:lightning.pytorch.callbacks.ModelCheckpoint,"
        "dirpath:${run_dir}/saved,filename:mine,monitor:val/loss}",
        "+callbacks.rate={_target_:lightning.pytorch.callbacks.LearningRateMonitor}",
        "logger=csv",
    )
    assert tngexp.load(result.run_dir / "saved" / "mine.ckpt").model.config is not None


def test_another_logger_of_lightnings(run: Run) -> None:
    result = run("logger._target_=lightning.pytorch.loggers.CSVLogger", "+logger.prefix=mine")
    assert result.logs is not None
    assert "mine-val/loss" in (result.logs / "metrics.csv").read_text()


def test_a_scheduler_of_torchs_own(run: Run) -> None:
    words = ["scheduler=cosine", "trainer.max_steps=4", "logger=csv", "scheduler.T_max=4"]
    result = run(*words, name="whole")
    rates = rates_of(result)
    assert rates == pytest.approx([5e-4 * c for c in (1, 0.853553, 0.5, 0.146447)], rel=1e-4)
    # And it goes on from where it was.
    run(*words, "trainer.max_steps=2", name="part")
    first = run("scheduler=cosine", "scheduler.T_max=4", "trainer.max_steps=2", name="first")
    rest = run(*words, f"resume={first.last}", name="rest")
    assert rates_of(rest) == pytest.approx(rates[2:], rel=1e-4)


@pytest.mark.parametrize("before", ["cosine", "warmup_decay"])
def test_options_of_the_scheduler_act_when_a_run_goes_on(run: Run, before: str) -> None:
    first = run(f"scheduler={before}", "trainer.max_steps=2", name="first")
    words = ["scheduler=cosine", "trainer.max_steps=4", "optimizer.lr=1e-4", "logger=csv"]
    rest = run(*words, f"resume={first.last}", name="rest")
    # As a cosine of four steps has it at the third: neither the end of one of two, nor its start.
    assert rates_of(rest) == pytest.approx([1e-4 * c for c in (0.5, 0.146447)], rel=1e-4)


def test_a_plateau_goes_on_with_what_the_validations_have_told() -> None:
    def configured(lr: float, **options: Any) -> dict[str, Any]:
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)
        optimizer.param_groups[0]["initial_lr"] = lr
        scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, **options)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler}}

    first = configured(1.0, patience=1, factor=0.5)
    for value in (3.0, 2.0, 2.5, 2.5, 2.5):
        first["lr_scheduler"]["scheduler"].step(value)
    checkpoint = {
        "global_step": 5,
        "lr_schedulers": [first["lr_scheduler"]["scheduler"].state_dict()],
        "optimizer_states": [first["optimizer"].state_dict()],
    }
    second = configured(0.1, patience=7, factor=0.2)
    (state,) = advance(second, checkpoint)
    assert (state["best"], state["num_bad_epochs"]) == (2.0, 1)
    assert (state["patience"], state["factor"]) == (7, 0.2)
    assert second["optimizer"].param_groups[0]["lr"] == pytest.approx(0.05)


def test_a_scheduler_that_ends_before_the_run_goes_on_says_so(run: Run) -> None:
    one_cycle = "torch.optim.lr_scheduler.OneCycleLR"
    words = ["scheduler=cosine", f"scheduler._target_={one_cycle}", "~scheduler.T_max"]
    words += ["+scheduler.max_lr=1e-3"]
    first = run(*words, "+scheduler.total_steps=4", "trainer.max_steps=3", name="first")
    words += ["+scheduler.total_steps=2", "trainer.max_steps=4", f"resume={first.last}"]
    with pytest.raises(ConfigError, match="OneCycleLR does not reach step 3"):
        run(*words, name="rest")


def rates_of(result: TrainResult) -> list[float]:
    assert result.logs is not None
    with (result.logs / "metrics.csv").open() as file:
        return [float(row["train/lr"]) for row in csv.DictReader(file) if row.get("train/lr")]


def test_the_progress_bar_of_lightning(run: Run, capfd: pytest.CaptureFixture[str]) -> None:
    run("+callbacks.bar={_target_:lightning.pytorch.callbacks.TQDMProgressBar}")
    assert TQDMProgressBar.__name__
    assert "train/bpp=" in capfd.readouterr().out
