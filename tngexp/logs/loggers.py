"""Loggers: W&B (offline by default) or any of Lightning's. The only file that knows wandb."""

from __future__ import annotations

import inspect
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

from tngexp.common.terminal import valid
from tngexp.schema.instantiate import instantiate, target_of
from tngexp.types import ConfigError

__all__ = [
    "OfflineWandb",
    "finish",
    "is_wandb",
    "log_config",
    "log_histogram",
    "log_images",
    "log_lines",
    "make_loggers",
    "readable",
    "wandb_id_of",
]


class OfflineWandb(WandbLogger):
    """Lightning's ``WandbLogger`` for a run without account and network, unless told otherwise.

    Args:
        save_dir: where an offline run is written.
        name: shown name of the run.
        mode: ``offline``, ``online`` or ``disabled``.
        system_metrics: whether W&B records what the machine does.
        id: of the W&B run, which is continued if there is one.
        settings: further ones of ``wandb.Settings``.
        options: what ``WandbLogger`` and ``wandb.init`` take.

    Raises:
        ConfigError: for a mode that is none, an online run without an account, or a folder that
            cannot be written to.
    """

    def __init__(
        self,
        save_dir: str | Path = ".",
        name: str | None = None,
        *,
        mode: str = "offline",
        system_metrics: bool = True,
        id: str | None = None,  # noqa: A002  # W&B's name for it
        group: str | None = None,
        tags: Sequence[str] | str | None = None,
        settings: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
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
                "logger.mode=online needs an account: run `wandb login` first (or set "
                "WANDB_API_KEY), or leave logger.mode=offline and sync later with `wandb sync`."
            )
        folder = Path(save_dir)
        if valid(str(folder)) != str(folder):
            raise ConfigError(
                f"{folder}: W&B cannot write to a folder whose name is not UTF-8; choose another "
                "with run_dir=DIR or out=DIR, or use logger=csv or logger=none"
            )
        _check_writable(folder / "wandb")
        super().__init__(
            name=None if name is None else valid(name),
            save_dir=folder,
            # Lightning asks W&B to resume a run of this id if there is one.
            id=id or secrets.token_hex(4),
            group=None if group is None else valid(group),
            # Not WandbLogger's ``offline``: that sets WANDB_MODE for the rest of the process.
            mode=mode,
            tags=[tags] if isinstance(tags, str) else list(tags or []),
            # wandb writes caches and settings to the home directory unless told otherwise, and
            # asks the server for news; neither belongs to an offline run.
            settings=wandb.Settings(
                **{
                    "silent": True,
                    "console": "off",
                    "disable_code": True,
                    "x_disable_stats": not system_metrics,
                    **(settings or {}),
                }
            ),
            **options,
        )
        # WandbLogger always passes this option, about which wandb then warns that it is of no
        # effect.
        self._wandb_init.pop("anonymous", None)
        words = sys.argv
        sys.argv = readable(words)  # which wandb records
        try:
            _ = self.experiment
        finally:
            sys.argv = words


def is_wandb(config: Any) -> bool:
    """Whether a logger's description is one of W&B."""
    return isinstance(config, Mapping) and str(config.get("_target_", "")).endswith(
        (".WandbLogger", ".OfflineWandb")
    )


def make_loggers(
    config: Any,
    run_dir: Path,
    name: str,
    group: str | None,
    job: str = "train",
    wandb_id: str | None = None,
) -> list[Logger]:
    """The loggers that ``logger`` describes; what they write lies in ``run_dir`` unless they say.

    Args:
        config: ``conf/logger/*.yaml``, or a list of such descriptions.
        run_dir: the run's folder.
        name: shown name of the run.
        group: W&B group, what the runs of a sweep have in common.
        job: W&B job type.
        wandb_id: of the W&B run that this one continues unless ``logger.id`` names another; None
            for a new one.

    Raises:
        ConfigError: for a description that cannot be built.
    """
    entries = config if isinstance(config, list) else [config]
    made = []
    for entry in entries:
        if isinstance(entry, Mapping) and entry.get("_target_", "") is None:
            if set_ := [key for key in entry if key != "_target_"]:
                raise ConfigError(f"logger.{set_[0]} is set, but logger=none has no logger.")
        elif entry:
            made.append(_make_logger(entry, run_dir, name, group, job, wandb_id))
    return made


def _make_logger(
    config: Any, run_dir: Path, name: str, group: str | None, job: str, wandb_id: str | None
) -> Logger:
    """One logger, with the run's folder and names where its description leaves them open."""
    target = target_of(config, "logger")
    known: dict[str, Any] = {"save_dir": str(run_dir)}
    if is_wandb(config):
        known |= {"name": name, "group": group, "job_type": job, "id": wandb_id}
    elif target in (CSVLogger, TensorBoardLogger):
        known |= {"name": "", "version": "tensorboard"}
        if target is CSVLogger:
            # Lightning's logger deletes what an earlier part of a resumed run has written.
            folders = itertools.chain(["csv"], (f"csv-{part}" for part in itertools.count(2)))
            known["version"] = next(free for free in folders if not (run_dir / free).exists())
    else:
        known["run_name"] = name  # MLflow's
    parameters = inspect.signature(target).parameters
    anything = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    filled = {
        key: value
        for key, value in known.items()
        if config.get(key) is None and (key in parameters or (anything and is_wandb(config)))
    }
    made: Logger = instantiate({**config, **filled}, "logger", Logger)
    return made


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


def wandb_id_of(loggers: Iterable[Logger]) -> str | None:
    """What W&B knows the run by; None without a logger of W&B's."""
    return next((log.version for log in loggers if isinstance(log, WandbLogger)), None)


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


def log_folder(loggers: Iterable[Logger], run_dir: Path) -> Path | None:
    """Where the first of ``loggers`` that writes files has written, for the summary."""
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            files = getattr(logger._experiment, "dir", None)
            return Path(os.path.dirname(files)) if files else run_dir / "wandb"
        if logger.log_dir is not None:
            return Path(logger.log_dir)
    return None
