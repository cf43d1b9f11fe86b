"""Rate control: one rate, or gain vectors that cover the whole RD curve with one training."""

from __future__ import annotations

from tngexp.rate.base import Rate
from tngexp.rate.fixed import FixedRate
from tngexp.rate.variable import VariableRate

__all__ = ["FixedRate", "Rate", "VariableRate"]
