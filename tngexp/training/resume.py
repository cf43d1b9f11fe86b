"""Going on with a run that has stopped, and refusing one that cannot."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tngexp.codec import Codec
from tngexp.io import CheckpointError, read_checkpoint
from tngexp.legacy import modernise_run
from tngexp.training.checkpoint_io import PREVIOUS, architecture_difference
from tngexp.training.parts import parameters_of, part_names

__all__ = ["ResumeWarning", "check_resumable", "readable"]


class ResumeWarning(UserWarning):
    """A damaged checkpoint for which the one before it stands in."""


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


def check_resumable(
    path: Path, codec: Codec, config: Mapping[str, Any], max_steps: int, frozen: Sequence[str]
) -> None:
    """Raise CheckpointError unless the run that wrote ``path`` can go on.

    Args:
        path: the checkpoint.
        codec: what is to go on.
        config: its description.
        max_steps: steps of the whole run.
        frozen: parts that are not trained. Others than before would leave weights without the
            optimizer's state, and the average.
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
    if "optimizer_states" not in checkpoint:
        raise CheckpointError(
            f"resume={path}: it holds weights only; start a new run from them with init_from={path}"
        )
    step = checkpoint["global_step"]
    if step >= max_steps:
        raise CheckpointError(
            f"resume={path}: that run is already at step {step} of trainer.max_steps={max_steps}; "
            f"to train on set e.g. trainer.max_steps={2 * step}"
        )
    run = modernise_run(checkpoint["tngexp"].get("config") or {})
    before = part_names(run["freeze"], "freeze")
    if parameters_of(codec, before).keys() != parameters_of(codec, frozen).keys():
        raise CheckpointError(
            f"resume={path}: that run has frozen {', '.join(before) or 'nothing'}, this one would "
            f"freeze {', '.join(frozen) or 'nothing'}; set freeze=[{','.join(before)}] to go on, "
            f"or start a new run with init_from={path}"
        )
