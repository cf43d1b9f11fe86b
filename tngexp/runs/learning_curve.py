"""The validation loss of a run by step, and what the run cost: ``learning_curve.json``."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tngexp.common.atomic import replacing
from tngexp.types import ConfigError

__all__ = ["LEARNING_CURVE", "LearningCurve"]

LEARNING_CURVE = "learning_curve.json"


class LearningCurve(NamedTuple):
    """What a run has measured of itself; every training leaves it in its folder."""

    steps: tuple[int, ...] = ()  # optimizer steps, one for each validation
    val_loss: tuple[float | None, ...] = ()  # R + λD; None where it could not be measured
    seconds: float = 0.0  # of training and validating, earlier parts of the run included
    parameters: int = 0  # of the codec

    def extended(
        self, step: int, val_loss: float, seconds: float, parameters: int
    ) -> LearningCurve:
        """With a further validation; what was measured at this step or later is replaced."""
        before = sum(earlier < step for earlier in self.steps)
        return LearningCurve(
            (*self.steps[:before], step),
            # JSON has no NaN.
            (*self.val_loss[:before], val_loss if math.isfinite(val_loss) else None),
            seconds,
            parameters,
        )

    def to_state(self) -> dict[str, Any]:
        """For a checkpoint, or as JSON."""
        return {
            "steps": list(self.steps),
            "val_loss": list(self.val_loss),
            "seconds": self.seconds,
            "parameters": self.parameters,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> LearningCurve:
        """What :meth:`to_state` gave. Raises KeyError or TypeError for anything else."""
        return cls(
            tuple(state["steps"]),
            tuple(state["val_loss"]),
            float(state["seconds"]),
            int(state["parameters"]),
        )

    def write(self, run_dir: Path) -> None:
        """Replace the curve in ``run_dir``, whole or not at all."""
        run_dir.mkdir(parents=True, exist_ok=True)
        with replacing(run_dir / LEARNING_CURVE) as temporary:
            temporary.write_text(json.dumps(self.to_state()) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, run_dir: Path) -> LearningCurve | None:
        """The curve of the run in ``run_dir``; None where there is none.

        Raises:
            ConfigError: for a file that is damaged.
        """
        path = run_dir / LEARNING_CURVE
        try:
            return cls.from_state(json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(
                f"{path} is damaged; delete the run's folder and repeat the command that trained it"
            ) from error
