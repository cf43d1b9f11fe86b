"""What a finished sweep says of its variants: paired differences, a table and a plot."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tngexp.common.atomic import replacing
from tngexp.common.folders import expanded, shown_path
from tngexp.common.options import as_list
from tngexp.report.table import Cell, Column, Table
from tngexp.studies.screen_analysis import Curves, Difference, curves_of, judge
from tngexp.studies.screen_checks import check_comparable
from tngexp.studies.screen_plot import save_plot
from tngexp.studies.screen_runs import NO_OVERRIDE, Variants, find_runs, sort_runs
from tngexp.types import ConfigError

__all__ = ["Screening", "log_screening", "screen"]


class Screening(NamedTuple):
    """What a screening found."""

    base: str
    curves: dict[str, Curves]  # variant → its validation losses; the base first
    differences: dict[str, Difference | None]  # of the variants; None without a pair
    table: Table
    plot: Path
    notes: list[str]  # runs that were left out, and why


def screen(config: Mapping[str, Any]) -> Screening:
    """Judge the finished runs that ``conf/screen.yaml`` (plain) names.

    Raises:
        ConfigError: for options or runs that cannot be used.
    """
    notes: list[str] = []
    try:
        return _screen(config, notes)
    except ConfigError as error:
        # What was left out may be why.
        raise ConfigError("\n".join([str(error), *notes])) from error


def _screen(config: Mapping[str, Any], notes: list[str]) -> Screening:
    folders = [expanded(name) for name in as_list("runs", config["runs"])]
    if not folders:
        raise ConfigError("runs=[] names no sweep; give its folder, runs=multirun/NAME")
    pair, confidence = str(config["pair"]), _confidence(config["confidence"])
    runs, unfinished = find_runs(folders)
    notes += unfinished
    variants = sort_runs(runs, pair, _words(config["base"]))
    check_comparable(variants)

    finals = {
        name: {value: _final(run.curve.val_loss) for value, run in of_variant.items()}
        for name, of_variant in variants.runs.items()
    }
    base = finals[variants.base]
    differences = {
        name: judge(base, losses, confidence) if base.keys() & losses.keys() else None
        for name, losses in finals.items()
        if name != variants.base
    }
    notes += _unpaired(finals, variants.base, pair)
    if not any(differences.values()):
        raise ConfigError(
            f"no variant has a run with the same {pair} as one of the base, {variants.base}; train "
            f"both with the same values of {pair}, or choose another base=…"
        )
    curves = {
        name: curves_of({value: run.curve for value, run in of_variant.items()})
        for name, of_variant in variants.runs.items()
    }
    table = _table(variants, finals, differences, pair, confidence)
    out = expanded(config["out"]) if config["out"] else folders[0] / "screen"
    out.mkdir(parents=True, exist_ok=True)
    plot = out / "screen.png"
    labels = {name: f"{name} (base)" if name == variants.base else name for name in curves}
    save_plot({labels[name]: c for name, c in curves.items()}, plot, table.title, confidence)
    result = Screening(variants.base, curves, differences, table, plot, notes)
    _save(out / "screen.json", result, variants, finals, pair, confidence)
    return result


def log_screening(config: Mapping[str, Any], result: Screening) -> None:
    """One W&B run for each variant in one group, and the differences."""
    from tngexp.logs.rd_log import log_pictures, log_table, log_trace, run_logger

    out = result.plot.parent
    group = config["name"] or out.absolute().parent.name
    for name, curves in result.curves.items():
        with run_logger(config, out, name, group, job="screen") as logger:
            pairs = {f"{config['pair']}{value}": losses for value, losses in curves.losses.items()}
            log_trace(logger, curves.steps, pairs)
            if name == result.base:
                log_table(logger, result.table)
                log_pictures(logger, {"screen": result.plot})


def _words(base: Any) -> list[str]:
    """``"quantizer=mixed encoder.N=96"``, or a list of the two."""
    if isinstance(base, str):
        return [base] if base == NO_OVERRIDE else base.split()
    return as_list("base", base)


def _final(val_loss: Sequence[float | None]) -> float:
    assert val_loss[-1] is not None  # or find_runs had refused it
    return val_loss[-1]


def _unpaired(finals: Mapping[str, Mapping[str, float]], base: str, pair: str) -> list[str]:
    """A line about each run that has no counterpart."""
    notes = []
    for name, losses in finals.items():
        for lacking, of_other in ((name, finals[base]), (base, losses)):
            alone = [value for value in of_other if value not in finals[lacking]]
            if alone:
                notes.append(
                    f"{name} is compared without {pair}={','.join(alone)}, of which there is no "
                    f"finished run of {lacking}"
                )
    return notes


def _table(
    variants: Variants,
    finals: Mapping[str, Mapping[str, float]],
    differences: Mapping[str, Difference | None],
    pair: str,
    confidence: float,
) -> Table:
    rows = []
    for name, runs in variants.runs.items():
        mean = sum(finals[name].values()) / len(runs)
        seconds = sum(run.curve.seconds for run in runs.values())
        parameters = next(iter(runs.values())).curve.parameters
        difference = differences.get(name)
        is_base = name == variants.base
        said = "base" if is_base else "no pair" if difference is None else str(difference)
        rows.append(
            (
                Cell(name, name),
                Cell(f"{mean:.4f}", mean),
                Cell(said, difference and difference.change),
                Cell(f"{parameters / 1e6:.2f} M", parameters),
                Cell(f"{seconds / 60:.1f}", seconds),
            )
        )
    steps = next(iter(variants.runs[variants.base].values())).curve.steps[-1]
    counts = sorted({len(runs) for runs in variants.runs.values()})
    each = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return Table(
        key="screen",
        title=f"RD loss after {steps} steps, {each} {'run' if counts[-1] == 1 else 'runs'} each",
        columns=(
            Column("Variant", numeric=False),
            Column("loss", note="final validation loss R + λD, mean over the runs"),
            Column(
                "against the base",
                numeric=False,
                note="mean relative difference of the final validation loss, with the "
                f"{confidence:.0%} interval of Student's t on runs paired by {pair}",
            ),
            Column("parameters"),
            Column("minutes", note="of training, all runs"),
        ),
        rows=tuple(rows),
        caption="Short trainings find what helps early; what needs long ones may look worse here.",
    )


def _save(
    path: Path,
    result: Screening,
    variants: Variants,
    finals: Mapping[str, Mapping[str, float]],
    pair: str,
    confidence: float,
) -> None:
    def told(name: str) -> dict[str, Any]:
        difference, runs = result.differences.get(name), variants.runs[name]
        return {
            **(difference._asdict() if difference is not None else {}),
            "losses": finals[name],
            "steps": result.curves[name].steps,
            "curves": result.curves[name].losses,
            "seconds": sum(run.curve.seconds for run in runs.values()),
            "parameters": next(iter(runs.values())).curve.parameters,
            "runs": {value: shown_path(run.folder) for value, run in runs.items()},
        }

    content = {
        "pair": pair,
        "confidence": confidence,
        "base": {"name": result.base, **told(result.base)},
        "variants": {name: told(name) for name in result.differences},
        "left_out": result.notes,
    }
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _confidence(value: Any) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 < value < 1:
        raise ConfigError(f"confidence={value!r} must be a number between 0 and 1, such as 0.95.")
    return float(value)
