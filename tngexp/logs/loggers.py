"""Loggers: W&B (offline by default), CSV, TensorBoard or none. The only file that knows wandb."""

from __future__ import annotations

import itertools
import os
import secrets
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger, WandbLogger
from PIL import Image
from torch import Tensor

from tngexp.common.options import did_you_mean
from tngexp.common.terminal import valid
from tngexp.types import ConfigError

__all__ = [
    "finish",
    "log_config",
    "log_histogram",
    "log_images",
    "log_lines",
    "make_logger",
    "readable",
    "wandb_id_of",
]

_NAMES = ("wandb", "csv", "tensorboard", "none")


def make_logger(
    config: Mapping[str, Any],
    run_dir: Path,
    name: str,
    group: str | None,
    job: str = "train",
    wandb_id: str | None = None,
) -> Logger | None:
    """The logger ``logger.name`` asks for; everything it writes lies in ``run_dir``.

    Args:
        config: ``conf/logger/*.yaml``.
        run_dir: the run's folder.
        name: shown name of the run.
        group: W&B group, what the runs of a sweep have in common.
        job: W&B job type.
        wandb_id: of the W&B run that this one continues unless ``logger.id`` names another; None
            for a new one.
    """
    kind = config.get("name")
    if kind == "none":
        return None
    if kind == "csv":
        # Lightning's logger deletes what an earlier part of a resumed run has written.
        folders = itertools.chain(["csv"], (f"csv-{part}" for part in itertools.count(2)))
        free = next(name for name in folders if not (run_dir / name).exists())
        return CSVLogger(run_dir, name="", version=free, flush_logs_every_n_steps=20)
    if kind == "tensorboard":
        try:
            return TensorBoardLogger(run_dir, name="", version="tensorboard")
        except ModuleNotFoundError as error:
            raise ConfigError(
                "logger=tensorboard needs tensorboard: pip install tensorboard"
            ) from error
    if kind == "wandb":
        return _wandb(config, run_dir, name, group, job, wandb_id)
    raise ConfigError(
        f"logger.name={kind!r} is not one of {', '.join(_NAMES)}.{did_you_mean(str(kind), _NAMES)}"
    )


def _wandb(
    config: Mapping[str, Any],
    run_dir: Path,
    name: str,
    group: str | None,
    job: str,
    wandb_id: str | None,
) -> Logger:
    mode = config.get("mode", "offline")
    if mode not in ("offline", "online", "disabled"):
        raise ConfigError(f"logger.mode={mode!r} is not one of offline, online, disabled.")
    try:
        import wandb
    except ModuleNotFoundError as error:
        raise ConfigError(
            "logger=wandb needs wandb: pip install wandb, or use logger=csv"
        ) from error

    if mode == "online" and not wandb.api.api_key:
        raise ConfigError(
            "logger.mode=online needs an account: run `wandb login` first (or set WANDB_API_KEY), "
            "or leave logger.mode=offline and sync later with `wandb sync`."
        )
    if valid(str(run_dir)) != str(run_dir):
        raise ConfigError(
            f"{run_dir}: W&B cannot write to a folder whose name is not UTF-8; choose another "
            "with run_dir=DIR or out=DIR, or use logger=csv or logger=none"
        )
    _check_writable(run_dir / "wandb")
    # wandb writes caches and settings to the home directory unless told otherwise, and asks the
    # server for news; neither belongs to an offline run.
    settings = wandb.Settings(
        silent=True,
        console="off",
        disable_code=True,
        x_disable_stats=not config.get("system_metrics", True),
    )
    logger = WandbLogger(
        name=valid(name),
        save_dir=run_dir,
        # Lightning asks W&B to resume a run of this id if there is one.
        id=config.get("id") or wandb_id or secrets.token_hex(4),
        project=config.get("project", "tngexp"),
        group=None if group is None else valid(group),
        job_type=job,
        # Not WandbLogger's ``offline``: that sets WANDB_MODE for the rest of the process.
        mode=mode,
        tags=[tags] if isinstance(tags := config.get("tags") or [], str) else list(tags),
        settings=settings,
    )
    # WandbLogger always passes this option, about which wandb then warns that it has no effect.
    logger._wandb_init.pop("anonymous", None)
    words = sys.argv
    sys.argv = readable(words)  # which wandb records
    try:
        _ = logger.experiment
    finally:
        sys.argv = words
    return logger


def log_config(logger: Logger, config: Mapping[str, Any]) -> None:
    """Record a run's configuration."""
    logger.log_hyperparams(readable(dict(config)))


def readable(value: Any) -> Any:
    """``value`` with valid text only, which loggers insist on; names of files may be none."""
    if isinstance(value, str):
        return valid(value)
    if isinstance(value, Mapping):
        return {readable(key): readable(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [readable(entry) for entry in value]
    return value


def _check_writable(folder: Path) -> None:
    """wandb itself would end in a traceback, or write to a temporary folder that nobody finds."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ConfigError(
            f"{folder}: W&B cannot write its files there ({error.strerror}); choose another "
            "hydra.run.dir=DIR, or use logger=csv or logger=none"
        ) from error


def wandb_id_of(logger: Logger | None) -> str | None:
    """What W&B knows the run by; None for another logger."""
    return logger.version if isinstance(logger, WandbLogger) else None


def finish(logger: Logger | None, failed: bool = False) -> None:
    """Close ``logger`` so that the next run of this process starts a new one."""
    if isinstance(logger, WandbLogger) and logger._experiment is not None:
        import wandb

        wandb.finish(exit_code=int(failed))
    elif logger is not None:
        logger.finalize("failed" if failed else "success")


def log_images(
    loggers: Iterable[Logger],
    key: str,
    images: Sequence[Image.Image],
    captions: Sequence[str],
    step: int,
    folder: Path,
) -> None:
    """Give pictures to every logger that shows them; PNG files in ``folder`` if none does."""
    shown = False
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            logger.log_image(key, _same_size(images), step=step, caption=readable(captions))
            shown = True
        elif isinstance(logger, TensorBoardLogger):
            for i, image in enumerate(images):
                logger.experiment.add_image(
                    f"{key}/{i}", np.asarray(image), step, dataformats="HWC"
                )
            shown = True
    if not shown:
        folder.mkdir(parents=True, exist_ok=True)
        for i, image in enumerate(images):
            image.save(folder / f"step{step:06d}-{i}.png")


def _same_size(images: Sequence[Image.Image]) -> list[Image.Image]:
    """Images on white canvases of one size: wandb shows a list of pictures as one strip."""
    size = (max(image.width for image in images), max(image.height for image in images))
    canvases = [Image.new("RGB", size, "white") for _ in images]
    for canvas, image in zip(canvases, images, strict=True):
        canvas.paste(image)
    return canvases


def log_histogram(loggers: Iterable[Logger], key: str, values: Tensor, step: int) -> None:
    """Give the distribution of ``values`` (any shape) to every logger that shows histograms."""
    array = values.detach().float().cpu().flatten().numpy()
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            import wandb

            histogram = wandb.Histogram(array.tolist())
            logger.log_metrics({key: histogram}, step)
        elif isinstance(logger, TensorBoardLogger):
            logger.experiment.add_histogram(key, array, step)


def log_lines(
    logger: WandbLogger,
    key: str,
    lines: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    title: str,
    x_label: str,
) -> None:
    """Draw named lines, (x values, y values) each, into one chart."""
    import wandb

    chart = wandb.plot.line_series(
        xs=[list(xs) for xs, _ in lines.values()],
        ys=[list(ys) for _, ys in lines.values()],
        keys=readable(list(lines)),
        title=title,
        xname=x_label,
    )
    logger.experiment.log({key: chart})


def log_folder(logger: Logger | None, run_dir: Path) -> Path | None:
    """Where ``logger`` has written, for the summary."""
    if isinstance(logger, WandbLogger):
        files = getattr(logger._experiment, "dir", None)
        return Path(os.path.dirname(files)) if files else run_dir / "wandb"
    if logger is None or logger.log_dir is None:
        return None
    return Path(logger.log_dir)
