"""Going on with a run that has stopped, and refusing one that cannot."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from torch import nn

from tngexp.model.files import read_checkpoint
from tngexp.model.legacy import modernise_run
from tngexp.runs.checkpoint_io import PREVIOUS, architecture_difference
from tngexp.schema.trainer import TrainerConf
from tngexp.training.optimizer import MakeOptimizer, advance, options_of, remembered
from tngexp.training.parts import parameters_of, part_names
from tngexp.types import CheckpointError

__all__ = [
    "Before",
    "ResumeWarning",
    "check_critic",
    "check_resumable",
    "check_start",
    "readable",
    "take_own_options",
]

# What Lightning reads of a checkpoint without asking whether it is there.
_NEEDED = ("global_step", "loops", "callbacks", "lr_schedulers")


class ResumeWarning(UserWarning):
    """A damaged checkpoint for which the one before it stands in, or one that tells too little."""


def readable(path: Path) -> Path:
    """``path``, or where it is damaged the checkpoint saved before it, with a warning.

    What is wrong with ``path`` is left to :func:`check_resumable` where nothing can stand in.
    """
    previous = path.with_name(PREVIOUS)
    if not path.is_file() or not previous.is_file():
        return path
    try:
        read_checkpoint(path)
    except CheckpointError as error:
        try:
            step = read_checkpoint(previous)["global_step"]
        except CheckpointError:
            return path
        warnings.warn(
            f"{error}; going on from {previous} at step {step} instead", ResumeWarning, stacklevel=2
        )
        return previous
    return path


class Before(NamedTuple):
    """What earlier parts of a run leave to the next one, besides its state."""

    seconds: float = 0.0  # of the run's time
    wandb_id: str | None = None
    init_from: str | None = None  # the weights it started from, if not from new ones

    @classmethod
    def of(cls, checkpoint: Mapping[str, Any]) -> Before:
        """From a checkpoint; those of earlier versions have neither time nor name."""
        content = checkpoint["tngexp"]
        seconds, wandb_id = content.get("seconds"), content.get("wandb_id")
        return cls(
            float(seconds) if isinstance(seconds, int | float) else 0.0,
            wandb_id if isinstance(wandb_id, str) else None,
            (content.get("config") or {}).get("init_from") or None,
        )


def check_start(path: Path, before: Before, config: Mapping[str, Any]) -> None:
    """Raise CheckpointError where the options name other weights to start from than the run had.

    Naming the same ones is no mistake: the command that started a run goes on with it, too.

    Args:
        path: the checkpoint that is resumed.
        before: from it.
        config: of the whole run.
    """
    named = config.get("init_from") or None
    if named not in (None, before.init_from):
        had = f"from init_from={before.init_from}" if before.init_from else "from new weights"
        raise CheckpointError(
            f"resume={path}: that run started {had}, and going on reads no others; leave out "
            f"init_from={named} (init_from=null where an experiment sets it), or leave out resume "
            "for a new run"
        )


def check_resumable(
    path: Path,
    codec: nn.Module,
    config: Mapping[str, Any],
    settings: TrainerConf,
    frozen: Sequence[str],
    optimizer: MakeOptimizer,
    trained: int,
) -> None:
    """Raise CheckpointError unless the run that wrote ``path`` can go on.

    Args:
        path: the checkpoint.
        codec: what is to go on.
        config: its description.
        settings: with the budget of the whole run.
        frozen: parts that are not trained. Others than before would leave weights without the
            optimizer's state, and the average.
        optimizer: parameters → optimizer, which may have other options than before.
        trained: number of tensors that are trained, of the loss as well.
    """
    try:
        checkpoint = read_checkpoint(path)
    except CheckpointError as error:
        raise CheckpointError(f"resume: {error}") from error
    differences = architecture_difference(checkpoint["tngexp"]["codec"], config)
    if differences:
        listed = "\n  ".join(differences)
        raise CheckpointError(
            f"resume={path}: the checkpoint has another architecture:\n  {listed}\n"
            "Choose the same components as it was trained with, or another checkpoint."
        )
    if "optimizer_states" not in checkpoint or any(key not in checkpoint for key in _NEEDED):
        raise CheckpointError(
            f"resume={path}: it holds weights only; start a new run from them with init_from={path}"
        )
    _check_budget(path, checkpoint, settings)
    run = modernise_run(checkpoint["tngexp"].get("config") or {})
    before = part_names(run["freeze"], "freeze")
    if parameters_of(codec, before).keys() != parameters_of(codec, frozen).keys():
        raise CheckpointError(
            f"resume={path}: that run has frozen {', '.join(before) or 'nothing'}, this one would "
            f"freeze {', '.join(frozen) or 'nothing'}; set freeze=[{','.join(before)}] to go on, "
            f"or start a new run with init_from={path}"
        )
    _check_optimizer(path, checkpoint["optimizer_states"][:1], optimizer, trained)


def _check_budget(path: Path, checkpoint: Mapping[str, Any], settings: TrainerConf) -> None:
    step, seconds, limit = (
        checkpoint["global_step"],
        Before.of(checkpoint).seconds,
        settings.seconds,
    )
    if step >= settings.max_steps:
        raise CheckpointError(
            f"resume={path}: that run is already at step {step} of trainer.max_steps="
            f"{settings.max_steps}; to train on set e.g. trainer.max_steps={2 * step}"
        )
    if limit is not None and seconds >= limit:
        raise CheckpointError(
            f"resume={path}: that run has used {seconds / 60:.3g} minutes of trainer.max_time="
            f"{{minutes:{limit / 60:g}}}, which is the time of the whole run; to train on set e.g. "
            f"trainer.max_time={{minutes:{limit / 30:g}}}, or null for no limit"
        )


def check_critic(path: Path, critic: nn.Module | None, optimizer: MakeOptimizer | None) -> None:
    """Raise CheckpointError unless the run that wrote ``path`` had this critic, or none likewise.

    Args:
        path: the checkpoint, found resumable otherwise.
        critic: of the run that is to go on; None where it has none.
        optimizer: the critic's, parameters → optimizer.
    """
    checkpoint = read_checkpoint(path)
    stored = checkpoint.get("critic_state_dict")
    new = f"or start a new run with init_from={path}"
    if critic is None or stored is None:
        if critic is not stored:
            had, now = ("no critic", "has one") if stored is None else ("a critic", "has none")
            raise CheckpointError(
                f"resume={path}: that run has had {had}, this one {now}; choose critic as it was, "
                f"{new}"
            )
        return
    shapes = [{k: tuple(t.shape) for k, t in s.items()} for s in (stored, critic.state_dict())]
    if shapes[0] != shapes[1]:
        raise CheckpointError(
            f"resume={path}: that run has had another critic, with other layers; choose the same "
            f"critic and options, {new}"
        )
    assert optimizer is not None  # a critic has one
    trained = sum(1 for _ in critic.parameters())
    _check_optimizer(path, checkpoint["optimizer_states"][1:], optimizer, trained, "critic's ")


def _check_optimizer(
    path: Path,
    states: Sequence[Mapping[str, Any]],
    optimizer: MakeOptimizer,
    trained: int,
    whose: str = "",
) -> None:
    """Options of the optimizer may change, what it remembers of each weight may not."""
    known = sum(len(group["params"]) for state in states for group in state["param_groups"])
    if known != trained:
        raise CheckpointError(
            f"resume={path}: that run has trained {known} tensors, this one would train {trained}; "
            f"choose the same loss and freeze, or start a new run with init_from={path}"
        )
    stored = {name for state in states for of_one in state["state"].values() for name in of_one}
    wanted = remembered(optimizer)
    if stored != wanted:
        raise CheckpointError(
            f"resume={path}: its {whose}optimizer kept {', '.join(sorted(stored)) or 'nothing'} of "
            f"each weight, this one needs {', '.join(sorted(wanted)) or 'nothing'}; choose the "
            f"same optimizer, or start a new run with init_from={path}"
        )


def take_own_options(checkpoint: dict[str, Any], configured: Any, accumulate: int) -> None:
    """Have a checkpoint that is about to be restored leave the options of this run alone.

    Lightning restores an optimizer with the learning rate, weight decay and so on that it had, a
    scheduler with its options, and the count of batches with the batches per step that there were.

    Args:
        checkpoint: as loaded, changed in place.
        configured: what the module's ``configure_optimizers`` returns, for this alone.
        accumulate: batches per optimizer step.

    Raises:
        ConfigError: when a scheduler ends before the checkpoint's step.
    """
    if "optimizer_states" in checkpoint:
        checkpoint["lr_schedulers"] = advance(configured, checkpoint)
    groups = options_of(configured)
    # A checkpoint with more optimizers than this has is of a run with a critic, see check_critic.
    for state, own in zip(checkpoint.get("optimizer_states", ()), groups, strict=False):
        state["param_groups"] = [
            {**options, "params": before["params"]}
            for before, options in zip(state["param_groups"], own, strict=True)
        ]
    batches = checkpoint.get("loops", {}).get("fit_loop", {}).get("epoch_loop.batch_progress")
    if batches is None:
        return
    for counts in (batches["total"], batches["current"]):
        # A run is saved between two optimizer steps; the last batch may not count as completed.
        more = checkpoint["global_step"] * accumulate - counts["processed"]
        for name in counts:
            counts[name] += more
