"""Two processes train as one with twice the batch."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tngexp.cli.train import main
from tngexp.devices.distributed import processes
from tngexp.runs.interrupt import Interrupted, StopRequest
from tngexp.schema.trainer import TrainerConf
from tngexp.training.train import TrainResult
from tngexp.types import ConfigError

# Neither draws noise, whose seed depends on the process.
EXACT = ["quantizer=ste", "rate=fixed", "trainer.precision=32-true", "logger=csv"]
# Adam's usual 1e-8 blows rounding of a gradient near zero up to a whole step.
EXACT += ["+optimizer.eps=1e-4"]
TWO = ["trainer=ddp", "trainer.devices=2", "trainer.accelerator=cpu"]


def _trace(result: TrainResult, column: str) -> list[float]:
    assert result.logs is not None
    with next(Path(result.logs).rglob("metrics.csv")).open() as file:
        return [float(row[column]) for row in csv.DictReader(file) if row.get(column)]


def _weights(result: TrainResult) -> torch.Tensor:
    state = torch.load(result.last, weights_only=True)["raw_state_dict"]
    return torch.cat([v.flatten() for v in state.values() if v.is_floating_point()])


def test_two_processes_are_one_with_the_same_global_batch(
    run: Callable[..., TrainResult],
) -> None:
    steps = ["trainer.max_steps=4", "trainer.val_check_interval=2", "callbacks.ema.decay=0.5"]
    one = run(*EXACT, *steps, "data.batch_size=4", "trainer.accelerator=cpu", name="one")
    two = run(*TWO, *EXACT, *steps, "data.batch_size=2", name="two")
    for column in ("train/loss", "train/psnr", "train/grad_norm", "val/loss", "val/psnr"):
        expected, found = _trace(one, column), _trace(two, column)
        assert len(expected) >= 2
        assert found == pytest.approx(expected, rel=1e-5), column
    assert (_weights(two) - _weights(one)).norm() <= 1e-5 * _weights(one).norm()
    names = [sorted(p.name for p in result.run_dir.rglob("*.*")) for result in (one, two)]
    assert names[0] == names[1]  # the second process has written nothing


def test_a_stop_of_one_process_stops_both_and_resumes_exactly(
    run: Callable[..., TrainResult],
) -> None:
    plan = [*TWO, *EXACT, "trainer.max_steps=3", "callbacks.ema.decay=0.5"]
    whole = run(*plan, name="whole")
    stop = StopRequest()
    stop.set(signal.SIGTERM)  # as if the signal had reached the first process only
    with pytest.raises(Interrupted) as stopped:
        run(*plan, name="part", stop=stop)
    assert stopped.value.step == 1
    rest = run(*plan, name="rest", resume=str(stopped.value.checkpoint))
    assert torch.equal(_weights(rest), _weights(whole))
    assert rest.val == whole.val
    assert not any(name in os.environ for name in ("LOCAL_RANK", "MASTER_PORT"))


@pytest.mark.slow
def test_torchrun_gives_one_run_and_one_summary(tiny: list[str], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node=2", "-m", "tngexp.train", "trainer=ddp"]
    command += ["trainer.accelerator=cpu", f"hydra.run.dir={tmp_path / 'run'}", *tiny]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("all in ") == 1
    assert (tmp_path / "run/checkpoints/best.ckpt").is_file()


def test_another_process_that_fails_ends_the_run_with_its_reason(
    tiny: list[str], tmp_path: Path
) -> None:
    # The first process waits for the second in torch, where no exception reaches it.
    (tmp_path / "sitecustomize.py").write_text(
        "import os, sys\n"
        "if 'tngexp.training.further_process' in sys.orig_argv:\n"
        "    print('error: out of memory', file=sys.stderr, flush=True)\n"
        "    os._exit(2)\n"
    )
    code = (
        "import sys, tngexp.train, tngexp.devices.distributed as d; d._STUCK_S = 1\n"
        "sys.exit(tngexp.cli.train.main())"
    )
    words = [*tiny, *TWO, f"hydra.run.dir={tmp_path / 'run'}"]
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 2
    assert "process 1 of the training failed: out of memory" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_sweep_in_one_process_is_refused(
    tiny: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["-m", *tiny, *TWO, "loss.lmbda=0.01,0.02", f"hydra.sweep.dir={tmp_path}"]
    assert main(words) == 2
    assert "hydra/launcher=joblib" in capsys.readouterr().err


def _settings(**values: object) -> TrainerConf:
    return TrainerConf.from_config({"max_steps": 1, "val_check_interval": 1, **values})


@pytest.mark.parametrize(
    ("environment", "values", "message"),
    [
        ({}, {"num_nodes": 2}, "torchrun"),
        ({}, {"devices": 0}, "trainer.devices=0"),
        (
            {"SLURM_NTASKS": "4", "SLURM_PROCID": "1", "SLURM_NTASKS_PER_NODE": "4"},
            {"devices": 2},
            "Slurm started 4",
        ),
        ({"SLURM_NTASKS": "2", "SLURM_PROCID": "1"}, {"devices": 2}, "--ntasks-per-node"),
    ],
)
def test_contradictions_are_named(
    environment: dict[str, str],
    values: dict[str, object],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=message):
        processes(_settings(**values), "cpu")


def test_a_run_on_one_device_ignores_the_other_tasks_of_a_slurm_job(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SLURM_NTASKS", "4")
    monkeypatch.setenv("SLURM_PROCID", "3")
    team = processes(_settings(), "cpu")
    assert (team.rank, team.world_size, team.start) == (0, 1, False)
