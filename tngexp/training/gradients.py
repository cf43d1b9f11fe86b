"""Gradients between backward and the optimizer's step: their norm, their clip, and the end of a run
whose gradients are of no use."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn

from tngexp.types import TngexpError

__all__ = ["NonFiniteError", "clip"]


class NonFiniteError(TngexpError):
    """Loss or gradient became NaN or infinite at optimizer step ``step`` (1-based).

    Args:
        what: went wrong.
        step: at which.
        advice: what to do about it.
    """

    def __init__(
        self,
        what: str,
        step: int,
        advice: str = (
            "Lower optimizer.lr or trainer.gradient_clip_val, or set trainer.precision=32-true"
        ),
    ) -> None:
        self.step = step
        super().__init__(
            f"{what} at step {step}: training stopped before it reached the weights, and the last "
            f"checkpoint is kept. {advice}"
        )


def clip(parameters: Sequence[nn.Parameter], limit: float | None, algorithm: str | None) -> Tensor:
    """Clip the gradients of ``parameters``; their common norm before that, a scalar.

    Lightning's own clipping throws the norm away; computing it once serves the log, too.

    Args:
        parameters: those without a gradient do not count.
        limit: of the norm, or of each value; None for no clipping.
        algorithm: ``norm``, which None stands for, or ``value``.
    """
    by_value = limit is not None and algorithm == "value"
    norm = nn.utils.clip_grad_norm_(
        parameters, math.inf if limit is None or by_value else limit
    ).detach()
    if by_value and math.isfinite(norm):
        nn.utils.clip_grad_value_(parameters, float(limit or 0))
    return norm
