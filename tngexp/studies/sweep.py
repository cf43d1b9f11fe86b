"""A sweep as one piece of work: where its jobs belong, and the report on all of them at the end."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from tngexp.common.folders import shown_path
from tngexp.common.terminal import console
from tngexp.errors import TngexpError

if TYPE_CHECKING:
    from tngexp.evaluation.compare import Comparison
    from tngexp.studies.plan import Plan

__all__ = [
    "SweepFolder",
    "compare_runs",
    "ended_since",
    "plan_job",
    "repeat_command",
    "report_sweep",
    "show_sweep",
]


class SweepFolder(Callback):
    """Remembers the sweep that Hydra starts.

    Jobs may run in other processes; this is the place where the first process sees the sweep.
    """

    started: DictConfig | None = None  # the configuration without what is swept

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        SweepFolder.started = config
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a launcher sends nothing unasked

    @classmethod
    def take(cls) -> DictConfig | None:
        """The sweep that has been started since the last call."""
        started, cls.started = cls.started, None
        return started


def plan_job(config: DictConfig) -> Plan:
    """What is left to do for the job of the sweep that Hydra is running.

    Raises:
        TngexpError: when its folder holds another run, or its ladder's previous step is missing.
    """
    from tngexp.studies.plan import Job, plan, renumbered

    plain: Any = OmegaConf.to_container(config, resolve=True)
    context = HydraConfig.get()
    if (known := renumbered(plain)) is not None:
        config.run_dir, config.name = str(known), known.name
        plain = OmegaConf.to_container(config, resolve=True)
    folder, own = Path(plain["run_dir"]), _along(context.overrides.task)
    ladder = plain.get("ladder") is not None
    neighbour = _neighbour(context, folder, own) if ladder else None
    job = Job(list(context.overrides.task), context.job.num)
    return plan(plain, _curve(context, folder, own, ladder), neighbour, job)


def report_sweep(sweep: DictConfig, folder: Path) -> Comparison | None:
    """Compare what lies in a sweep's ``folder`` with real codecs, into ``report/`` there.

    Runs that have failed are not there to be compared. None when there is nothing to do.
    """
    from tngexp.evaluation.compare import log_comparison
    from tngexp.logs.rd_log import run_logger
    from tngexp.studies.marker import markers

    folder = folder.absolute()
    if OmegaConf.select(sweep, "report.anchors") is None or not folder.is_dir():
        return None
    try:
        found = markers(folder)
        if not found:
            return None
        runs: Any = [str(_best(run)) for run in found]
        if all(marker.curve for marker in found.values()):
            runs = {}
            for run, marker in found.items():
                runs.setdefault(marker.curve, []).append(str(_best(run)))
        comparison = compare_runs(sweep, runs, folder / "report")
        plain = {key: _plain(sweep, key) for key in ("logger", "report", "data")}
        group = sweep.group or folder.name
        with run_logger(plain, folder / "report", "report", group, job="compare") as logger:
            log_comparison(logger, comparison)
    except (TngexpError, OSError) as error:
        # The runs are complete and saved; what follows them must not make them look failed.
        print(f"warning: no report on the sweep: {error}", file=sys.stderr)
        return None
    return comparison


def ended_since(sweep_dir: Path, moment: float) -> bool:
    """Whether a run below ``sweep_dir`` has ended after ``moment`` (of ``time.time()``)."""
    from tngexp.studies.marker import MARKER

    return any(path.stat().st_mtime >= moment for path in sweep_dir.rglob(MARKER))


def show_sweep(comparison: Comparison) -> None:
    """Print the BD-rates, the points and where the rest is."""
    from tngexp.evaluation.compare import show
    from tngexp.report.text import print_table

    for table in comparison.tables:
        if table.key.startswith("bd-rate"):
            print_table(console(), table)
    show(comparison, brief=True)


def compare_runs(
    config: DictConfig, runs: list[str] | Mapping[str, list[str]], out: Path
) -> Comparison:
    """``runs`` against real codecs on the validation photos, as ``config.report`` says."""
    from tngexp.evaluation.compare import compare
    from tngexp.schema.run import report_settings

    options = report_settings(_plain(config, "report"))
    return compare(
        {
            **options,
            "runs": runs,
            "published": [],
            "reference": None,
            "metrics": [],
            "data": _plain(config, "data"),
            "viewer": {"images": options["images"], "bpp": [0.15, 0.3, 0.6]},
            "held_out": True,
            "efforts": [0],
            "tune": None,
            "out": str(out),
            "workers": None,
        }
    )


def repeat_command(words: list[str], folder: Path) -> str:
    """The command line that continues the sweep in ``folder``."""
    known = ("sweep=", "hydra.sweep.dir=")  # these lead to the same folder again
    if not any(word.startswith(known) for word in words):
        words = [*words, f"hydra.sweep.dir={shown_path(folder)}"]
    return f"python -m tngexp.train {shlex.join(words)}"


def _plain(config: DictConfig, group: str) -> Any:
    """One group of options; None where it was taken out."""
    node = OmegaConf.select(config, group)
    return None if node is None else OmegaConf.to_container(node, resolve=True)


def _best(run: Path) -> Path:
    return run / "checkpoints" / "best.ckpt"


def _along(overrides: Any) -> str | None:
    """``loss.lmbda=2.4`` of a job's overrides."""
    from tngexp.studies.plan import ALONG

    return next((word for word in overrides if word.startswith(f"{ALONG}=")), None)


def _curve(context: Any, folder: Path, own: str | None, ladder: bool) -> str | None:
    """The label of the run's curve: what names it, less λ; None when λ is no part of its name.

    The runs of a ladder differ in their steps, too, and are one curve all the same.
    """
    if own is None or own not in folder.name:
        return None
    choices = context.runtime.choices
    words = re.sub(r"^\d+_", "", folder.name).replace(own, "").split(",")
    named = ("model=", "loss=", "sweep=")
    others = [word for word in words if word and not word.startswith(named)]
    return "-".join([choices.model, choices.loss, *others, *(["ladder"] if ladder else [])])


def _neighbour(context: Any, folder: Path, own: str | None) -> Path | None:
    """The folder of the ladder's previous step: this one's with the previous λ in its name."""
    from tngexp.errors import ConfigError
    from tngexp.studies.plan import ALONG, ladder_values

    # The command line overrules the file's list, in Hydra as well.
    text = _along(sys.argv[1:]) or f"{ALONG}={(context.sweeper.params or {}).get(ALONG, '')}"
    values = ladder_values(text.partition("=")[2])
    mine = (own or "").partition("=")[2]
    if mine not in values or f"{ALONG}={mine}" not in folder.name:
        raise ConfigError(f"a ladder needs a list of {ALONG}, and its runs in folders named by it")
    step = values.index(mine)
    if step == 0:
        return None
    return folder.with_name(folder.name.replace(own or "", f"{ALONG}={values[step - 1]}"))
