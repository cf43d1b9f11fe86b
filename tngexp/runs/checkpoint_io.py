"""Checkpoint files: written whole or not at all, read without running anything."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import CheckpointIO

from tngexp.common.atomic import replacing
from tngexp.model.files import read_checkpoint
from tngexp.model.legacy import modernise
from tngexp.types import CheckpointError

__all__ = [
    "PREVIOUS",
    "AtomicCheckpointIO",
    "architecture_difference",
    "architecture_options",
    "copy_file",
    "write_checkpoint",
]

PREVIOUS = "previous.ckpt"
"""Beside ``last.ckpt``: the checkpoint before it."""


class AtomicCheckpointIO(CheckpointIO):
    """Lightning's door to :func:`write_checkpoint` and :func:`tngexp.io.read_checkpoint`."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        write_checkpoint(checkpoint, Path(path))

    def load_checkpoint(
        self,
        path: str | Path,
        map_location: Callable[..., Any] | None = None,
        weights_only: bool | None = None,
    ) -> dict[str, Any]:
        return read_checkpoint(path)

    def remove_checkpoint(self, path: str | Path) -> None:
        Path(path).unlink(missing_ok=True)


def write_checkpoint(checkpoint: Mapping[str, Any], path: Path) -> None:
    """Write beside ``path``, then rename: an interrupted or failed write leaves the old file.

    Raises:
        CheckpointError: when the file system refuses, e.g. because it is full.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Alone: a run's folder has one process, and a checkpoint cut short by a kill may be large.
        with replacing(path, alone=True) as temporary, temporary.open("wb") as file:
            torch.save(dict(checkpoint), file)
            file.flush()
            # Days of training hang on it: a power cut after the renaming must find the contents.
            os.fsync(file.fileno())
        _sync_folder(path.parent)
    except (OSError, RuntimeError) as error:
        # torch reports a failed write as a RuntimeError once its zip writer is on top of the file.
        raise _refusal(path, error) from error


def _sync_folder(folder: Path) -> None:
    """Put the renaming itself on disk, where the system lets a folder be opened."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def copy_file(source: Path, target: Path) -> None:
    """Make ``target`` the same file as ``source``, atomically; a hard link where possible.

    Sharing the data is safe because checkpoints are only ever replaced, never written into.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target, alone=True) as temporary:
            try:
                os.link(source, temporary)
            except OSError:
                shutil.copyfile(source, temporary)
    except OSError as error:
        raise _refusal(target, error) from error


def architecture_difference(stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """Where two codec configurations disagree, one line per key.

    λ is not architecture, not even in files of earlier versions, which have it in the rate: a
    checkpoint may be trained on for another rate.
    """
    left, right = _flatten(modernise(stored)), _flatten(wanted)
    return [
        f"{_option(key)}: {left.get(key, 'absent')} in the checkpoint, "
        f"{right.get(key, 'absent')} now"
        for key in sorted(left.keys() | right.keys())
        if left.get(key) != right.get(key)
    ]


def architecture_options(
    stored: Mapping[str, Any], wanted: Mapping[str, Any], box: str | None = None
) -> list[str]:
    """The options by which the codec ``wanted`` becomes ``stored``, as the command line takes them.

    Args:
        stored: description of a codec.
        wanted: another.
        box: ``"transform"``, ``"prior"`` …, to look at that one alone.

    Returns:
        ``["encoder.N=224", "prior.mixture=3"]``; empty where the two differ in more than options,
        so that a component would have to be chosen.
    """
    right = _flatten(wanted)
    left = {k: v for k, v in _flatten(modernise(stored)).items() if k.startswith(box or "")}
    found = {}
    for key in sorted(left):
        if left[key] == right.get(key):
            continue
        if key.endswith("_target_") or key not in right:
            return []
        if not key.startswith(("prior", "rate")) or not key.endswith(".M"):  # M is the encoder's
            found[_option(key).replace("prior.hyper.", "hyper.")] = left[key]
    hidden = left.get("prior.hyper.N")
    if "encoder.N" in found and hidden not in (None, left["transform.N"]):
        found["hyper.N"] = hidden  # which is the encoder's unless it is said
    return [f"{option}={value}" for option, value in found.items()]


def _option(key: str) -> str:
    # Users know the transform as encoder=…
    return key.replace("transform", "encoder", 1).removesuffix("._target_")


def _flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in config.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{name}.")
        else:
            flat[name] = value
    return flat


def _refusal(path: Path, error: Exception) -> CheckpointError:
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    with contextlib.suppress(OSError):
        full = full or shutil.disk_usage(path.parent).free < 2**20
    kept = "the previous one is intact" if path.exists() else "there was none before it"
    if not full:
        reason = getattr(error, "strerror", None) or str(error)
        return CheckpointError(f"{path}: cannot save the checkpoint ({reason}); {kept}")
    fix = f"continue with resume={path}" if path.exists() else "start again"
    return CheckpointError(
        f"{path}: the disk is full, so this checkpoint was not saved; {kept}. Free some space and "
        f"{fix}, or write elsewhere with hydra.run.dir=DIR"
    )
