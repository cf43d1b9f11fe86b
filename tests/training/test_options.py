"""Options of a wrong type, groups that are off, devices and folders with odd names."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.core.global_hydra import GlobalHydra

from tngexp.cli.train import main
from tngexp.schema.run import complete
from tngexp.training.train import TrainResult, train
from tngexp.types import ConfigError

Command = Callable[..., tuple[int, str]]


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("loss.balance=abc", "loss.balance='abc' must be a number"),
        ("loss.lmbda=[0.1]", "loss.lmbda=[0.1] must be a number"),
        ("loss.lmbda_max={a:1}", "loss.lmbda_max={'a': 1} must be a number"),
        ("encoder.N=2.5", "encoder.N=2.5 must be a whole number"),
        ("encoder.M=-1", "M must be a positive whole number, got -1"),
        ("prior.mixture=true", "prior.mixture=True must be a whole number"),
        ("prior.family=3", "prior.family=3 must be text"),
        ("prior.context=abc", "prior.context='abc' must be a component"),
        ("quantizer=ste", None),
        ("optimizer.lr=abc", "optimizer.lr='abc' must be a number"),
        ("optimizer.lr=nan", "optimizer.lr=nan must be a"),
        ("optimizer.betas=0.9", "optimizer.betas=0.9 must be a list [a number"),
        ("optimizer.betas=[0.9]", "optimizer.betas=[0.9] must be a list"),
        ("optimizer.betas=[0.9,2]", "optimizer=AdamW refuses its options: Invalid beta"),
        ("optimizer.weight_decay=null", "optimizer.weight_decay=None must be a number"),
        ("optimizer.fused=1", "optimizer.fused=1 must be true or false"),
        ("scheduler.warmup=abc", "scheduler.warmup='abc' must be a whole"),
        ("scheduler.final=[1]", "scheduler.final=[1] must be a number"),
        ("scheduler.shape=2", "scheduler.shape=2 must be text"),
        ("scheduler=abc", "unknown option scheduler=abc. Options of scheduler: constant"),
        ("scheduler._target_=torch.nn.ReLU", "is no learning-rate scheduler"),
        ("+scheduler.final_lr=1", "unknown option scheduler.final_lr. Did you mean 'final'?"),
        ("optimizer._target_=torch.nn.ReLU", "torch.nn.ReLU is not an optimizer"),
        (
            "trainer.gradient_clip_val=abc",
            "trainer.gradient_clip_val=abc must be a number",
        ),
        ("compile=maybe", "compile=maybe must be true or false"),
        ("trainer.max_steps=1e3", "trainer.max_steps=1e3 must be a whole number"),
        ("trainer.strategy=[ddp]", "Lightning refuses the options of trainer: You selected an"),
        ("trainer.precision=64-true", "trainer.precision=64-true cannot be set: rates and"),
        ("trainer.precision=33", "trainer.precision=33 is not one of auto, 32-true"),
        ("callbacks.ema.decay=abc", "callbacks.ema.decay='abc' must be a number"),
        ("anneal_until=[1]", "anneal_until=[1] must be a number"),
        ("callbacks.ema=3", "callbacks.ema=3 does not say what to build"),
        ("callbacks.ema._target_=torch.nn.ReLU", "unknown option callbacks.ema.decay. ReLU takes"),
        ("loss._target_=torch.nn.MSELoss", "MSELoss"),
        ("data.flip=abc", "data.flip=abc must be true or false"),
        ("+data.flop=1", "flop"),
        ("data.crop=[64]", "data.crop=[64] must be a whole number"),
        ("+logger.tags=abc", "logger.tags is set, but logger=none has no logger"),
        ("trainer.clip=1", "trainer.clip is now trainer.gradient_clip_val."),
        ("trainer.max_epochs=3", "trainer.max_epochs cannot be set: training data has no end"),
        ("+trainer.steps=3", "unknown option trainer.steps. Did you mean 'min_steps'?"),
        ("trainer.steps=3", "unknown option trainer.steps. Did you mean 'trainer.min_steps'?"),
        ("sed=3", "unknown option sed. Did you mean 'seed'?"),
        ("+sed=3", "unknown option sed. Did you mean 'seed'?"),
        ("+report.images=abc", "report.images='abc' must be a whole number"),
        ("report.anchors=jpeg", "report.anchors='jpeg' must be a list [text, …] or null"),
        ("seed=abc", "seed=abc must be a whole number"),
        ("freeze=3", "freeze=3 must be a list of parts"),
        ("max_kmac=abc", "max_kmac=abc must be a number"),
    ],
)
def test_a_wrong_type_is_one_message(
    command: Command, tmp_path: Path, word: str, expected: str | None
) -> None:
    code, err = command(word)
    assert "Traceback" not in err
    if expected is None:  # the other way round: what is right trains
        assert code == 0
        return
    assert code == 2
    assert err.startswith("error: ")
    assert err.count("error: ") == 1
    assert expected in err
    assert not list(tmp_path.rglob("*.ckpt"))


@pytest.mark.parametrize("group", ["logger", "callbacks", "report"])
@pytest.mark.parametrize("off", ["{}=null", "~{}"])
def test_groups_can_be_switched_off_as_hydra_does_it(
    command: Command, tmp_path: Path, group: str, off: str
) -> None:
    code, err = command(off.format(group), "trainer.max_steps=1", "run_dir=here")
    assert code == 0, err
    assert (tmp_path / "here" / "checkpoints" / "best.ckpt").is_file()
    assert not (tmp_path / "here" / "report").exists()
    if group == "logger":
        assert not list(tmp_path.rglob("*wandb*"))


@pytest.mark.parametrize("off", ["~callbacks.ema", "callbacks.ema=null", "~freeze"])
def test_single_options_can_be_taken_out(command: Command, tmp_path: Path, off: str) -> None:
    code, err = command(off, "trainer.max_steps=1", "run_dir=here")
    assert code == 0, err


@pytest.mark.parametrize(
    "word",
    [
        *("loss=null", "~loss", "~data", "optimizer=null", "~trainer", "quantizer=null"),
        *("model=null", "rate=null", "~prior"),
    ],
)
def test_what_training_needs_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], word: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["train.py"])
    GlobalHydra.instance().clear()
    assert main([word, "~logger"]) == 2
    err = capfd.readouterr().err
    assert err.startswith("error: ")
    assert "Traceback" not in err
    assert "is not set, and nothing can be done without it" in err


def test_an_option_of_a_group_that_is_out_is_one_message(command: Command) -> None:
    code, err = command("~optimizer", "optimizer.lr=1")
    assert code == 2
    assert err.startswith("error: optimizer.")
    assert "cannot be set, because the command takes optimizer out" in err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["logger.mood=x"], "unexpected keyword argument 'mood'"),
        (["logger.mode=onlin"], "logger.mode='onlin' is not one of offline"),
        (["logger.project=[a]"], "logger cannot be built with project=['a']"),
        (["logger._target_=lightning.pytorch.loggers.Wandb"], "does not exist"),
    ],
)
def test_a_wrong_option_of_a_logger_is_one_message(
    command: Command, words: list[str], expected: str
) -> None:
    plus = [word if "mood" not in word else f"+{word}" for word in words]
    code, err = command("logger=wandb", "+logger.settings.mode=disabled", *plus)
    assert code == 2
    assert expected in err
    assert "Traceback" not in err


@pytest.mark.parametrize("option", ["trainer.max_steps", "trainer.val_check_interval"])
def test_an_option_of_the_schema_cannot_be_taken_out(command: Command, option: str) -> None:
    code, err = command(f"~{option}")
    assert code == 2
    assert f"{option} cannot be taken out; set it instead" in err


def test_a_sweep_without_logger_and_callbacks_can_be_repeated(command: Command) -> None:
    words = ["-m", "loss.lmbda=0.01", "~logger", "callbacks=null", "~report"]
    words += ["hydra.sweep.dir=here", "trainer.max_steps=1"]
    for _ in range(2):
        code, err = command(*words)
        assert code == 0, err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["trainer.accelerator=cuda"], "no such device that torch"),
        (["trainer.accelerator=gpu"], "trainer.accelerator=gpu: there is no such device"),
        (["trainer.accelerator=mps"], "takes cpu here"),
        (["trainer.accelerator=tpu"], "'tpu' is not one of auto, cpu, cuda, gpu, mps"),
        (["trainer.accelerator=cudo"], "Did you mean 'cuda'?"),
        (["trainer.accelerator=0"], "trainer.accelerator='0' is not one of auto, cpu"),
        (["trainer.accelerator=cpu", "trainer.devices=[0]"], "lists GPUs"),
    ],
)
def test_an_accelerator_that_is_not_there(
    command: Command, monkeypatch: pytest.MonkeyPatch, words: list[str], expected: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    code, err = command(*words)
    assert code == 2
    assert err.startswith("error: ")
    assert "Traceback" not in err
    assert expected in err


@pytest.mark.parametrize("devices", ["2", "[0,1]", "[3]"])
def test_more_gpus_than_there_are(
    command: Command, monkeypatch: pytest.MonkeyPatch, devices: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    code, err = command("trainer.accelerator=gpu", f"trainer.devices={devices}")
    assert code == 2
    assert "this machine has 1 device, counted from 0" in err


def test_folders_may_be_called_like_numbers(command: Command, photos: Path, tmp_path: Path) -> None:
    shutil.copytree(photos, tmp_path / "2024")
    shutil.copytree(photos, tmp_path / "1.10")
    code, err = command(
        "data.root=2024", "data.val_root=1.10", "run_dir=2025_01", "name=1e3",
        "trainer.max_steps=1",
    )  # fmt: skip
    assert code == 0, err
    last = tmp_path / "2025_01" / "checkpoints" / "last.ckpt"
    config = torch.load(last, weights_only=True)["tngexp"]["config"]
    assert config["data"]["root"] == "2024"
    assert config["data"]["val_root"] == "1.10"
    assert config["name"] == "1e3"
    last.rename(tmp_path / "7_0")
    assert command("data.root=2024", "init_from=7_0", "trainer.max_steps=1")[0] == 0
    code, err = command("-m", "data.root=2024,1.10", "trainer.max_steps=1", "hydra.sweep.dir=8_1")
    assert code == 0, err
    assert len(list((tmp_path / "8_1").rglob("best.ckpt"))) == 2


@pytest.mark.parametrize("option", ["run_dir", "resume", "init_from", "name", "group"])
def test_a_number_where_a_file_has_text_is_refused(
    run: Callable[..., TrainResult], option: str
) -> None:
    # As YAML reads ``run_dir: 2024_01``.
    with pytest.raises(ConfigError, match=rf"{option}=202401 must be text or null; quotes"):
        run(**{option: 202401}) if option != "name" else complete(_plain(name=202401))


def _plain(**options: Any) -> dict[str, Any]:
    groups = ("encoder", "quantizer", "prior", "rate", "loss", "data", "optimizer")
    trainer = {"max_steps": 1, "val_check_interval": 1}
    return {**{group: {"_target_": "x"} for group in groups}, "trainer": trainer, **options}


def test_a_number_as_the_root_of_data_is_refused(configure: Callable[..., Any]) -> None:
    config = configure()
    config.data.root = 2024
    with pytest.raises(ConfigError, match=r"data\.root=2024 must be text or null; quotes"):
        train(config)


def test_complete_changes_nothing_that_is_complete() -> None:
    once = complete(_plain(logger={"_target_": "x"}, callbacks={"ema": None}, seed=3))
    assert complete(once) == once
    assert json.loads(json.dumps(once)) == once
