"""kill -9 at any moment, then the same command: a sweep ends as if nothing had happened."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tngexp.io import read_checkpoint
from tngexp.runs.lock import RunLock
from tngexp.runs.summary import TrainResult
from tngexp.studies.marker import Marker
from tngexp.types import ConfigError

JOBS = ("loss.lmbda=0.0018", "loss.lmbda=0.025")
STEPS = 24
EVERY = 2  # steps between two checkpoints
START = 8.0  # seconds in which a process has not trained yet
DEADLINE = 120.0  # seconds after which a process hangs


def command(tiny: list[str], folder: Path) -> list[str]:
    values = ",".join(job.partition("=")[2] for job in JOBS)
    options = [
        *(
            word
            for word in tiny
            if not word.startswith(("trainer.max_steps=", "trainer.val_check_interval="))
        ),
        f"trainer.max_steps={STEPS}",
        f"trainer.val_check_interval={EVERY}",
        "+sweep=lambda_mse",
        f"loss.lmbda={values}",
        f"hydra.sweep.dir={folder}",
    ]
    return [sys.executable, "-m", "tngexp.train", "-m", *options]


def start(words: list[str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as stream:
        return subprocess.Popen(
            words,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )


def files(folder: Path) -> set[tuple[str, int]]:
    """The files of a sweep's checkpoints, partial ones too, as they are now."""
    found = set()
    for path in [*folder.glob("*/checkpoints/*"), *folder.glob("*/checkpoints/.*")]:
        try:
            found.add((str(path), path.stat().st_mtime_ns))
        except FileNotFoundError:
            continue  # renamed meanwhile
    return found


def kill(process: subprocess.Popen[bytes], folder: Path, rng: np.random.Generator) -> str | None:
    """SIGKILL after a random number of changes to the checkpoints; what was there, or its end."""
    changes = int(rng.integers(0, 9))
    begun = time.monotonic()
    limit = rng.uniform(0, START) if changes == 0 else DEADLINE
    before = files(folder)
    while process.poll() is None and time.monotonic() < begun + limit:
        now = files(folder)
        if now != before:
            before, changes = now, changes - 1
            if changes == 0:
                # Half of the time at once, in the middle of what is going on; else a little later.
                time.sleep(rng.choice([0.0, rng.uniform(0, 0.2)]))
                break
        time.sleep(0.0005)
    if process.poll() is not None:
        return None
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    partial = [Path(name).name for name, _ in files(folder) if Path(name).name.startswith(".")]
    return (
        f"after {time.monotonic() - begun:.1f} s, half-written: {', '.join(partial) or 'nothing'}"
    )


def weights(run: Path) -> dict[str, torch.Tensor]:
    """All tensors of the last checkpoint: weights, averages, moments of the optimizer."""
    found: dict[str, torch.Tensor] = {}

    def collect(value: Any, name: str) -> None:
        if isinstance(value, torch.Tensor):
            found[name] = value
        elif isinstance(value, dict):
            for key, item in value.items():
                collect(item, f"{name}.{key}")
        elif isinstance(value, list | tuple):
            for key, item in enumerate(value):
                collect(item, f"{name}.{key}")

    collect(read_checkpoint(run / "checkpoints" / "last.ckpt"), "")
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("kills", "seed"), [(3, 0), (24, 1)])
def test_a_killed_sweep_ends_with_the_weights_of_an_undisturbed_one(
    kills: int, seed: int, tiny: list[str], tmp_path: Path
) -> None:
    log = tmp_path / "log.txt"
    calm = start(command(tiny, tmp_path / "calm"), log)
    assert calm.wait(DEADLINE) == 0, log.read_text()

    folder = tmp_path / "disturbed"
    rng = np.random.default_rng(seed)
    done = 0
    while done < kills:
        outcome = kill(start(command(tiny, folder), log), folder, rng)
        if outcome is None:  # it got through; kill another one
            folder = tmp_path / f"disturbed-{done}"
            continue
        done += 1
        print(f"kill {done} {outcome}")
    last = start(command(tiny, folder), log)
    assert last.wait(DEADLINE) == 0, log.read_text()

    for job in JOBS:
        marker, other = Marker.read(folder / job), Marker.read(tmp_path / "calm" / job)
        assert marker is not None
        assert other is not None
        assert marker.complete
        assert marker.steps == STEPS
        assert marker.fingerprint == other.fingerprint
        expected, found = weights(tmp_path / "calm" / job), weights(folder / job)
        assert expected.keys() == found.keys()
        assert len(expected) > 100
        for name, tensor in expected.items():
            assert torch.equal(tensor, found[name]), name


def test_a_run_folder_has_one_process(run: Callable[..., TrainResult], tmp_path: Path) -> None:
    with RunLock() as other:
        other.claim(tmp_path / "run")
        with pytest.raises(ConfigError, match="another process is training in"):
            run()
        assert [path.name for path in (tmp_path / "run").iterdir()] == [".lock"]
    first = run()  # nothing has to be cleared
    assert first.steps == 2
    assert run("trainer.max_steps=3", f"resume={first.last}").steps == 3
