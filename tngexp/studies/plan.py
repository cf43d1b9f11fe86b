"""What a job of a sweep finds in its folder: a finished run, an interrupted one, or nothing.

A run of a sweep leaves ``run.json`` when it ends. With it the same command can be given again: what
is finished is skipped, what was interrupted goes on, and what failed starts anew.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tngexp.common.atomic import replacing
from tngexp.common.folders import shown_path
from tngexp.model.files import read_checkpoint
from tngexp.model.legacy import modernise_run
from tngexp.runs.export import add_tables
from tngexp.runs.summary import TrainResult
from tngexp.schema.run import complete
from tngexp.training.resume import Before
from tngexp.types import ConfigError

__all__ = [
    "ALONG",
    "MARKER",
    "Marker",
    "Plan",
    "finish",
    "is_left",
    "ladder_values",
    "markers",
    "plan",
]

MARKER = "run.json"
ALONG = "loss.lmbda"
"""The option whose values are the points of a curve, and the steps of a ladder."""

_FOLDER = "hydra.sweep.dir"

# What may change between two calls of one command without making it another run.
_FREE = ("name", "group", "run_dir", "resume", "logger", "report")
_FREE_TRAINER = ("max_minutes", "progress")


@dataclass(frozen=True)
class Marker:
    """The content of ``run.json``."""

    complete: bool  # False: ended by trainer.max_minutes, and can go on with more of them
    fingerprint: str  # of config
    config: dict[str, Any]  # what the run trained with, less what may change
    curve: str | None  # label of the curve it is a point of; None if that cannot be told
    steps: int
    val_loss: float | None

    @classmethod
    def read(cls, run_dir: Path) -> Marker | None:
        """The marker of the run in ``run_dir``; None when no run has ended there."""
        path = run_dir / MARKER
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError) as error:
            raise ConfigError(
                f"{path} is damaged; delete it, and the run goes on from its last checkpoint"
            ) from error

    def write(self, run_dir: Path) -> None:
        """Whole or not at all: half a marker would stop the sweep."""
        with replacing(run_dir / MARKER) as temporary:
            temporary.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")


@dataclass(frozen=True)
class Plan:
    """What a job is to do: nothing if ``done``, else train ``config``."""

    config: dict[str, Any]
    identity: dict[str, Any]  # what the marker will hold
    curve: str | None
    done: Marker | None = None


def plan(config: Mapping[str, Any], curve: str | None, neighbour: Path | None) -> Plan:
    """Decide what is left to do for the run ``config``, by what lies in its ``run_dir``.

    Args:
        config: plain, resolved ``conf/train.yaml``.
        curve: label of the curve that the run is a point of, to be recorded.
        neighbour: run folder of the ladder's previous step; None for the first, or no ladder.

    Raises:
        ConfigError: when the folder holds another run, or the neighbour's is missing.
    """
    config = complete(config)
    if config["resume"]:
        raise ConfigError(
            "resume=… continues one run, not a sweep; to continue a sweep repeat its command "
            "(with hydra.sweep.dir=DIR for the folder it went to)."
        )
    ladder = config.get("ladder")
    if ladder is not None:
        _check_fraction(ladder)
    if ladder is not None and neighbour is not None:
        trainer = dict(config["trainer"])
        trainer["max_steps"] = math.ceil(ladder["fraction"] * trainer["max_steps"])
        if trainer.get("max_minutes") is not None:
            trainer["max_minutes"] *= ladder["fraction"]
        config |= {"trainer": trainer, "init_from": str(neighbour / "checkpoints" / "best.ckpt")}
    identity = _identity(config)
    run_dir = Path(config["run_dir"])
    last = run_dir / "checkpoints" / "last.ckpt"
    marker = Marker.read(run_dir)
    if marker is not None:
        _check_same(modernise_run(marker.config), identity, run_dir, _FOLDER)
        if marker.complete:
            return Plan(config, identity, curve, done=marker)
    if last.is_file():
        minutes = config["trainer"].get("max_minutes")
        done = _from_checkpoint(last, identity, curve, run_dir, minutes)
        if done is not None:
            if marker is None:  # stopped between the last step and the marker
                done.write(run_dir)
            return Plan(config, identity, curve, done=marker or done)
        return Plan(config | {"resume": str(last), "init_from": None}, identity, curve)
    if ladder is not None and neighbour is not None:
        _check_neighbour(neighbour, identity)
    return Plan(config, identity, curve)


def is_left(last: Path, config: Mapping[str, Any], option: str) -> bool:
    """Whether steps are left of a run whose latest checkpoint is ``last``.

    Args:
        last: ``last.ckpt`` in the folder that ``config`` names as its ``run_dir``.
        config: plain, resolved ``conf/train.yaml``.
        option: what chooses another folder.

    Raises:
        ConfigError: when the run there has another configuration.
    """
    run_dir = Path(config["run_dir"])
    identity = _identity(complete(config))
    return _from_checkpoint(last, identity, None, run_dir, None, option) is None


def finish(plan: Plan, result: TrainResult) -> None:
    """Leave the marker of a run that has ended."""
    whole = result.steps >= result.max_steps
    _marker(plan.identity, plan.curve, result.steps, result.val_loss, whole).write(result.run_dir)


def markers(sweep_dir: Path) -> dict[Path, Marker]:
    """The runs below ``sweep_dir`` that have ended and whose best checkpoint is there."""
    found = {}
    for path in sorted(sweep_dir.rglob(MARKER)):
        marker = Marker.read(path.parent)
        if marker is not None and (path.parent / "checkpoints" / "best.ckpt").is_file():
            found[path.parent] = marker
    return found


def _fingerprint(identity: Mapping[str, Any]) -> str:
    """Equal for equal configurations, whatever the order of their keys."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def _marker(
    identity: dict[str, Any], curve: str | None, steps: int, val_loss: float, whole: bool
) -> Marker:
    value = val_loss if math.isfinite(val_loss) else None  # JSON has no NaN
    return Marker(whole, _fingerprint(identity), identity, curve, steps, value)


def _identity(config: Mapping[str, Any]) -> dict[str, Any]:
    """``config`` without what may change from call to call."""
    kept = {key: value for key, value in modernise_run(config).items() if key not in _FREE}
    kept["trainer"] = {k: v for k, v in kept["trainer"].items() if k not in _FREE_TRAINER}
    if kept.get("ladder") is not None:
        kept.pop("init_from", None)  # follows from the ladder, as a path that may move
    kept = _without_folder(kept, str(config["run_dir"]))
    plain = json.loads(json.dumps(kept, default=str))  # as it will be read again
    assert isinstance(plain, dict)
    return plain


def _without_folder(value: Any, run_dir: str) -> Any:
    """Paths inside of the run's folder, relative to it: a sweep may be moved, or seen from afar."""
    if isinstance(value, Mapping):
        return {key: _without_folder(item, run_dir) for key, item in value.items()}
    if isinstance(value, str) and Path(run_dir) in (Path(value), *Path(value).parents):
        return str(Path("run_dir", Path(value).relative_to(run_dir)))
    return value


def _check_same(
    before: Mapping[str, Any], now: Mapping[str, Any], run_dir: Path, option: str
) -> None:
    changed = _differences(before, now)
    if changed:
        listed = ", ".join(changed[:4]) + (", …" if len(changed) > 4 else "")
        raise ConfigError(
            f"{shown_path(run_dir)} holds a run of another configuration ({listed}); choose "
            f"another folder with {option}=DIR, or delete this one."
        )


def _from_checkpoint(
    last: Path,
    identity: Mapping[str, Any],
    curve: str | None,
    run_dir: Path,
    minutes: float | None,
    option: str = _FOLDER,
) -> Marker | None:
    """Check that ``last`` may be continued; the marker of its run if its budget is used up."""
    checkpoint = read_checkpoint(last)
    before = _identity(checkpoint["tngexp"]["config"])
    # A continued run has no init_from any more.
    now = {key: value for key, value in identity.items() if key != "init_from"}
    before.pop("init_from", None)
    _check_same(before, now, run_dir, option)
    step = int(checkpoint["global_step"])
    whole = step >= identity["trainer"]["max_steps"]
    if not whole and (minutes is None or Before.of(checkpoint).seconds < 60 * minutes):
        return None
    # Where it stopped between the last step and the marker: do what was left undone.
    for path in (last, last.with_name("best.ckpt")):
        if path.is_file() and "coding" not in read_checkpoint(path)["tngexp"]:
            add_tables(path)
    return _marker(dict(identity), curve, step, math.nan, whole)


def _check_fraction(ladder: Mapping[str, Any]) -> None:
    fraction = ladder.get("fraction")
    if isinstance(fraction, bool) or not isinstance(fraction, int | float) or not 0 < fraction <= 1:
        raise ConfigError(
            f"ladder.fraction={fraction!r} must be a number above 0 and at most 1: the share of "
            "trainer.max_steps that each run after the first one trains."
        )


def _check_neighbour(neighbour: Path, identity: Mapping[str, Any]) -> None:
    """The run to start from must have ended, and belong to the same ladder."""
    marker = Marker.read(neighbour)
    if marker is None or not (neighbour / "checkpoints" / "best.ckpt").is_file():
        raise ConfigError(
            f"this step of the ladder starts from {shown_path(neighbour)}, whose run is missing or "
            "has failed; the jobs of a ladder run in order, one at a time. Repeat the command when "
            "that run can succeed: what is finished is skipped."
        )
    changed = [
        change
        for change in _differences(modernise_run(marker.config), identity)
        if not change.partition(":")[0].endswith((".lmbda", "trainer.max_steps"))
    ]
    if changed:
        raise ConfigError(
            f"this step of the ladder starts from {shown_path(neighbour)}, a run of another "
            f"configuration ({', '.join(changed[:4])}); choose another folder with "
            "hydra.sweep.dir=DIR."
        )


def _differences(before: Any, now: Any, key: str = "") -> list[str]:
    """``option: old there, new now`` for each leaf that differs."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        return [
            difference
            for name in sorted({*before, *now})
            for difference in _differences(
                before.get(name), now.get(name), f"{key}.{name}" if key else str(name)
            )
        ]
    return [] if before == now else [f"{key}: {before} there, {now} now"]


def ladder_values(text: str) -> Sequence[str]:
    """``2.40,4.58`` as Hydra names the values in folders: ``2.4``, ``4.58``."""
    values = []
    for word in text.split(","):
        try:
            values.append(str(int(word)))
        except ValueError:
            try:
                values.append(str(float(word)))
            except ValueError:
                raise ConfigError(
                    f"a ladder takes a list of numbers, {ALONG}=60.5,31.73, not {text!r}"
                ) from None
    return values
