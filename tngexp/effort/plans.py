"""How much work each effort is, and how it is spent."""

from __future__ import annotations

import math
from typing import NamedTuple

from tngexp.types import ConfigError

__all__ = ["EFFORTS", "Plan", "check_effort", "plan_of"]

EFFORTS = range(10)
"""0 codes what the analysis transform gives; each next one takes about twice as long."""

_STEPS = (0, 6, 12, 25, 50, 100, 200, 350, 600, 1000)
_FEW, _MANY = 25, 1000


class Plan(NamedTuple):
    """A schedule of gradient steps."""

    steps: int
    rate: float  # of Adam at the start, in units of the scaled latent; falls to a tenth
    hot: float  # temperature at the start
    cold: float  # at the end, reached geometrically


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

    Fewer steps need larger ones: the rate falls with the logarithm of the number of steps.
    """
    steps = _STEPS[check_effort(effort)]
    if not steps:
        return None
    share = math.log(max(steps, _FEW) / _FEW) / math.log(_MANY / _FEW)  # 0 … 1
    return Plan(steps, rate=0.04 * (0.01 / 0.04) ** share, hot=0.5, cold=0.1)
