"""What the loggers write is read back from their files."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf
from support import key_of, wandb_records

from tngexp.logs.loggers import make_loggers
from tngexp.runs.git import git_state
from tngexp.training.train import TrainResult
from tngexp.types import ConfigError

TRAIN = {
    "loss", "bpp", "y_bpp", "z_bpp", "distortion", "psnr", "lmbda", "lr", "grad_norm",
    "images_per_s",
}  # fmt: skip
VAL = {"loss", "bpp", "y_bpp", "z_bpp", "distortion", "psnr", "ms_ssim", "lmbda"}

WANDB = "tngexp.logs.loggers.OfflineWandb"


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No account, no network: any attempt to look up a host fails the test."""
    import socket

    def refuse(*args: Any, **kwargs: Any) -> Any:
        if args[0] not in ("localhost", "127.0.0.1", "::1", None):
            raise AssertionError(f"network access to {args[0]}")
        return original(*args, **kwargs)

    original = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


def test_wandb_file_holds_everything(run: Callable[..., TrainResult]) -> None:
    result = run(
        "logger=wandb",
        "logger.system_metrics=false",
        "model=hyperprior",
        "rate=variable",
        "data.val_crop=192",
        group="my-sweep",
    )
    assert result.logs is not None
    assert result.logs.is_relative_to(result.run_dir)
    found = wandb_records(result.run_dir)
    started = next(r.run for r in found if r.HasField("run"))
    assert started.project == "tngexp"
    assert started.display_name == "run"
    assert started.run_group == "my-sweep"

    history: dict[str, list[Any]] = {}
    for record in found:
        if record.HasField("history"):
            for item in record.history.item:
                history.setdefault(key_of(item), []).append(json.loads(item.value_json))
    assert {f"train/{name}" for name in TRAIN} <= history.keys()
    assert {f"val/{name}" for name in VAL} <= history.keys()
    assert {f"val/q{q}/{name}" for q in ("0", "0.5", "1") for name in VAL} <= history.keys()
    assert len(history["train/loss"]) == 2
    # λ of the three validated qualities, log-spaced.
    low, middle, high = (history[f"val/q{q}/lmbda"][-1] for q in ("0", "0.5", "1"))
    assert low == pytest.approx(0.0018)
    assert high == pytest.approx(0.0483)
    assert middle == pytest.approx((low * high) ** 0.5)
    # Images and the histogram of bits over channels.
    pictures = [v for key, v in history.items() if key.startswith("val/reconstructions")]
    assert pictures
    assert list(result.run_dir.rglob("media/images/**/*.png"))
    histogram = [v for key, v in history.items() if key.startswith("val/channel_bpp")]
    assert histogram
    assert json.dumps(histogram).count("histogram") >= 1

    config: dict[str, Any] = {}
    for record in found:
        for update in (record.config.update, record.run.config.update):
            for item in update:
                config[key_of(item)] = json.loads(item.value_json)
    assert config["encoder"]["N"] == 8
    assert config["trainer"]["max_steps"] == 2
    assert config["git"] == git_state()._asdict()
    assert any(r.HasField("exit") and r.exit.exit_code == 0 for r in found)


def test_wandb_is_finished_after_each_run(run: Callable[..., TrainResult]) -> None:
    import wandb

    first = run("logger=wandb", "logger.system_metrics=false", name="first", group="sweep")
    assert wandb.run is None
    second = run("logger=wandb", "logger.system_metrics=false", name="second", group="sweep")
    assert wandb.run is None
    runs = [
        next(r.run for r in wandb_records(result.run_dir) if r.HasField("run"))
        for result in (first, second)
    ]
    assert [r.display_name for r in runs] == ["first", "second"]
    assert {r.run_group for r in runs} == {"sweep"}
    assert runs[0].run_id != runs[1].run_id


def test_a_resumed_run_stays_one_run(run: Callable[..., TrainResult]) -> None:
    wandb_options = ["logger=wandb", "logger.system_metrics=false"]
    first = run(*wandb_options, "trainer.max_steps=1", name="first")
    # The id travels through parts with another logger.
    second = run("trainer.max_steps=2", f"resume={first.last}", name="second")
    third = run(*wandb_options, "trainer.max_steps=3", f"resume={second.last}", name="third")
    other = run(
        *wandb_options, "trainer.max_steps=3", f"resume={second.last}", "logger.id=own", name="own"
    )
    ids = [
        next(r.run.run_id for r in wandb_records(result.run_dir) if r.HasField("run"))
        for result in (first, third, other)
    ]
    assert ids == [ids[0], ids[0], "own"]
    assert first.logs is not None
    assert first.logs.is_dir()


def test_failed_run_is_marked_as_failed(
    run: Callable[..., TrainResult], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import wandb

    from tngexp.training import engine

    def fail(*_: Any) -> None:
        raise ConfigError("no")

    monkeypatch.setattr(engine, "_fit", fail)
    with pytest.raises(ConfigError):
        run("logger=wandb", "logger.system_metrics=false", name="bad")
    assert wandb.run is None
    # What `wandb sync` and the web pages tell a crashed run from a finished one by.
    exits = [r.exit.exit_code for r in wandb_records(tmp_path / "bad") if r.HasField("exit")]
    assert exits == [1]


def test_online_without_account_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="wandb login"):
        make_loggers({"_target_": WANDB, "mode": "online"}, tmp_path, "name", None)


def test_csv_and_picture_files(run: Callable[..., TrainResult]) -> None:
    result = run("logger=csv")
    assert result.logs is not None
    with (result.logs / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    filled = {key for row in rows for key, value in row.items() if value}
    assert {f"train/{name}" for name in TRAIN} <= filled
    assert {f"val/{name}" for name in VAL - {"ms_ssim"}} <= filled
    # 64-pixel images: MS-SSIM cannot be measured and is not made up.
    assert "val/ms_ssim" not in filled
    assert list((result.run_dir / "images").glob("*.png"))
    stored = OmegaConf.load(result.logs / "hparams.yaml")
    assert "git" in stored


def test_tensorboard(run: Callable[..., TrainResult]) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    result = run("logger=tensorboard")
    assert result.logs is not None
    events = EventAccumulator(str(result.logs))
    events.Reload()
    assert {f"train/{name}" for name in TRAIN} <= set(events.Tags()["scalars"])
    assert "val/reconstructions/0" in events.Tags()["images"]
    assert "val/channel_bpp" in events.Tags()["histograms"]


def test_git_state_outside_a_repository(tmp_path: Path) -> None:
    assert git_state(tmp_path) == (None, None)


def test_git_state_sees_changes(tmp_path: Path) -> None:
    import subprocess

    def git(*words: str) -> None:
        subprocess.run(
            ["git", "-c", "user.name=a", "-c", "user.email=a@b", *words],
            cwd=tmp_path, check=True, capture_output=True,
        )  # fmt: skip

    git("init")
    (tmp_path / "file").write_text("one")
    git("add", "file")
    git("commit", "-m", "one")
    commit, dirty = git_state(tmp_path)
    assert commit is not None
    assert len(commit) == 40
    assert dirty is False
    (tmp_path / "file").write_text("two")
    assert git_state(tmp_path) == (commit, True)


def test_a_resumed_run_keeps_the_figures_of_its_first_part(
    run: Callable[..., TrainResult],
) -> None:
    first = run("logger=csv", "trainer.max_steps=2")
    before = (first.run_dir / "csv/metrics.csv").read_text()
    second = run("logger=csv", "trainer.max_steps=4", f"resume={first.last}")
    assert second.run_dir == first.run_dir
    assert (first.run_dir / "csv/metrics.csv").read_text() == before
    assert (first.run_dir / "csv-2/metrics.csv").is_file()


def test_a_folder_wandb_cannot_write_is_one_message(
    run: Callable[..., TrainResult], tmp_path: Path
) -> None:
    (tmp_path / "blocked").mkdir()
    (tmp_path / "blocked/wandb").touch()  # a file where the folder should be
    with pytest.raises(ConfigError, match="W&B cannot write its files there"):
        run("logger=wandb", name="blocked")
