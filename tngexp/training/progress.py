"""How far a run is: the one place that schedules ask, so that all of them end when the run does."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["Progress"]


class Progress:
    """The used share of a run's budget, of its steps or of its minutes, whichever is larger.

    It is taken at the start of each optimizer step and stays the same within it: everything that
    follows the run's progress (learning rate, annealing of quantizers) reads :attr:`fraction`.
    The time of earlier parts of a resumed run counts, so that a run which was interrupted follows
    the same schedules as one that was not.

    Args:
        max_steps: optimizer steps of the whole run.
        max_minutes: wall-clock time of the whole run, validations included; None for no limit.
        seconds: used by earlier parts of the run.
        clock: seconds from any origin, never backwards.

    Attributes:
        max_steps: as given.
        max_minutes: as given.
        fraction: 0 at the start of the run, 1 when its budget is used up.
    """

    def __init__(
        self,
        max_steps: int,
        max_minutes: float | None = None,
        seconds: float = 0.0,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self.max_steps = max_steps
        self.max_minutes = max_minutes
        self.fraction = 0.0
        self._before = seconds
        self._clock = clock or time.monotonic
        self._started: float | None = None

    def start(self) -> None:
        """Start the clock, with the first step of this part of the run."""
        self._started = self._clock()

    @property
    def seconds(self) -> float:
        """Time used so far, of earlier parts as well."""
        return self._before + (0.0 if self._started is None else self._clock() - self._started)

    def advance(self, step: int, seconds: float) -> None:
        """Set :attr:`fraction` for the next optimizer step.

        Args:
            step: optimizer steps done.
            seconds: time used, as all processes of a training have agreed on it.
        """
        share = 0.0 if self.max_minutes is None else seconds / (60 * self.max_minutes)
        self.fraction = min(max(step / self.max_steps, share), 1.0)

    def time_is_up(self, seconds: float) -> bool:
        """Whether ``seconds`` use up the minutes there are."""
        return self.max_minutes is not None and seconds >= 60 * self.max_minutes
