"""Train a codec: ``python -m tngexp.train model=gmm loss=msssim``.

Every option of ``conf/train.yaml`` can be set on the command line; ``-m`` trains one codec for
each combination of comma-separated values, and goes on where the same command has stopped before;
``--cfg job`` prints the configuration.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from tngexp.cli.hydra_program import EXPECTED, run_jobs, tell_error
from tngexp.common.configuration import slug
from tngexp.common.folders import expanded, shown_path
from tngexp.errors import ConfigError, TngexpError
from tngexp.runs.interrupt import Interrupted
from tngexp.runs.summary import TrainResult, print_summary
from tngexp.studies.sweep import (
    SweepFolder,
    compare_runs,
    ended_since,
    plan_job,
    repeat_command,
    report_sweep,
    show_sweep,
)
from tngexp.training.train import train

__all__ = ["TrainResult", "as_hydra_reads", "main", "run_name", "train"]

# Overrides that say nothing about the model: left out of a run's name.
_UNNAMED = (
    *("data", "resume", "init_from", "init_parts", "run_dir", "report", "logger"),
    *("data.file", "data.val_file", "data.on_device"),
    *("trainer.max_time", "trainer.enable_progress_bar", "trainer.val_check_interval"),
)
_NAME_LENGTH = 100


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit code. ``argv`` (without the program) is for tests."""
    words = as_hydra_reads(sys.argv[1:] if argv is None else argv)
    SweepFolder.take()  # of an earlier call in this process
    process, since = os.getpid(), time.time()
    failures: list[str] = []
    interrupts: list[Interrupted] = []
    folders: dict[Path, None] = {}  # of the sweep: one, unless the default is left to two models

    def job(config: DictConfig) -> float:
        """One job of Hydra; returns what a sweeper should minimise."""
        _name_run(config)
        sweep = HydraConfig.get().mode == RunMode.MULTIRUN
        comparisons: list[Any] = []

        def finished(result: TrainResult, logger: Any) -> None:
            # A sweep is compared as a whole, not point by point.
            if not sweep and OmegaConf.select(config, "report.anchors") is not None:
                comparisons.extend(_compare(config, result, logger))

        try:
            if sweep:
                folders[Path(HydraConfig.get().sweep.dir)] = None
                result = _sweep_job(config)
                if isinstance(result, float):
                    return result
            else:
                _check_folder(config)
                _record_command(config)
                result = train(config, finished=finished, tell=print)
        except Interrupted as error:
            interrupts.append(error)
            print(_how_to_resume(error, sweep), file=sys.stderr)
            if sweep:
                raise KeyboardInterrupt from error  # the other jobs are not wanted either
            return float("nan")
        except EXPECTED as error:
            # Caught here, since Hydra would add a line of its own to the message.
            from tngexp.training.limit import TooComplexError

            if sweep and isinstance(error, TooComplexError):
                # A result, not a failure: the worst there is, which a search learns from.
                print(f"{config.name}: {error}", file=sys.stderr)
                return float("inf")
            if os.getpid() != process:
                raise  # a launcher that runs jobs in processes of its own carries it home
            failures.append(f"{config.name}: {tell_error(error, 'train')}")
            return float("nan")
        print_summary(result, str(config.name), of_sweep=sweep)
        if comparisons:
            from tngexp.evaluation.compare import show

            show(comparisons[0], brief=True)
        return result.val_loss

    code = run_jobs("train", job, __doc__, words)
    if interrupts:
        return interrupts[0].exit_code
    started = SweepFolder.take()
    if started is not None and code in (0, 2):
        # Empty where a launcher ran the jobs in other processes, whose first error ends Hydra.
        places = list(folders) or [Path(started.hydra.sweep.dir)]
        if code == 0 or ended_since(places[0], since):
            _end_sweep(started, places, failures)
    return 2 if failures else code


def _sweep_job(config: DictConfig) -> TrainResult | float:
    """Train, or continue, or only tell the validation loss of a run that is finished."""
    from tngexp.studies.plan import finish

    if str(config.run_dir) != HydraConfig.get().runtime.output_dir:
        raise ConfigError(
            f"run_dir={config.run_dir} is one folder, and each run of a sweep has its own; leave "
            f"it out, and name the sweep's folder with hydra.sweep.dir={config.run_dir}."
        )
    plan = plan_job(config)
    where = shown_path(Path(plan.config["run_dir"]))
    if plan.done is not None:
        print(f"{where}: finished before, skipped")
        return float("nan") if plan.done.val_loss is None else plan.done.val_loss
    _record_command(config)
    if plan.config["resume"]:
        print(f"{where}: goes on from its last checkpoint")
    result = train(plan.config, tell=print)
    if not plan.config["trainer"]["fast_dev_run"]:  # which leaves nothing that could be kept
        finish(plan, result)
    return result


def _check_folder(config: DictConfig) -> None:
    """Refuse a folder with another run before anything is written there."""
    from tngexp.runs.folder import check_folder

    resume = config.get("resume")
    check_folder(Path(str(config.run_dir)), expanded(str(resume)) if resume else None)


def _record_command(config: DictConfig) -> None:
    """Leave what Hydra itself would have left before a run could say whether its folder is free."""
    context = HydraConfig.get()
    folder = Path(str(config.run_dir)) / ".hydra"
    folder.mkdir(parents=True, exist_ok=True)
    OmegaConf.save(config, folder / "config.yaml")
    OmegaConf.save(context.overrides.task, folder / "overrides.yaml")
    OmegaConf.save(OmegaConf.create({"hydra": context}), folder / "hydra.yaml")


def _end_sweep(sweep: DictConfig, folders: list[Path], failures: list[str]) -> None:
    """The report on all jobs, then the names of those that have failed."""
    for folder in folders:
        comparison = report_sweep(sweep, folder)
        if comparison is not None:
            show_sweep(comparison)
    if failures:
        jobs = "1 job" if len(failures) == 1 else f"{len(failures)} jobs"
        print(f"error: {jobs} of the sweep failed:", file=sys.stderr)
        for failure in failures:
            print(f"  {failure}", file=sys.stderr)


def _compare(config: DictConfig, result: TrainResult, logger: Any) -> list[Any]:
    """The run's best checkpoint against real codecs on its validation photos; none if it fails."""
    from tngexp.evaluation.compare import log_comparison

    try:
        comparison = compare_runs(config, [str(result.best)], result.run_dir / "report")
    except (TngexpError, OSError) as error:
        # The run is complete and saved; what follows it must not make it look failed.
        print(f"warning: no comparison with real codecs: {error}", file=sys.stderr)
        return []
    log_comparison(logger, comparison)
    return [comparison]


def as_hydra_reads(words: list[str]) -> list[str]:
    """A command line as people type it in the form that Hydra accepts.

    Hydra parses with ``ArgumentParser.parse_args()``, which refuses flags between overrides,
    ``model=gmm -m loss.lmbda=1,2``; they need ``parse_intermixed_args()``, and no argument of
    ``hydra.main`` chooses the parser. So ``-m`` goes first.
    ``+sweep=…`` and ``+search=…`` are from before these groups stood in ``conf/train.yaml``; Hydra
    refuses to add what is there.
    """
    words = [re.sub(r"^\+(?=(sweep|search)=)", "", word) for word in words]
    flags = [word for word in words if word in ("-m", "--multirun")]
    return flags + [word for word in words if word not in flags]


def _name_run(config: DictConfig) -> None:
    """Name, group and folder of a run, from Hydra's unless the user set them."""
    context = HydraConfig.get()
    OmegaConf.set_struct(config, False)
    config.run_dir = config.run_dir or context.runtime.output_dir
    if context.mode == RunMode.MULTIRUN:
        config.name = config.name or context.sweep.subdir
        config.group = config.group or Path(context.sweep.dir).name
    if not config.name:
        config.name = run_name(context.runtime.choices, context.overrides.task)


def run_name(choices: Mapping[str, Any], overrides: Sequence[str]) -> str:
    """What a run is called that was not given a name: experiment, or model and loss, and the rest.

    Args:
        choices: what Hydra chose for each group.
        overrides: of the command line; those that change nothing about the codec are left out.
    """
    name, named = str(choices.get("experiment") or ""), {"experiment"}
    if not name:
        name, named = f"{choices.get('model')}-{choices.get('loss')}", {"model", "loss"}
    for word in overrides:
        key = word.partition("=")[0].lstrip("+~")
        if key in named or key in _UNNAMED or key.startswith("logger.") or "root" in key:
            continue
        longer = slug(f"{name}-{word}", _NAME_LENGTH + 1)
        if len(longer) > _NAME_LENGTH:
            break  # half a word would be a name of something else
        name = longer
    return name


def _how_to_resume(error: Interrupted, sweep: bool) -> str:
    if sweep:
        again = repeat_command(sys.argv[1:], Path(HydraConfig.get().sweep.dir))
        return f"{error}\nContinue with: {again}"
    if error.checkpoint is None or not error.checkpoint.exists():
        return str(error)
    words = [
        word
        for word in HydraConfig.get().overrides.task
        if not word.startswith(("resume=", "init_from="))
    ]
    words.append(f"resume={shown_path(error.checkpoint)}")
    return f"{error}\nContinue with: python -m tngexp.train {shlex.join(words)}"
