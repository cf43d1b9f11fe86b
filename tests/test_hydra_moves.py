"""What a Hydra user does without asking: each move works here as they know it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import ConfigCompositionException
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import nn

import tngexp.schema.instantiate as own
from tngexp.cli.train import main
from tngexp.common.configuration import CONF_DIR
from tngexp.schema.compose import configuration
from tngexp.schema.store import register_config
from tngexp.training.engine import run
from tngexp.types import ConfigError


def composed(*overrides: str) -> Any:
    register_config()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        return compose("train", list(overrides))


def test_the_schema_refuses_a_misspelt_key() -> None:
    with pytest.raises(ConfigCompositionException) as caught:
        composed("trainer.max_step=3")
    assert "Key 'max_step' not in 'TrainerConf'" in str(caught.value.__cause__)


@pytest.mark.parametrize("word", ["trainer.max_steps=abc", "seed=1.5", "compile=maybe"])
def test_the_schema_refuses_a_wrong_type(word: str) -> None:
    with pytest.raises(ConfigCompositionException):
        composed(word)


def test_groups_experiments_and_overrides_compose() -> None:
    config = composed("experiment=smoke", "model=tng", "trainer=ddp", "optimizer=adam")
    assert config.trainer.strategy == "ddp"
    assert config.trainer.max_steps == 4
    assert config.trainer.gradient_clip_val == 1.0
    assert config.optimizer._target_ == "torch.optim.Adam"


def test_what_hydra_instantiates_is_what_trains() -> None:
    config = composed("callbacks.ema.decay=0.9", "+callbacks.reconstructions.folder=x")
    for name in ("ema", "channel_bits"):
        assert type(instantiate(config.callbacks[name])).__module__.startswith("tngexp.training")
    optimizer = instantiate(config.optimizer, [nn.Parameter(torch.zeros(1))])
    assert isinstance(optimizer, torch.optim.AdamW)
    assert optimizer.param_groups[0]["lr"] == config.optimizer.lr
    assert instantiate(config.scheduler).factor(0, 0.0, 100) == pytest.approx(1 / 21)


def test_functions_lists_args_and_partials_are_built() -> None:
    made = own.instantiate(
        {
            "_target_": "torch.nn.Sequential",
            "_args_": [
                {"_target_": "torch.nn.Conv2d", "_args_": [3, 4], "kernel_size": 3},
                {"_target_": "torch.nn.ReLU"},
            ],
        },
        "x",
        nn.Module,
    )
    assert [type(m).__name__ for m in made] == ["Conv2d", "ReLU"]
    assert own.instantiate({"_target_": "torch.tensor", "data": [1, 2]}, "x").tolist() == [1, 2]
    path = own.instantiate({"_target_": "pathlib.Path.home"}, "x")
    assert path == Path.home()
    factory = own.instantiate({"_target_": "torch.nn.ReLU", "_partial_": True}, "x")
    assert isinstance(factory(), nn.ReLU)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"_target_": "torch.nn.Rellu"}, r"x\._target_=torch\.nn\.Rellu does not exist"),
        ({"_target_": "no.such"}, r"x\._target_=no\.such does not exist"),
        ({"_target_": "torch.nn.ReLU", "inplaze": True}, r"unknown option x\.inplaze\. Did you m"),
        ({"inplace": True}, "give it a _target_"),
        ({"_target_": "torch.nn.Conv2d", "in_channels": 3}, "x cannot be built with"),
    ],
)
def test_what_cannot_be_built_says_why(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        own.instantiate(config, "x")


def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    path = "lightning.pytorch.loggers.MLFlowLogger"
    with pytest.raises(ConfigError, match="mlflow"):
        own.instantiate({"_target_": path}, "logger")


def test_the_python_interface_has_the_same_schema() -> None:
    config = configuration("model=gmm", "loss=mse")
    assert config["trainer"]["max_steps"] == 400
    for key, value, message in (
        ("sed", 1, "unknown option sed. Did you mean 'seed'?"),
        ("seed", "abc", "seed='abc' must be a whole number"),
        (
            "trainer",
            {**config["trainer"], "clip": 1.0},
            "trainer.clip is now trainer.gradient",
        ),
        ("trainer", {"max_steps": 0}, "trainer.max_steps=0 must be a whole number of at least 1"),
    ):
        with pytest.raises(ConfigError, match=message.replace("?", r"\?")):
            run({**config, key: value})


def test_a_config_folder_of_ones_own(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "scheduler").mkdir()
    (tmp_path / "scheduler" / "mine.yaml").write_text(
        "_target_: torch.optim.lr_scheduler.StepLR\nstep_size: 7\n", encoding="utf-8"
    )
    words = ["--config-dir", str(tmp_path), "--cfg", "job", "scheduler=mine"]
    assert main(words) == 0
    config = OmegaConf.create(capfd.readouterr().out)
    assert config.scheduler.step_size == 7


def test_a_run_keeps_hydras_record_of_it(tmp_path: Path) -> None:
    words = ["model=hyperprior", "loss=mse", "experiment=smoke", "logger=none"]
    done = subprocess.run(
        [sys.executable, "-m", "tngexp.train", *words, f"hydra.run.dir={tmp_path}/run"],
        capture_output=True, text=True, cwd=tmp_path, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    kept = OmegaConf.load(tmp_path / "run" / ".hydra" / "overrides.yaml")
    assert list(kept) == words
    config = OmegaConf.load(tmp_path / "run" / ".hydra" / "config.yaml")
    assert json.loads(json.dumps(OmegaConf.to_container(config)))["trainer"]["max_steps"] == 4
