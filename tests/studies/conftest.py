"""Runs as a sweep leaves them, without training any."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tngexp.runs.learning_curve import LearningCurve
from tngexp.studies.marker import Marker

MakeRun = Callable[..., Path]


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """Leave a finished run in ``tmp_path / "sweep"``; options say in what it is special."""

    def make_run(
        *overrides: str,
        job: int | None,
        loss: float | None = 2.0,
        seed: int = 0,
        steps: tuple[int, ...] = (2, 4),
        photos: str = "p",
        val_photos: str = "v",
        features: str | None = None,
        lmbda: float = 0.01,
        complete: bool = True,
        name: str | None = None,
    ) -> Path:
        config: dict[str, Any] = {
            "seed": seed,
            "loss": {"_target_": "MSE", "lmbda": lmbda},
            "rate": {"_target_": "Fixed"},
            "data": {"root": "PHOTOS", "val_crop": 64},
            "contents": {
                "train_photos": photos,
                "val_photos": val_photos,
                "weights": None,
                "features": features,
            },
        }
        words = [f"seed={seed}", *overrides, "experiment=screen"]
        folder = tmp_path / "sweep" / (name or ",".join(words[:-1]))
        losses = tuple(3.0 for _ in steps[:-1])
        LearningCurve(steps, (*losses, loss), 60.0, 1_500_000).write(folder)
        Marker(complete, "", config, None, steps[-1], loss, words, job).write(folder)
        return folder

    return make_run
