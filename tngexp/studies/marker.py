"""The record that a run of a sweep leaves when it ends: ``run.json``."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tngexp.common.atomic import replacing
from tngexp.types import ConfigError

__all__ = ["MARKER", "Marker", "markers"]

MARKER = "run.json"


@dataclass(frozen=True)
class Marker:
    """The content of ``run.json``."""

    complete: bool  # False: ended by trainer.max_time, and can go on with more of it
    fingerprint: str  # of config
    config: dict[str, Any]  # what the run trained with, less what may change
    curve: str | None  # label of the curve it is a point of; None if that cannot be told
    steps: int
    val_loss: float | None
    overrides: list[str] = field(default_factory=list)  # of the job; empty in earlier versions
    job: int | None = None  # its number in the sweep that has trained it

    @classmethod
    def read(cls, run_dir: Path) -> Marker | None:
        """The marker of the run in ``run_dir``; None when no run has ended there."""
        path = run_dir / MARKER
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError) as error:
            raise ConfigError(
                f"{path} is damaged; delete it, and the run goes on from its last checkpoint"
            ) from error

    def write(self, run_dir: Path) -> None:
        """Whole or not at all: half a marker would stop the sweep."""
        with replacing(run_dir / MARKER) as temporary:
            temporary.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")


def markers(sweep_dir: Path) -> dict[Path, Marker]:
    """The runs below ``sweep_dir`` that have ended and whose best checkpoint is there."""
    found = {}
    for path in sorted(sweep_dir.rglob(MARKER)):
        marker = Marker.read(path.parent)
        if marker is not None and (path.parent / "checkpoints" / "best.ckpt").is_file():
            found[path.parent] = marker
    return found
