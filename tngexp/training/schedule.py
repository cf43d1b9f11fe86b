"""Learning-rate schedule: linear warm-up, constant, then a long decay to near zero."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tngexp.types import ConfigError

__all__ = ["WarmupDecay"]


@dataclass(frozen=True)
class WarmupDecay:
    """The learning rate as a function of the run's progress alone.

    Schedulers of ``torch.optim.lr_scheduler`` count steps and keep a state; this one is told how
    far the run is, of its steps or of its time. So it ends when the run does, resuming needs no
    state, and a resumed run may have another budget.

    Args:
        warmup: steps of linear warm-up.
        decay_start: share of the run after which the decay begins.
        final: learning rate at the end, relative to its peak.
        shape: of the decay, ``cosine`` or ``linear``.

    Raises:
        ConfigError: for a value that cannot work.
    """

    warmup: int = 0
    decay_start: float = 1.0
    final: float = 0.01
    shape: str = "cosine"

    def __post_init__(self) -> None:
        if self.shape not in ("cosine", "linear"):
            raise ConfigError(f"scheduler.shape={self.shape!r} is not one of cosine, linear.")
        for name in ("decay_start", "final"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"scheduler.{name}={getattr(self, name)!r} must lie in 0..1.")
        if self.warmup < 0:
            raise ConfigError(f"scheduler.warmup={self.warmup!r} must be 0 or more steps.")

    def factor(self, step: int, progress: float, max_steps: float) -> float:
        """Multiple of the peak learning rate used for optimizer step ``step`` (0-based).

        Args:
            step: decides the warm-up.
            progress: share of the run that is over, 0 … 1; decides the decay.
            max_steps: of the whole run, possibly infinite. The decay does not start within the
                warm-up.
        """
        warmup = 1.0
        if step < self.warmup:
            # +1: the first step must not be a no-op.
            warmup = (step + 1) / (self.warmup + 1)
        start = max(self.decay_start, self.warmup / max_steps)
        if progress < start or start >= 1:
            return warmup
        decayed = min((progress - start) / (1 - start), 1.0)
        if self.shape == "cosine":
            decayed = (1 - math.cos(math.pi * decayed)) / 2
        # A run that its time limit ends within the warm-up decays all the same.
        return min(warmup, 1.0 + (self.final - 1.0) * decayed)
