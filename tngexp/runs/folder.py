"""A run's folder holds one run: what another has left there is never replaced."""

from __future__ import annotations

from pathlib import Path

from tngexp.common.folders import shown_path
from tngexp.model.files import read_checkpoint
from tngexp.runs.checkpoint_io import PREVIOUS
from tngexp.types import CheckpointError, ConfigError

__all__ = ["check_folder"]

_FILES = ("last.ckpt", "best.ckpt", PREVIOUS)


def check_folder(run_dir: Path, resume: Path | None) -> None:
    """Raise ConfigError if a run into ``run_dir`` would replace another run's checkpoints.

    Args:
        run_dir: where the run is about to write.
        resume: the checkpoint it goes on from, which may be of the run that lies there.
    """
    folder = run_dir / "checkpoints"
    there = [folder / name for name in _FILES if (folder / name).is_file()]
    if not there:
        return
    latest, shown = there[0], shown_path(run_dir)
    step, described = _described(latest)
    if resume is None or resume.resolve().parent != folder.resolve():
        raise ConfigError(
            f"{shown} holds {described} already, which this run would replace. Continue that one "
            f"with resume={shown_path(latest)}, choose another folder with run_dir=DIR, or delete "
            f"{shown} to train anew."
        )
    if step is not None and read_checkpoint(resume)["global_step"] < step:
        raise ConfigError(
            f"resume={shown_path(resume)} is of an earlier step than {latest.name} beside it, "
            f"which it would replace. Continue with resume={shown_path(latest)}, or go another way "
            "from here in another folder: run_dir=DIR."
        )


def _described(checkpoint: Path) -> tuple[int | None, str]:
    """The step of a checkpoint, and its run in words; None where the file is damaged."""
    try:
        content = read_checkpoint(checkpoint)
    except CheckpointError:
        return None, "a run"
    step = content.get("global_step")
    steps = ((content["tngexp"].get("config") or {}).get("trainer") or {}).get("max_steps")
    if not isinstance(step, int):
        return None, "a run"
    return step, f"a run (at step {step}{f' of {steps}' if steps else ''})"
