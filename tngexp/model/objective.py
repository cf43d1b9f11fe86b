"""What a trained codec was trained for, as its checkpoint tells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from tngexp.losses import RateDistortionLoss

__all__ = ["Objective", "objective", "objective_of"]


class Objective(NamedTuple):
    """R + λ·D of a training; None for what a file does not tell."""

    distortion: str | None = None  # module of the loss: "mse", "msssim", "mixed", …
    lmbda: float | None = None  # of a fixed rate
    lmbda_min: float | None = None  # of quality 0 of a variable rate
    lmbda_max: float | None = None  # of quality 1
    balance: float | None = None

    @property
    def range(self) -> tuple[float, float] | None:
        """(λ_min, λ_max) where both are known."""
        if self.lmbda_min is None or self.lmbda_max is None or self.lmbda_min >= self.lmbda_max:
            return None
        return self.lmbda_min, self.lmbda_max


def objective_of(loss: RateDistortionLoss) -> Objective:
    """The objective that ``loss`` is."""
    return Objective(
        distortion=type(loss).__module__.rpartition(".")[2],
        lmbda=loss.fixed_lmbda,
        lmbda_min=loss.lmbda_min,
        lmbda_max=loss.lmbda_max,
        balance=float(loss.balance),
    )


def objective(content: Mapping[str, Any]) -> Objective | None:
    """The objective of the codec in a file; None where nothing tells.

    Args:
        content: the checkpoint's ``tngexp`` entry. Without an ``objective`` in it, the loss that
            the run was configured with tells, and before that was kept, the λ of the rate.
    """
    config = content.get("config")
    loss = config.get("loss") if isinstance(config, Mapping) else None
    codec = content.get("codec")
    rate = codec.get("rate") if isinstance(codec, Mapping) else None
    for source in (content.get("objective"), loss, rate):
        found = _read(source) if isinstance(source, Mapping) else Objective()
        if found.lmbda is not None or found.range is not None:
            return found
    return None


def _read(source: Mapping[str, Any]) -> Objective:
    """Whatever of it makes sense: the file may be anybody's."""
    name = source.get("distortion")
    target = str(source.get("_target_", "")).split(".")
    if name is None and "losses" in target[:-2]:
        name = target[-2]
    return Objective(
        distortion=name if isinstance(name, str) else None,
        lmbda=_positive(source.get("lmbda")),
        lmbda_min=_positive(source.get("lmbda_min")),
        lmbda_max=_positive(source.get("lmbda_max")),
        balance=_number(source.get("balance")),
    )


def _number(value: object) -> float | None:
    usable = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if usable else None  # type: ignore[arg-type]


def _positive(value: object) -> float | None:
    number = _number(value)
    return number if number is not None and 0 < number < float("inf") else None
