"""The trainings of a screening: same budget, same seeds, each at most once."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import lightning.pytorch as pl

from tngexp.common.atomic import replacing
from tngexp.common.configuration import slug
from tngexp.model.files import locate, read_checkpoint
from tngexp.types import ConfigError

__all__ = ["LossTrace", "Run", "Trace", "run_all", "weights_content"]

_TRACE = "trace.json"
_MADE_OF = "made-of.json"


class Run(NamedTuple):
    """One training of a screening."""

    variant: str  # its overrides, or "base"
    overrides: tuple[str, ...]
    seed: int

    def folder(self, out: Path) -> Path:
        """Where its files go; no other run has the same."""
        name = slug(self.variant)
        if name != self.variant:  # others may look alike when shortened
            name += "-" + hashlib.sha256(self.variant.encode()).hexdigest()[:8]
        return out / name / f"seed{self.seed}"


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
    made_of: Callable[[Run], Mapping[str, Any]],
    announce: Callable[[str], None] = print,
) -> dict[Run, Trace]:
    """Train what is not trained yet; a training that was interrupted goes on.

    Args:
        runs: in the order they are trained.
        out: folder of all.
        train: trains a run into its folder, from a checkpoint if given, with a
            :class:`LossTrace` among its callbacks.
        made_of: all that decides what a run will become, as plain data: its whole configuration,
            and the content of what that names.
        announce: told about each training that starts.

    Raises:
        ConfigError: when a folder holds a run of other overrides, options or data.
    """
    ingredients = {run: json.loads(json.dumps(made_of(run), default=str)) for run in runs}
    finished = {}
    for run in runs:  # conflicts show first
        finished[run] = _finished(run.folder(out), run)
        _check_made_of(run.folder(out), ingredients[run])
    traces = {}
    for number, run in enumerate(runs, start=1):
        trace = finished[run]
        if trace is None:
            folder = run.folder(out)
            last = folder / "checkpoints" / "last.ckpt"
            announce(f"{number} of {len(runs)}: {run.variant}, seed {run.seed}")
            folder.mkdir(parents=True, exist_ok=True)
            _write_json(folder / _MADE_OF, ingredients[run])
            train(run, folder, last if last.exists() else None)
            trace = _read(last)
            _write_json(folder / _TRACE, {**run._asdict(), **trace._asdict()})
        traces[run] = trace
    return traces


def weights_content(checkpoint: str | None) -> str | None:
    """A SHA-256 of the file that a training starts from; None for none, or one that is missing."""
    path = None if checkpoint is None else locate(checkpoint)
    if path is None or not path.is_file():
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content) + "\n", encoding="utf-8")


def _check_made_of(folder: Path, now: Mapping[str, Any]) -> None:
    """Raise ConfigError when ``folder`` holds a run, finished or not, that is made of others."""
    if not any((folder / part).exists() for part in (_TRACE, "checkpoints")):
        return
    advice = "choose another out=DIR, or delete the folder"
    try:
        before = json.loads((folder / _MADE_OF).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            f"{folder} holds a training that does not say which data and options it is of "
            f"(earlier versions did not note them): {advice}"
        ) from None
    except ValueError as error:
        raise ConfigError(f"{folder / _MADE_OF} is damaged: {advice}") from error
    old, new = _flat(before), _flat(now)
    changed = [key for key in sorted({*old, *new}) if old.get(key) != new.get(key)]
    if changed:
        listed = ", ".join(changed[:4]) + (", …" if len(changed) > 4 else "")
        raise ConfigError(f"{folder} holds a training with other {listed}: {advice}")


def _flat(content: Any, prefix: str = "") -> dict[str, Any]:
    """``{"a": {"b": 1}}`` → ``{"a.b": 1}``."""
    if not isinstance(content, Mapping):
        return {prefix: content}
    return {
        name: value
        for key, item in content.items()
        for name, value in _flat(item, f"{prefix}.{key}" if prefix else str(key)).items()
    }


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
