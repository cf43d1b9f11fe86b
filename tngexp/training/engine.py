"""From a resolved configuration to a trained codec."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import LightningDataModule
from lightning.pytorch.loggers import Logger

from tngexp.common.folders import expanded
from tngexp.datasets.module import ImageDataModule
from tngexp.devices.accelerator import resolve_accelerator
from tngexp.devices.allocator import keep_freed_memory
from tngexp.devices.compiling import compile_or_warn
from tngexp.devices.distributed import Processes, processes, silence, started_processes
from tngexp.devices.precision import resolve_precision
from tngexp.logs.console import quiet
from tngexp.logs.loggers import finish, log_config, log_folder, make_loggers, wandb_id_of
from tngexp.losses import RateDistortionLoss
from tngexp.model.files import locate, read_checkpoint
from tngexp.model.legacy import modernise
from tngexp.model.objective import objective_of
from tngexp.runs.checkpoint_io import AtomicCheckpointIO
from tngexp.runs.folder import check_folder
from tngexp.runs.git import git_state
from tngexp.runs.interrupt import Interrupted, StopRequest
from tngexp.runs.lock import RunLock
from tngexp.runs.summary import TrainResult
from tngexp.schema.instantiate import instantiate
from tngexp.schema.run import complete
from tngexp.schema.trainer import TrainerConf
from tngexp.training.adversarial import LitAdversarial
from tngexp.training.base import LitModel
from tngexp.training.callbacks.budget import Budget
from tngexp.training.callbacks.checkpoints import Checkpoints, figures
from tngexp.training.callbacks.progress import ProgressBar
from tngexp.training.callbacks.throughput import Throughput
from tngexp.training.critic_arguments import critic_arguments
from tngexp.training.hybrid import LitHybrid
from tngexp.training.loss import check_features, features_content, make_loss
from tngexp.training.measure import measure_of
from tngexp.training.module import LitCodec
from tngexp.training.optimizer import make_optimizer, make_scheduler
from tngexp.training.parts import freeze, part_names
from tngexp.training.pictures import run_picture
from tngexp.training.resume import Before, check_critic, check_resumable, check_start, readable
from tngexp.training.warm_start import ALL, warm_start
from tngexp.types import MS_SSIM_MIN_SIDE, ConfigError, TngexpError

__all__ = ["Finished", "run"]

Finished = Callable[[TrainResult, Logger | None], None]
"""What is to happen with the result of a run."""

Tell = Callable[[str], None]
"""What is to happen with a line about the run."""


def _kind(config: Mapping[str, Any]) -> type[LitCodec] | type[LitHybrid]:
    """What the configuration describes: an autoencoder, with or without a critic, or a network
    behind another codec."""
    if config.get("post") is not None:
        return LitHybrid
    return LitCodec if config.get("critic") is None else LitAdversarial


def run(
    config: Mapping[str, Any],
    stop: StopRequest | None = None,
    finished: Finished | None = None,
    tell: Tell | None = None,
) -> TrainResult:
    """Train as ``config`` (plain, resolved ``conf/train.yaml``) says.

    Args:
        config: all of it; ``run_dir`` is where every file goes.
        stop: set it to end the run after the current step.
        finished: called with the result while the run's logger is still open.
        tell: called with a line about the weights that a run starts from.

    Raises:
        TngexpError: for everything the user can fix; Interrupted when asked to stop.
    """
    stop = StopRequest() if stop is None else stop
    config = complete(config)
    with quiet():
        try:
            return _run(config, stop, finished, tell)
        except Interrupted:
            stop.hand_on()  # everything is saved and closed
            raise


def _run(
    config: Mapping[str, Any], stop: StopRequest, finished: Finished | None, tell: Tell | None
) -> TrainResult:
    settings = TrainerConf.from_config(config["trainer"])
    accelerator = resolve_accelerator(settings)
    team = processes(settings, accelerator)
    if not team.first:
        silence()
    with started_processes(team, config), RunLock() as lock:
        return _train(config, settings, accelerator, team, lock, stop, finished, tell)


def _train(
    config: Mapping[str, Any],
    settings: TrainerConf,
    accelerator: str,
    team: Processes,
    lock: RunLock,
    stop: StopRequest,
    finished: Finished | None,
    tell: Tell | None,
) -> TrainResult:
    run_dir = Path(config["run_dir"]).absolute()
    kind = _kind(config)
    architecture = kind.describe(config)
    resume = _path(config, "resume")
    # A resumed run has started already: what it started from is compared below, and not read.
    init_from = locate(config["init_from"]) if config.get("init_from") and not resume else None
    init_parts = part_names(config["init_parts"], "init_parts")
    if init_parts != ALL and not (init_from or resume):  # a resumed run has started already
        raise ConfigError(
            "init_parts needs a checkpoint to take the parts from: set init_from=…, or leave "
            "init_parts out."
        )

    precision = resolve_precision(settings.precision, torch.device(accelerator))
    _check_numbers(config)
    keep_freed_memory()
    pl.seed_everything(config["seed"], verbose=False)
    loss = make_loss(config["loss"])
    codec = kind.make(config, loss)
    _check_crop(config["data"], codec.stride, loss)
    started = None
    if init_from:
        start = warm_start(codec, init_from, architecture, init_parts, objective_of(loss))
        started = f"{config['init_from']}: {start}"
        if tell is not None and team.first:
            tell(f"init_from={started}")
    further = critic_arguments(config, settings, codec, loss)
    parts = part_names(config["freeze"], "freeze")
    frozen = freeze(codec, parts)
    make = make_optimizer(config["optimizer"])
    schedule = make_scheduler(config["scheduler"])
    before = Before()
    if resume is not None:
        resume = readable(resume)
        trained = sum(p.requires_grad for m in (codec, loss) for p in m.parameters())
        check_resumable(resume, codec, architecture, settings, parts, make, trained)
        check_critic(resume, further.get("critic"), further.get("critic_optimizer"))
        content = read_checkpoint(resume)
        check_features(resume, content["tngexp"], config["loss"])
        before = Before.of(content)
        check_start(resume, before, config)
        config = {**config, "init_from": before.init_from}
    data: LightningDataModule = instantiate(config["data"], "data", LightningDataModule)
    data.setup("fit")  # bad data is reported before anything is written
    kind.prepare(config, data)
    features = features_content(config["loss"])
    lit = kind(
        codec,  # type: ignore[arg-type]  # which kind.make made
        loss,
        make,
        schedule,
        fresh=init_from is None and before.init_from is None,
        seed=config["seed"],
        anneal_until=config["anneal_until"],
        channels_last=config["channels_last"],
        checkpoint_info={
            "codec": architecture,
            "config": dict(config),
            **({} if features is None else {"features": features}),
        },
        **further,
    )
    if config["channels_last"]:
        codec.to(memory_format=torch.channels_last)
    if config["compile"]:
        compile_or_warn(codec, torch.device(accelerator))
    checkpoints = Checkpoints(run_dir / "checkpoints", stop, measure_of(config, data, features))
    throughput = Throughput()
    budget = Budget(settings.seconds, before.seconds)
    callbacks = [budget, *_callbacks(config["callbacks"])]
    if settings.enable_progress_bar and team.first and not _has_bar(callbacks):
        callbacks.append(ProgressBar())
    callbacks += [throughput, checkpoints]  # checkpoints last: they hold the others' state

    loggers: list[Logger] = []
    if team.first:
        lock.claim(run_dir)
        check_folder(run_dir, resume)
        loggers = make_loggers(
            None if settings.fast_dev_run else config["logger"],
            run_dir,
            config["name"],
            config["group"],
            wandb_id=before.wandb_id,
        )
        if (wandb_id := wandb_id_of(loggers) or before.wandb_id) is not None:
            lit.note("wandb_id", wandb_id)
    failed = True
    began = time.perf_counter()
    try:
        for logger in loggers:
            log_config(logger, {**config, "git": git_state()._asdict()})
        if further:  # a module that steps by itself clips by itself
            settings = replace(settings, gradient_clip_val=None, gradient_clip_algorithm=None)
        trainer = _trainer(settings, accelerator, precision, team, run_dir, loggers, callbacks)
        if resume and team.first:
            checkpoints.adopt_best(resume)
        _fit(trainer, lit, data, resume, checkpoints)
        picture = None
        if team.first:
            for path in {checkpoints.best_path, checkpoints.last_path}:
                if path.exists():
                    lit.finish_file(path)
            photos = () if _images(data) == 0 else data.val_dataloader()
            picture = run_picture(lit, photos, checkpoints.best_path, run_dir)
        result = TrainResult(
            run_dir=run_dir,
            best=checkpoints.best_path,
            last=checkpoints.last_path,
            picture=picture,
            logs=log_folder(loggers, run_dir),
            steps=trainer.global_step,
            max_steps=settings.max_steps,
            time_limit=settings.seconds if budget.reached else None,
            best_step=checkpoints.best_step,
            val=checkpoints.best_metrics or figures(trainer),
            images=_images(data),
            images_per_s=throughput.images_per_s,
            seconds=time.perf_counter() - began,
            started_from=started,
            frozen=frozen,
        )
        for logger in loggers:
            best = {f"best/{k.removeprefix('val/')}": v for k, v in result.val.items()}
            logger.log_metrics(best, trainer.global_step)
        if finished is not None and team.first and not settings.fast_dev_run:
            finished(result, loggers[0] if loggers else None)
        failed = False
        return result
    finally:
        for logger in loggers:
            finish(logger, failed)


def _fit(
    trainer: pl.Trainer,
    lit: LitModel,
    data: LightningDataModule,
    resume: Path | None,
    checkpoints: Checkpoints,
) -> None:
    try:
        trainer.fit(lit, datamodule=data, ckpt_path=resume)
    except TngexpError:
        raise
    except SystemExit:
        # Lightning's answer to a KeyboardInterrupt, here a second Ctrl-C.
        saved = checkpoints.last_path if checkpoints.last_path.exists() else None
        raise Interrupted(trainer.global_step, saved, signal.SIGINT) from None
    except MisconfigurationException as error:  # what Lightning sees when it has the data
        raise _refused(error) from error
    except torch.OutOfMemoryError as error:
        raise ConfigError(
            "the accelerator is out of memory; lower data.batch_size "
            "(trainer.accumulate_grad_batches makes up for it) or data.crop."
        ) from error
    except Exception as error:
        if type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
            raise ConfigError(
                f"torch.compile failed ({str(error).splitlines()[0]}); it needs a C++ compiler. "
                "Set compile=false, or delete its cache (TORCHINDUCTOR_CACHE_DIR) if a run was "
                "killed while it compiled."
            ) from error
        raise


def _trainer(
    settings: TrainerConf,
    accelerator: str,
    precision: str,
    team: Processes,
    run_dir: Path,
    loggers: list[Logger],
    callbacks: list[pl.Callback],
) -> pl.Trainer:
    plugins: list[Any] = [AtomicCheckpointIO(), *_objects(settings.plugins, "trainer.plugins")]
    if team.environment is not None:
        plugins.append(team.environment)
    chosen = settings.for_lightning()
    if isinstance(chosen.get("profiler"), Mapping):
        chosen["profiler"] = instantiate(chosen["profiler"], "trainer.profiler")
    strategy = team.strategy
    if isinstance(strategy, Mapping):
        strategy = instantiate(strategy, "trainer.strategy")
    try:
        return pl.Trainer(
            **{
                **chosen,
                "accelerator": accelerator,
                "devices": team.devices,
                "num_nodes": team.num_nodes,
                "strategy": strategy,
                "precision": precision,
                "max_epochs": -1,
                "check_val_every_n_epoch": None,  # val_check_interval counts over epochs
                "logger": loggers or False,
                "callbacks": callbacks,
                "plugins": plugins,
                "default_root_dir": run_dir,
                "enable_progress_bar": any(
                    isinstance(c, pl.callbacks.ProgressBar) for c in callbacks
                ),
                "use_distributed_sampler": False,  # the data module divides samples itself
            }
        )
    except (MisconfigurationException, ValueError, TypeError, RuntimeError, ImportError) as error:
        raise _refused(error) from error


def _refused(error: Exception) -> ConfigError:
    reason = " ".join(str(error).split())
    return ConfigError(f"Lightning refuses the options of trainer: {reason}")


def _has_bar(callbacks: list[pl.Callback]) -> bool:
    return any(isinstance(callback, pl.callbacks.ProgressBar) for callback in callbacks)


def _callbacks(config: Mapping[str, Any]) -> list[pl.Callback]:
    """In the order of the file; a null entry is off."""
    return [
        instantiate(entry, f"callbacks.{name}", pl.Callback)
        for name, entry in config.items()
        if entry is not None
    ]


def _objects(config: Any, option: str) -> list[Any]:
    """What a list of descriptions, one of them, or nothing describes."""
    entries = config if isinstance(config, list) else [] if config is None else [config]
    return [
        instantiate(entry, option) if isinstance(entry, Mapping) else entry for entry in entries
    ]


def _images(data: LightningDataModule) -> int | None:
    """The number of validation images, where the data module tells."""
    return len(data.photos.val) if isinstance(data, ImageDataModule) else None


def _check_numbers(config: Mapping[str, Any]) -> None:
    """What a component would answer with a TypeError."""
    seed = config["seed"]
    if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 2**32:
        raise ConfigError(f"seed={seed!r} must be a whole number from 0 to 2³² − 1.")
    for key, value in config["loss"].items():
        if key.startswith("lmbda") and (isinstance(value, bool | str) or value is None):
            raise ConfigError(f"loss.{key}={value!r} must be a positive number.")
    rate = config["rate"] or {}
    for key in sorted(rate.keys() - modernise(config)["rate"].keys() if rate else ()):
        raise ConfigError(f"rate.{key} is not an option: λ is the loss's. Set loss.{key}.")


def _check_crop(data: Mapping[str, Any], stride: int, loss: RateDistortionLoss) -> None:
    crop = data.get("crop")
    if not isinstance(crop, int):
        return  # the data module says what is wrong with it
    needed = max(loss.min_side, stride)
    fitting = max(round(crop / stride), -(-needed // stride)) * stride
    if crop % stride:
        raise ConfigError(
            f"data.crop={crop} must be a multiple of {stride}, the codec's total stride; "
            f"use e.g. data.crop={fitting}."
        )
    if crop < loss.min_side:
        halves = loss.min_side == MS_SSIM_MIN_SIDE
        why = " (MS-SSIM halves images four times)" if halves else ""
        raise ConfigError(
            f"data.crop={crop} is too small for this loss, which needs at least "
            f"{loss.min_side} pixels{why}; use e.g. data.crop={fitting}, or loss=mse."
        )


def _path(config: Mapping[str, Any], key: str) -> Path | None:
    value = config.get(key)
    return expanded(value).absolute() if value else None
