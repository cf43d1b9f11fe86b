"""Short paired trainings that tell whether an idea is worth a long one."""

from __future__ import annotations

from tngexp.screening.runs import Run, Trace, run_all, weights_content
from tngexp.screening.verdict import Verdict, judge

__all__ = ["Run", "Trace", "Verdict", "judge", "run_all", "weights_content"]
