"""Starting from another run's weights, and refusing weights that do not fit."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tngexp.codec import Codec
from tngexp.io import CheckpointError, load, read_checkpoint
from tngexp.training.checkpoint_io import PREVIOUS, architecture_difference

__all__ = ["ResumeWarning", "check_resumable", "readable", "warm_start"]


def warm_start(codec: Codec, path: Path, config: Mapping[str, Any]) -> None:
    """Copy the averaged weights of the checkpoint ``path`` into ``codec``.

    Raises:
        CheckpointError: naming the options that differ when the architectures do.
    """
    _check(path, config, "init_from")
    codec.load_state_dict(load(path, trusted=True).state_dict())


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


def check_resumable(path: Path, config: Mapping[str, Any], max_steps: int) -> None:
    """Raise CheckpointError unless the run that wrote ``path`` can go on with ``config``."""
    checkpoint = _check(path, config, "resume")
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


def _check(path: Path, config: Mapping[str, Any], option: str) -> dict[str, Any]:
    try:
        checkpoint = read_checkpoint(path)
    except CheckpointError as error:
        raise CheckpointError(f"{option}: {error}") from error
    differences = architecture_difference(checkpoint["tngexp"]["codec"], config)
    if differences:
        listed = "\n  ".join(differences)
        raise CheckpointError(
            f"{option}={path}: the checkpoint has another architecture:\n  {listed}\n"
            "Choose the same components as it was trained with, or another checkpoint."
        )
    return checkpoint
