"""How much work each effort is, and how it is spent."""

from __future__ import annotations

from typing import NamedTuple

from tngexp.types import ConfigError

__all__ = ["EFFORTS", "Plan", "check_effort", "plan_of"]

EFFORTS = range(10)
"""0 codes what the analysis transform gives; each next one takes about twice as long."""

_STEPS = (0, 6, 12, 25, 50, 100, 200, 350, 600, 1000)
_RATE, _FEW = 0.02, 100


class Plan(NamedTuple):
    """A schedule of gradient steps, or a stretch of one."""

    steps: int  # of the whole schedule
    rate: float  # of Adam at the start, in units of the scaled latent; falls to a tenth
    hot: float  # temperature at the start
    cold: float  # at the end, reached geometrically
    first: int = 0  # step to begin with
    last: int | None = None  # step to end before; None: all

    @property
    def taken(self) -> range:
        """The steps that are taken, of 0 … ``steps`` − 1."""
        return range(self.first, self.steps if self.last is None else self.last)


def check_effort(effort: object) -> int:
    """The effort, if it is one.

    Raises:
        ConfigError: for anything but a whole number from 0 to 9.
    """
    if isinstance(effort, bool) or not isinstance(effort, int) or effort not in EFFORTS:
        raise ConfigError(
            f"effort must be a whole number from 0 (fastest) to {EFFORTS[-1]} (smallest file), "
            f"not {effort!r}"
        )
    return effort


def plan_of(effort: int) -> Plan | None:
    """The schedule of an effort; None for 0, which does not search.

    Found on crops of dev photos with tng-objective-1 (docs/how-to/effort.md): up to a hundred steps
    the same rate is best, longer searches gain from smaller steps and a hotter start.
    """
    steps = _STEPS[check_effort(effort)]
    if not steps:
        return None
    rate = _RATE * min(1.0, _FEW / steps) ** 0.6
    return Plan(steps, rate, hot=0.5 if steps <= _FEW else 1.0, cold=0.1)
