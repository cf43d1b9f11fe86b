"""Does my idea work? ``python -m tngexp.screen base=tng variants=[quantizer=ste] seeds=3``.

Trains the base and each variant for the same few hundred steps with the same seeds, and says of
each variant whether its RD loss is better, worse, or cannot be told apart, with how much certainty
and for how much compute. Running the same command again goes on where it stopped.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import hydra
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from tngexp._cli import as_list, debugging, explain, guarded
from tngexp._conf import CONF_DIR, register_resolvers, slug
from tngexp._words import as_text
from tngexp.build import build
from tngexp.report.table import Cell, Column, Table
from tngexp.report.text import print_table
from tngexp.screening import Run, Trace, Verdict, judge, run_all, weights_content
from tngexp.screening.plot import save_plot
from tngexp.terminal import console
from tngexp.training.interrupt import Interrupted
from tngexp.training.summary import shown_path
from tngexp.types import ConfigError, TngexpError

__all__ = ["Screening", "main", "screen"]

_BASE = "base"
# What may change from call to call without making it another training.
_FREE = ("name", "group", "run_dir", "resume", "logger", "report")
_OF_OVERRIDES = ("base", "variants", "common", "dataset_options")


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
        from tngexp.train import train
        from tngexp.training.sweep import is_left

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


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    register_resolvers()
    sys.argv[1:] = [_quoted(word) for word in (sys.argv[1:] if argv is None else argv)]

    code = 0

    def job(config: DictConfig) -> None:
        nonlocal code
        try:
            plain: Any = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
            result = screen(plain)
            _log(plain, result)
        except Interrupted as error:
            print(f"{error}\nRun the same command again to go on.", file=sys.stderr)
            code = error.exit_code
            return
        except (TngexpError, OmegaConfBaseException, OSError) as error:
            message = explain(error, "screen")
            if message is None or debugging():
                raise
            print(f"error: {message}", file=sys.stderr)
            code = 2
            return
        print_table(console(), result.table)
        print(f"plot in {shown_path(result.plot)}")

    job.__module__ = "tngexp.screen"
    entry = hydra.main(version_base="1.3", config_path=str(CONF_DIR), config_name="screen")(job)
    return guarded(entry, "screen", __doc__) or code


def _quoted(word: str) -> str:
    """``variants=[quantizer=ste]`` as Hydra wants it: a value with = in it needs quotes."""
    key, _, value = word.partition("=")
    if key not in _OF_OVERRIDES or "=" not in value or "'" in value or '"' in value:
        return word
    if not (value.startswith("[") and value.endswith("]")):
        return f"{key}='{value}'"
    # Commas inside of a value's own brackets do not end it.
    items = re.findall(r"(?:[^,\[\]{}]|\[[^\]]*\]|\{[^}]*\})+", value[1:-1])
    return f"{key}=[{','.join(repr(item.strip()) for item in items)}]"


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
        "+callbacks.trace={_target_:tngexp.screening.runs.LossTrace}",
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


def _log(config: Mapping[str, Any], result: Screening) -> None:
    """One W&B run for each variant in one group, and the verdicts."""
    from tngexp.training.rd_log import log_pictures, log_table, log_trace, run_logger

    out = Path(config["out"])
    group = config["name"] or out.name
    for name, seeds in result.traces.items():
        with run_logger(config, out, name, group, job="screen") as logger:
            log_trace(logger, seeds[0].steps, [trace.losses for trace in seeds])
            if name == _BASE:
                log_table(logger, result.table)
                log_pictures(logger, {"screen": result.plot})


if __name__ == "__main__":
    sys.exit(main())
