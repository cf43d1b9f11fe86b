"""Sweeps whose jobs other programs start: joblib, submitit on this machine, Slurm."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from tngexp.common.configuration import CONF_DIR
from tngexp.evaluation.complexity import details
from tngexp.io import load
from tngexp.schema.store import register_config
from tngexp.training.limit import TooComplexError, decoder_kmac
from tngexp.training.train import TrainResult

pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
submitit = pytest.importorskip("submitit")


def _sweep(*words: str, wait: bool = True) -> Any:
    command = [sys.executable, "-m", "tngexp.train", "-m", *words]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    if not wait:
        return process
    try:
        text, _ = process.communicate(timeout=120)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    assert process.returncode == 0, text
    return text


def _steps(folder: Path) -> list[int]:
    found = sorted(folder.rglob("last.ckpt"))
    return [torch.load(path, weights_only=True)["global_step"] for path in found]


@pytest.mark.parametrize(
    "launcher", ["joblib", pytest.param("submitit_local", marks=pytest.mark.slow)]
)
def test_a_launcher_trains_every_job(launcher: str, tiny: list[str], tmp_path: Path) -> None:
    words = [f"hydra/launcher={launcher}", "loss.lmbda=0.01,0.02"]
    if launcher == "joblib":
        words.append("hydra.launcher.n_jobs=1")
    _sweep(*words, *tiny, f"hydra.sweep.dir={tmp_path / 'sweep'}")
    assert _steps(tmp_path / "sweep") == [2, 2]


@pytest.mark.slow
def test_ray_trains_every_job_and_skips_it_the_next_time(tiny: list[str], tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_ray_launcher")
    words = ["hydra/launcher=tng_ray", "hydra.launcher.ray.remote.num_cpus=0.5"]
    words += ["+sweep=lambda_mse", "loss.lmbda=0.01,0.02", f"hydra.sweep.dir={tmp_path / 'sweep'}"]
    _sweep(*words, *tiny)
    assert _steps(tmp_path / "sweep") == [2, 2]
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.ckpt")}
    text = _sweep(*words, *tiny)
    assert text.count("finished before, skipped") == 2
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.ckpt")} == before


@pytest.mark.slow
def test_a_job_that_fails_under_ray_is_named_and_the_other_trains(
    tiny: list[str], tmp_path: Path
) -> None:
    pytest.importorskip("hydra_plugins.hydra_ray_launcher")
    words = ["hydra/launcher=tng_ray", "hydra.launcher.ray.remote.num_cpus=0.5"]
    words += ["encoder.N=8,0", f"hydra.sweep.dir={tmp_path / 'sweep'}"]
    process = _sweep(*words, *(word for word in tiny if word != "encoder.N=8"), wait=False)
    text, _ = process.communicate(timeout=120)
    assert process.returncode == 2, text
    assert "encoder.N" in text
    assert _steps(tmp_path / "sweep") == [2]


@pytest.mark.slow
def test_one_model_on_two_devices_in_a_launched_job(tiny: list[str], tmp_path: Path) -> None:
    words = ["hydra/launcher=submitit_local", "trainer=ddp", "trainer.devices=2"]
    words += ["trainer.accelerator=cpu", "loss.lmbda=0.01,0.02"]
    _sweep(*words, *tiny, f"hydra.sweep.dir={tmp_path / 'sweep'}")
    assert _steps(tmp_path / "sweep") == [2, 2]


@pytest.mark.skipif(sys.platform != "linux", reason="finds the job's process in /proc")
@pytest.mark.slow
def test_a_preempted_job_saves_requeues_and_goes_on(tiny: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "sweep"
    words = ["hydra/launcher=submitit_local", "loss.lmbda=0.01", f"hydra.sweep.dir={folder}"]
    steps = ["trainer.max_steps=400", "trainer.val_check_interval=100"]
    process = _sweep(*words, *tiny, *steps, wait=False)
    try:
        deadline = time.monotonic() + 90
        while not list(folder.rglob("last.ckpt")):
            assert process.poll() is None, process.stdout.read()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        job = next(path for path in (folder / ".submitit").iterdir() if path.name.isdigit())
        children = Path(f"/proc/{job.name}/task/{job.name}/children").read_text().split()
        os.kill(int(children[0]), signal.SIGUSR2)  # as Slurm does before the time limit
        text, _ = process.communicate(timeout=90)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    log = "".join(path.read_text() for path in job.glob("*_log.*"))
    assert process.returncode == 0, text + log
    assert "Requeued job" in log
    assert "goes on from its last checkpoint" in log
    assert _steps(folder) == [400]


def test_the_slurm_script_asks_for_a_gpu_a_signal_and_a_requeue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from submitit.slurm.slurm import _make_sbatch_string

    srun = tmp_path / "srun"  # submitit looks for it, no more
    srun.touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    register_config()
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        config = compose(
            "train",
            ["hydra/launcher=tng_slurm", "hydra.launcher.partition=gpu", "hydra.job.name=tng"],
            return_hydra_config=True,
        )
    launcher: Any = OmegaConf.to_container(config.hydra.launcher, resolve=False)
    assert launcher["max_num_timeout"] > 0
    script = _script(launcher, tmp_path, _make_sbatch_string)
    for line in (
        "--partition=gpu",
        "--gpus-per-node=1",
        "--signal=USR2@180",
        "--requeue",
        "--time=240",
    ):
        assert f"#SBATCH {line}" in script.splitlines(), script


def _script(launcher: dict[str, Any], folder: Path, make: Any) -> str:
    """The launcher's settings, through submitit's own translation, as an sbatch script."""
    from hydra_plugins.hydra_submitit_launcher.config import BaseQueueConf

    common = set(OmegaConf.structured(BaseQueueConf))
    parameters = {
        key if key in common else f"slurm_{key}": value
        for key, value in launcher.items()
        if key not in ("_target_", "submitit_folder", "max_num_timeout")
    }
    parameters["name"] = "tng"
    executor = submitit.AutoExecutor(folder, cluster="slurm")
    executor.update_parameters(**parameters)
    return str(make(folder=folder, command="true", **executor._executor.parameters))


def test_a_codec_that_is_too_slow_to_decode_is_not_trained(
    run: Callable[..., TrainResult], tmp_path: Path
) -> None:
    codec = load(run("max_kmac=1000").best)
    expected = details(codec)["decoder_kmac"]
    assert decoder_kmac(codec.model) == pytest.approx(expected, rel=1e-6)
    with pytest.raises(TooComplexError, match=f"{expected:.1f} kMAC.*max_kmac="):
        run(f"max_kmac={0.99 * expected}", name="slow")
    assert not (tmp_path / "slow").exists()


def test_a_search_learns_from_the_validation_loss(tiny: list[str], tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    words = ["+search=width", "hydra.sweeper.n_trials=2", f"hydra.sweep.dir={tmp_path}"]
    _sweep(*words, *(word for word in tiny if word != "encoder.N=8"), "encoder.N=choice(8)")
    found = OmegaConf.load(tmp_path / "optimization_results.yaml")
    assert isinstance(found, DictConfig)
    assert found.best_params["encoder.N"] == 8
    assert math.isfinite(found.best_value)


def test_a_search_goes_on_past_codecs_that_are_too_slow(tiny: list[str], tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    words = ["+search=width", "hydra.sweeper.n_trials=2", f"hydra.sweep.dir={tmp_path}"]
    rest = (word for word in tiny if word != "encoder.N=8")
    _sweep(*words, *rest, "encoder.N=choice(8)", "max_kmac=0.001")
    found = OmegaConf.load(tmp_path / "optimization_results.yaml")
    assert isinstance(found, DictConfig)
    assert found.best_value == math.inf
    assert not list(tmp_path.rglob("*.ckpt"))  # counted, not trained
