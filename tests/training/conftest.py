"""A small run or sweep in this process, and the configuration it starts from."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf
from PIL import Image

import tngexp.cli.train
import tngexp.evaluation.compare
from tngexp.cli.train import main
from tngexp.common.configuration import CONF_DIR
from tngexp.schema.store import register_config
from tngexp.training.train import TrainResult, train
from tngexp.types import ConfigError

TINY = [
    "model=hyperprior",
    "loss=mse",
    "encoder.N=8",
    "encoder.M=12",
    "data=folder",
    "data.crop=64",
    "data.batch_size=2",
    "data.val_images=2",
    "data.val_crop=64",
    "logger=none",
    "trainer.max_steps=2",
    "trainer.val_check_interval=2",
    "trainer.log_every_n_steps=1",
    "trainer.enable_progress_bar=false",
    "scheduler.warmup=1",
    "report=none",
]


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six small pictures with some structure."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for i in range(6):
        coarse = Image.fromarray(rng.integers(0, 256, (13, 16, 3), np.uint8))
        coarse.resize((240 + 8 * i, 208), Image.Resampling.BICUBIC).save(folder / f"{i}.png")
    return folder


@pytest.fixture
def tiny(photos: Path) -> list[str]:
    """Overrides that make a run take a second."""
    return [*TINY, f"data.root={photos}"]


@pytest.fixture
def command(
    tiny: list[str],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., tuple[int, str]]:
    """The command line in this process, in an empty folder: (exit code, stderr).

    What makes runs small stays where the words given say nothing else.
    """
    monkeypatch.chdir(tmp_path)
    # Hydra sets up the root logger for every job.
    monkeypatch.setattr(sys, "argv", ["train.py"])

    def command(*words: str, tiny_run: bool = True) -> tuple[int, str]:
        GlobalHydra.instance().clear()
        given = {word.lstrip("~").partition("=")[0] for word in words}
        kept = [w for w in tiny if w.partition("=")[0] not in given] if tiny_run else []
        code = main(["hydra/job_logging=none", "hydra/hydra_logging=none", *kept, *words])
        return code, capfd.readouterr().err

    return command


@pytest.fixture
def configure(tiny: list[str]) -> Callable[..., DictConfig]:
    """Compose conf/train.yaml with the tiny defaults and further overrides."""

    def configure(*overrides: str) -> DictConfig:
        register_config()
        with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
            chosen = tuple(
                f"{w.partition('=')[0]}." for w in overrides if w.startswith("scheduler=")
            )
            kept = [word for word in tiny if not (chosen and word.startswith(chosen))]
            return compose("train", [*kept, *overrides])

    return configure


@pytest.fixture
def run(configure: Callable[..., DictConfig], tmp_path: Path) -> Callable[..., TrainResult]:
    """Train in this process into ``tmp_path / name``."""

    def run(*overrides: str, name: str = "run", stop: Any = None, **extra: Any) -> TrainResult:
        config = configure(*overrides)
        OmegaConf.set_struct(config, False)
        config.name = name
        config.run_dir = str(tmp_path / name)
        for key, value in extra.items():
            OmegaConf.update(config, key, value, force_add=True)
        return train(config, stop)

    return run


@pytest.fixture
def sweep(
    tiny: list[str],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., tuple[int, str, str]]:
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

    monkeypatch.setattr(tngexp.cli.train, "train", spy)
    return runs


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The runs of each comparison, which is not made."""
    runs: list[Any] = []

    def compare(config: Any) -> None:
        runs.append((config["runs"], config["out"]))
        raise ConfigError("not measured")

    monkeypatch.setattr(tngexp.evaluation.compare, "compare", compare)
    return runs
