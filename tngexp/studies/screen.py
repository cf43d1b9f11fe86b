"""Short paired trainings of a base and its variants, and what they say."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf

from tngexp.common.configuration import CONF_DIR, slug
from tngexp.common.options import as_list
from tngexp.common.words import as_text
from tngexp.model.build import build
from tngexp.report.table import Cell, Column, Table
from tngexp.studies.screen_analysis import Verdict, judge
from tngexp.studies.screen_plot import save_plot
from tngexp.studies.screen_runs import Run, Trace, run_all, weights_content
from tngexp.types import ConfigError

__all__ = ["Screening", "log_screening", "screen"]

_BASE = "base"


# What may change from call to call without making it another training.
_FREE = ("name", "group", "run_dir", "resume", "logger", "report")


class Screening(NamedTuple):
    """What a screening found."""

    traces: dict[str, list[Trace]]  # variant → one a seed; "base" first
    verdicts: dict[str, Verdict]  # of the variants
    table: Table
    plot: Path


def screen(config: Mapping[str, Any]) -> Screening:
    """Train and judge what ``conf/screen.yaml`` (plain) says.

    Raises:
        TngexpError: for options, data or folders that cannot be used.
    """
    out, seeds = Path(config["out"]), list(range(_positive(config, "seeds")))
    _positive(config, "steps")
    variants = {_BASE: _overrides(config, "")}
    for text in as_list("variants", config["variants"]):
        variants[text] = _overrides(config, text)
    runs = [
        Run(name, tuple(overrides), seed) for seed in seeds for name, overrides in variants.items()
    ]
    composed = {run: _compose([*run.overrides, f"seed={run.seed}"]) for run in runs}

    def train(run: Run, folder: Path, resume: Path | None) -> object:
        from tngexp.studies.plan import is_left
        from tngexp.training.train import train

        config = composed[run]
        config.run_dir, config.name = str(folder), f"{slug(run.variant)}-{run.seed}"
        if resume is not None:
            plain: Any = OmegaConf.to_container(config, resolve=True)
            if not is_left(resume, plain, "out"):
                return None  # stopped between the last step and the trace
            # Its weights are there already, wherever they started from.
            config.resume, config.init_from = str(resume), None
        return train(config)

    contents: dict[str, str] = {}

    def made_of(run: Run) -> dict[str, Any]:
        plain: Any = OmegaConf.to_container(composed[run], resolve=True)
        data = json.dumps(plain["data"], sort_keys=True, default=str)
        if data not in contents:
            contents[data] = build(plain["data"], trusted=True).content()
        return {
            **{key: value for key, value in plain.items() if key not in _FREE},
            "photos": contents[data],
            "weights": weights_content(plain.get("init_from")),
        }

    found = run_all(runs, out, train, made_of)
    traces = {name: [found[r] for r in runs if r.variant == name] for name in variants}
    losses = {
        name: {r.seed: found[r].losses[-1] for r in runs if r.variant == name} for name in variants
    }
    verdicts = {
        name: judge(losses[_BASE], losses[name], config["confidence"])
        for name in variants
        if name != _BASE
    }
    table = _table(config, traces, verdicts)
    plot = out / "screen.png"
    title = f"{config['base']}, {config['steps']} steps, {len(seeds)} seeds"
    save_plot(traces, plot, title, config["confidence"])
    summary = {
        "variants": {
            name: {**verdict._asdict(), "losses": losses[name]}
            for name, verdict in verdicts.items()
        },
        "base": {"losses": losses[_BASE]},
        "seconds": sum(trace.seconds for trace in found.values()),
    }
    (out / "screen.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    return Screening(traces, verdicts, table, plot)


def _overrides(config: Mapping[str, Any], variant: str) -> list[str]:
    """Overrides of ``conf/train.yaml`` for a variant, the later the stronger."""
    base, *further = str(config["base"]).split("+")
    steps = int(config["steps"])
    return [
        base if "=" in base else f"model={base}",
        f"data={config['dataset']}",
        *as_list("dataset_options", config["dataset_options"]),
        f"trainer.max_steps={steps}",
        f"trainer.val_every={max(1, steps // _positive(config, 'points'))}",
        "trainer.progress=false",
        "callbacks=minimal",
        "+callbacks.ema={_target_:tngexp.training.callbacks.ema.EMA,decay:0.995}",
        "+callbacks.trace={_target_:tngexp.studies.screen_runs.LossTrace}",
        "logger=none",
        "report=none",
        *as_list("common", config["common"]),
        *further,
        *(word for word in variant.split("+") if word),
    ]


def _compose(overrides: Sequence[str]) -> DictConfig:
    """``conf/train.yaml`` with overrides, from within another Hydra job."""
    state = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
            config = compose("train", as_text(overrides))
    finally:
        GlobalHydra.instance().hydra = state
    OmegaConf.set_struct(config, False)
    return config


def _table(
    config: Mapping[str, Any],
    traces: Mapping[str, Sequence[Trace]],
    verdicts: Mapping[str, Verdict],
) -> Table:
    rows = []
    for name, seeds in traces.items():
        finals = [trace.losses[-1] for trace in seeds]
        mean = sum(finals) / len(finals)
        seconds = sum(trace.seconds for trace in seeds)
        verdict = verdicts.get(name)
        rows.append(
            (
                Cell(name, name),
                Cell(f"{mean:.4f}", mean),
                Cell("–" if verdict is None else str(verdict), verdict and verdict.change),
                Cell(f"{seeds[0].parameters / 1e6:.2f} M", seeds[0].parameters),
                Cell(f"{seconds / 60:.1f}", seconds),
            )
        )
    return Table(
        key="screen",
        title=f"RD loss after {config['steps']} steps, {len(next(iter(traces.values())))} seeds",
        columns=(
            Column("Variant", numeric=False),
            Column("loss"),
            Column(
                "against the base",
                numeric=False,
                note="mean relative difference of the final validation loss over seeds, with the "
                f"{config['confidence']:.0%} interval of Student's t on paired seeds",
            ),
            Column("parameters"),
            Column("minutes", note="of training, all seeds"),
        ),
        rows=tuple(rows),
        caption="Short trainings find what helps early; what needs long ones may look worse here.",
    )


def _positive(config: Mapping[str, Any], key: str) -> int:
    value = config[key]
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigError(f"{key}={value} must be a whole number from 1 up.")
    return value


def log_screening(config: Mapping[str, Any], result: Screening) -> None:
    """One W&B run for each variant in one group, and the verdicts."""
    from tngexp.logs.rd_log import log_pictures, log_table, log_trace, run_logger

    out = Path(config["out"])
    group = config["name"] or out.name
    for name, seeds in result.traces.items():
        with run_logger(config, out, name, group, job="screen") as logger:
            log_trace(logger, seeds[0].steps, [trace.losses for trace in seeds])
            if name == _BASE:
                log_table(logger, result.table)
                log_pictures(logger, {"screen": result.plot})
