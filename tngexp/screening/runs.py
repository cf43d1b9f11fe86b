"""The trainings of a screening: same budget, same seeds, each at most once."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import lightning.pytorch as pl

from tngexp._conf import slug
from tngexp.io import read_checkpoint
from tngexp.types import ConfigError

__all__ = ["LossTrace", "Run", "Trace", "run_all"]

_TRACE = "trace.json"


class Run(NamedTuple):
    """One training of a screening."""

    variant: str  # its overrides, or "base"
    overrides: tuple[str, ...]
    seed: int

    def folder(self, out: Path) -> Path:
        """Where its files go."""
        return out / slug(self.variant) / f"seed{self.seed}"


class Trace(NamedTuple):
    """What a training left: its validation loss over time, and what it cost."""

    steps: list[int]
    losses: list[float]
    seconds: float
    parameters: int


class LossTrace(pl.Callback):
    """Collects the validation loss; what it has travels in the run's checkpoints."""

    def __init__(self) -> None:
        self._steps: list[int] = []
        self._losses: list[float] = []
        self._before = 0.0  # seconds of earlier parts of the run
        self._started = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._started = time.perf_counter()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not trainer.sanity_checking:
            self._steps.append(trainer.global_step)
            self._losses.append(float(trainer.callback_metrics["val/loss"]))

    def state_dict(self) -> dict[str, Any]:
        seconds = self._before + time.perf_counter() - self._started
        return {"steps": self._steps, "losses": self._losses, "seconds": seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._steps, self._losses = list(state_dict["steps"]), list(state_dict["losses"])
        self._before = float(state_dict["seconds"])


def run_all(
    runs: Sequence[Run],
    out: Path,
    train: Callable[[Run, Path, Path | None], object],
    announce: Callable[[str], None] = print,
) -> dict[Run, Trace]:
    """Train what is not trained yet; a training that was interrupted goes on.

    Args:
        runs: in the order they are trained.
        out: folder of all.
        train: trains a run into its folder, from a checkpoint if given, with a
            :class:`LossTrace` among its callbacks.
        announce: told about each training that starts.

    Raises:
        ConfigError: when a folder holds a run of other overrides.
    """
    finished = {run: _finished(run.folder(out), run) for run in runs}  # conflicts show first
    traces = {}
    for number, run in enumerate(runs, start=1):
        trace = finished[run]
        if trace is None:
            folder = run.folder(out)
            last = folder / "checkpoints" / "last.ckpt"
            announce(f"{number} of {len(runs)}: {run.variant}, seed {run.seed}")
            train(run, folder, last if last.exists() else None)
            trace = _read(last)
            _write(folder / _TRACE, {**run._asdict(), **trace._asdict()})
        traces[run] = trace
    return traces


def _read(checkpoint: Path) -> Trace:
    """What the callback has left in a run's last checkpoint."""
    content = read_checkpoint(checkpoint)
    state = next(s for key, s in content["callbacks"].items() if key.startswith("LossTrace"))
    size = sum(
        tensor.numel()
        for name, tensor in content["state_dict"].items()
        if name.startswith("codec.") and tensor.is_floating_point()
    )
    return Trace(state["steps"], state["losses"], state["seconds"], size)


def _write(path: Path, content: Mapping[str, Any]) -> None:
    beside = path.with_name(f".{path.name}.partial")
    beside.write_text(json.dumps(content) + "\n", encoding="utf-8")
    beside.replace(path)


def _finished(folder: Path, run: Run) -> Trace | None:
    path = folder / _TRACE
    if not path.is_file():
        return None
    try:
        content: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        overrides = tuple(content["overrides"])
        trace = Trace(*(content[name] for name in Trace._fields))
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path}: not a trace of a screening; choose another out=DIR") from error
    if overrides != run.overrides:
        raise ConfigError(
            f"{folder} holds a training with {' '.join(overrides)}; this one is "
            f"{' '.join(run.overrides)}: choose another out=DIR, or delete the folder"
        )
    return trace
