"""The finished runs of a sweep, sorted into a base and its variants, and paired."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tngexp.common.folders import shown_path
from tngexp.runs.learning_curve import LEARNING_CURVE, LearningCurve
from tngexp.studies.identity import is_free
from tngexp.studies.marker import MARKER, Marker
from tngexp.types import ConfigError

__all__ = ["NO_OVERRIDE", "ScreenedRun", "Variants", "find_runs", "sort_runs"]

NO_OVERRIDE = "no override"
"""What the variant is called that sets none of the options in which the others differ."""

_EARLIER = ("trace.json", "made-of.json")  # of screenings that trained their runs themselves


class ScreenedRun(NamedTuple):
    """A finished run, as a screening needs it."""

    folder: Path
    overrides: dict[str, str]  # option → the word of the command line that sets it
    config: dict[str, Any]
    curve: LearningCurve
    job: int  # its number in the sweep that trained it


class Variants(NamedTuple):
    """The runs of a screening: name of the variant → value of the pairing option → run."""

    base: str
    runs: dict[str, dict[str, ScreenedRun]]  # the base first
    options: set[str]  # in which the variants differ


def find_runs(folders: Sequence[Path]) -> tuple[list[ScreenedRun], list[str]]:
    """The finished runs below ``folders``, and a line about those that are not.

    Raises:
        ConfigError: when there is no finished run, or one that does not tell what is needed.
    """
    found: list[ScreenedRun] = []
    unfinished: list[Path] = []
    for folder in folders:
        if not folder.is_dir():
            raise ConfigError(f"runs={folder} is no folder; give that of a sweep, multirun/NAME")
        for place in _run_folders(folder):
            marker = Marker.read(place)
            if marker is None or not marker.complete:
                unfinished.append(place)
            else:
                found.append(_run(place, marker))
    names = ", ".join(shown_path(place) for place in unfinished)
    again = "repeat the command that trains them, and they go on"
    if not found:
        raise ConfigError(_nothing(folders, f"{names} not finished; {again}" if names else None))
    notes = [f"left out, because not finished: {names}; {again}"] if names else []
    return found, notes


def _run_folders(folder: Path) -> Iterator[Path]:
    """Where a run of a sweep has ended or begun, in the order of their paths."""
    parts = (MARKER, ".hydra", "checkpoints")
    places = {path.parent for part in parts for path in folder.rglob(part)}
    for place in sorted(places):
        if (place / MARKER).exists() or not any((place / name).exists() for name in _EARLIER):
            yield place


def _nothing(folders: Sequence[Path], unfinished: str | None) -> str:
    where = ", ".join(shown_path(folder) for folder in folders)
    if unfinished is not None:
        return f"no run in {where} can be compared: {unfinished}"
    if any(path for name in _EARLIER for folder in folders for path in folder.rglob(name)):
        return (
            f"{where} holds a screening of an earlier version, which this one cannot continue. Its "
            "findings stay in screen.json and screen.png there; to compare further, train its runs "
            "anew: python -m tngexp.train -m experiment=screen seed=0,1,2 …"
        )
    return (
        f"there is no run of a sweep in {where}; train some first: python -m tngexp.train -m "
        "experiment=screen seed=0,1,2 quantizer=mixed,ste"
    )


def _run(place: Path, marker: Marker) -> ScreenedRun:
    curve = LearningCurve.read(place)
    if curve is None or marker.job is None:
        raise ConfigError(
            f"{shown_path(place)} has been trained by an earlier version, which left no "
            f"{LEARNING_CURVE}; delete the folder and repeat the command that trained it"
        )
    if not curve.steps or curve.steps[-1] < marker.steps:
        raise ConfigError(
            f"{shown_path(place)} has been stopped between its last step and the validation after "
            "it; delete the folder and repeat the command that trained it"
        )
    if curve.val_loss[-1] is None:
        raise ConfigError(
            f"{shown_path(place)} has no validation loss at its end (are the validation photos "
            "too small for the loss?); leave it out of runs=…"
        )
    words = {word.lstrip("+~").partition("=")[0]: word for word in marker.overrides}
    return ScreenedRun(place, words, marker.config, curve, marker.job)


def sort_runs(runs: Sequence[ScreenedRun], pair: str, base: Sequence[str] = ()) -> Variants:
    """Runs by what they vary and by the value of the pairing option.

    Args:
        runs: all finished ones.
        pair: the option by which a run of a variant and one of the base belong together.
        base: overrides of the base, or none: then it is the variant that has none, else the one
            with the first value of each option.

    Raises:
        ConfigError: when two runs are of one variant and pair, or the base cannot be told.
    """
    options = _varied(runs, pair)
    names = {run.folder: _name(run, options) for run in runs}
    order = _order(runs, options)
    sorted_runs: dict[str, dict[str, ScreenedRun]] = {}
    for run in sorted(runs, key=lambda run: (order[names[run.folder]], run.job)):
        same = sorted_runs.setdefault(names[run.folder], {})
        value = str(_value(run, pair))
        if value in same:
            raise ConfigError(
                f"{shown_path(same[value].folder)} and {shown_path(run.folder)} are both runs of "
                f"{names[run.folder]} with {pair}={value}; list the ones to compare, runs=[DIR,DIR]"
            )
        same[value] = run
    if len(sorted_runs) < 2:
        raise ConfigError(
            "there is nothing to compare: the finished runs are all of one variant. Sweep an "
            f"option besides {pair}, such as quantizer=mixed,ste"
        )
    chosen = _base(sorted_runs, options, base)
    return Variants(chosen, {chosen: sorted_runs.pop(chosen), **sorted_runs}, {*options})


def _varied(runs: Sequence[ScreenedRun], pair: str) -> list[str]:
    """The options in which runs differ, in the order of their command lines."""
    given = dict.fromkeys(option for run in runs for option in run.overrides)
    return [
        option
        for option in given
        if option != pair
        and not is_free(option)
        and len({run.overrides.get(option) for run in runs}) > 1
    ]


def _name(run: ScreenedRun, options: Sequence[str]) -> str:
    return " ".join(run.overrides[o] for o in options if o in run.overrides) or NO_OVERRIDE


def _order(runs: Sequence[ScreenedRun], options: Sequence[str]) -> dict[str, int]:
    """Variant → the smallest number of its jobs: a sweep starts with the first values."""
    order: dict[str, int] = {}
    for run in runs:
        name = _name(run, options)
        order[name] = min(run.job, order.get(name, run.job))
    return order


def _base(
    variants: Mapping[str, Mapping[str, ScreenedRun]], options: Sequence[str], base: Sequence[str]
) -> str:
    words = {
        name: {run.overrides[o] for o in options if o in run.overrides}
        for name, runs in variants.items()
        for run in runs.values()
    }
    listed = "; ".join(variants)
    if base:
        fitting = [name for name in variants if name in base or {*base} <= words[name]]
        if len(fitting) != 1:
            raise ConfigError(
                f"base={' '.join(base)} names {'no' if not fitting else 'more than one'} variant; "
                f"choose one of: {listed}"
            )
        return fitting[0]
    if NO_OVERRIDE in variants:
        return NO_OVERRIDE
    first = [min(run.job for run in runs.values()) for runs in variants.values()]
    if first.count(min(first)) > 1:
        raise ConfigError(
            "several commands have trained these runs, so none of the variants is the first; say "
            f'which is the base, base="…": {listed}'
        )
    return list(variants)[first.index(min(first))]


def _value(run: ScreenedRun, option: str) -> Any:
    """Of an option with dots in the run's configuration."""
    value: Any = run.config
    for part in option.split("."):
        if not isinstance(value, Mapping) or part not in value:
            raise ConfigError(
                f"pair={option} is no option of {shown_path(run.folder)}; runs are paired by an "
                "option that all of them have, such as pair=seed"
            )
        value = value[part]
    return value
