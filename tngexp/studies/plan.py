"""What a job of a sweep finds in its folder: a finished run, an interrupted one, or nothing.

A run of a sweep leaves ``run.json`` when it ends. With it the same command can be given again: what
is finished is skipped, what was interrupted goes on, and what failed starts anew.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from tngexp.common.folders import shown_path
from tngexp.model.files import read_checkpoint
from tngexp.runs.export import add_tables
from tngexp.runs.summary import TrainResult
from tngexp.schema.run import complete
from tngexp.schema.trainer import seconds_of
from tngexp.studies.contents import CONTENTS, contents_of
from tngexp.studies.identity import (
    check_same,
    differences,
    identity_of,
    of_today,
    other_contents,
)
from tngexp.studies.marker import MARKER, Marker
from tngexp.training.resume import Before
from tngexp.types import ConfigError

__all__ = ["ALONG", "Job", "Plan", "finish", "ladder_values", "plan", "renumbered"]

ALONG = "loss.lmbda"
"""The option whose values are the points of a curve, and the steps of a ladder."""


class Job(NamedTuple):
    """What Hydra calls the run."""

    overrides: Sequence[str] = ()
    number: int | None = None


_NO_JOB = Job()


@dataclass(frozen=True)
class Plan:
    """What a job is to do: nothing if ``done``, else train ``config``."""

    config: dict[str, Any]
    identity: dict[str, Any]  # what the marker will hold
    curve: str | None
    job: Job
    done: Marker | None = None


def plan(
    config: Mapping[str, Any], curve: str | None, neighbour: Path | None, job: Job = _NO_JOB
) -> Plan:
    """Decide what is left to do for the run ``config``, by what lies in its ``run_dir``.

    Args:
        config: plain, resolved ``conf/train.yaml``.
        curve: label of the curve that the run is a point of, to be recorded.
        neighbour: run folder of the ladder's previous step; None for the first, or no ladder.
        job: to be recorded.

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
        if (seconds := seconds_of(trainer["max_time"])) is not None:
            trainer["max_time"] = {"seconds": seconds * ladder["fraction"]}
        config |= {"trainer": trainer, "init_from": str(neighbour / "checkpoints" / "best.ckpt")}
    # A ladder's weights follow from it.
    contents = contents_of(config if ladder is None else {**config, "init_from": None})
    config |= {CONTENTS: contents}
    identity = identity_of(config)
    run_dir = Path(config["run_dir"])
    last = run_dir / "checkpoints" / "last.ckpt"
    marker = Marker.read(run_dir)
    if marker is not None:
        check_same(of_today(marker.config), identity, run_dir)
        if marker.complete:
            return Plan(config, identity, curve, job, done=marker)
    if last.is_file():
        limit = seconds_of(config["trainer"]["max_time"])
        done = _from_checkpoint(last, identity, curve, run_dir, limit)
        if done is not None:
            done = _named(done, job)
            if marker is None:  # stopped between the last step and the marker
                done.write(run_dir)
            return Plan(config, identity, curve, job, done=marker or done)
        return Plan(config | {"resume": str(last), "init_from": None}, identity, curve, job)
    if ladder is not None and neighbour is not None:
        _check_neighbour(neighbour, identity)
    return Plan(config, identity, curve, job)


def renumbered(config: Mapping[str, Any]) -> Path | None:
    """The folder beside ``run_dir`` where the same run has ended as another job; None for none.

    A list of values alone gives folders the numbers of the jobs, and one more value, or one more
    option, renumbers them.

    Args:
        config: plain, resolved ``conf/train.yaml``.
    """
    run_dir = Path(config["run_dir"])
    last = run_dir / "checkpoints" / "last.ckpt"
    if config.get("ladder") is not None or not re.match(r"\d+_", run_dir.name):
        return None
    if last.is_file() or (run_dir / MARKER).is_file():
        return None
    identity = identity_of(complete(config))
    for path in sorted(run_dir.parent.glob(f"[0-9]*_*/{MARKER}")):
        marker = Marker.read(path.parent)
        if marker is not None and not differences(of_today(marker.config), identity):
            return path.parent
    return None


def finish(plan: Plan, result: TrainResult) -> None:
    """Leave the marker of a run that has ended."""
    # More time would train on; what a callback has ended, such as EarlyStopping, is over.
    whole = result.time_limit is None
    marker = _marker(plan.identity, plan.curve, result.steps, result.val_loss, whole)
    _named(marker, plan.job).write(result.run_dir)


def _fingerprint(identity: Mapping[str, Any]) -> str:
    """Equal for equal configurations, whatever the order of their keys."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def _marker(
    identity: dict[str, Any], curve: str | None, steps: int, val_loss: float, whole: bool
) -> Marker:
    value = val_loss if math.isfinite(val_loss) else None  # JSON has no NaN
    return Marker(whole, _fingerprint(identity), identity, curve, steps, value)


def _named(marker: Marker, job: Job) -> Marker:
    return replace(marker, overrides=list(job.overrides), job=job.number)


def _from_checkpoint(
    last: Path,
    identity: Mapping[str, Any],
    curve: str | None,
    run_dir: Path,
    limit: float | None,
) -> Marker | None:
    """Check that ``last`` may be continued; the marker of its run if its budget is used up."""
    checkpoint = read_checkpoint(last)
    before = identity_of(checkpoint["tngexp"]["config"])
    # A continued run has no init_from any more.
    now = {key: value for key, value in identity.items() if key != "init_from"}
    before.pop("init_from", None)
    check_same(before, now, run_dir)
    step = int(checkpoint["global_step"])
    whole = step >= identity["trainer"]["max_steps"]
    if not whole and (limit is None or Before.of(checkpoint).seconds < limit):
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
        for change in differences(of_today(marker.config), identity)
        if not change.partition(":")[0].endswith((".lmbda", "trainer.max_steps"))
    ] + other_contents(marker.config, identity)
    if changed:
        raise ConfigError(
            f"this step of the ladder starts from {shown_path(neighbour)}, a run of another "
            f"configuration ({', '.join(changed[:4])}); choose another folder with "
            "hydra.sweep.dir=DIR."
        )


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
