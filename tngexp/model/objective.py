"""What a trained codec was trained for, as its checkpoint tells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from tngexp.losses import MixedLoss, RateDistortionLoss

__all__ = ["Objective", "objective", "objective_of"]


class Objective(NamedTuple):
    """R + λ·D of a training; None for what a file does not tell."""

    distortion: str | None = None  # module of the loss: "mse", "msssim", "mixed", …
    lmbda: float | None = None  # of a fixed rate
    lmbda_min: float | None = None  # of quality 0 of a variable rate
    lmbda_max: float | None = None  # of quality 1
    balance: float | None = None
    msssim_weight: float | None = None  # of a mixed loss: of 1 − MS-SSIM in its distortion
    mse_weight: float | None = None  # likewise, of 255²·MSE

    @property
    def range(self) -> tuple[float, float] | None:
        """(λ_min, λ_max) where both are known."""
        if self.lmbda_min is None or self.lmbda_max is None or self.lmbda_min >= self.lmbda_max:
            return None
        return self.lmbda_min, self.lmbda_max

    def as_dict(self) -> dict[str, float | str | None]:
        """As it is kept; the weights only of a loss that has them, so that records of others, which
        are found by it, stay."""
        fields = self._asdict()
        return {k: v for k, v in fields.items() if v is not None or not k.endswith("_weight")}


def objective_of(loss: RateDistortionLoss) -> Objective:
    """The objective that ``loss`` is."""
    mixed = loss if isinstance(loss, MixedLoss) else None
    return Objective(
        distortion=type(loss).__module__.rpartition(".")[2],
        lmbda=loss.fixed_lmbda,
        lmbda_min=loss.lmbda_min,
        lmbda_max=loss.lmbda_max,
        balance=float(loss.balance),
        msssim_weight=None if mixed is None else float(mixed.msssim_weight),
        mse_weight=None if mixed is None else float(mixed.mse_weight),
    )


def objective(content: Mapping[str, Any]) -> Objective | None:
    """The objective of the codec in a file; None where nothing tells.

    Args:
        content: the checkpoint's ``tngexp`` entry. Without an ``objective`` in it, the loss that
            the run was configured with tells, and before that was kept, the λ of the rate.
    """
    config = content.get("config")
    loss = config.get("loss") if isinstance(config, Mapping) else None
    run = _read(loss) if isinstance(loss, Mapping) else Objective()
    codec = content.get("codec")
    rate = codec.get("rate") if isinstance(codec, Mapping) else None
    for source in (content.get("objective"), loss, rate):
        found = _read(source) if isinstance(source, Mapping) else Objective()
        if found.lmbda is not None or found.range is not None:
            if found.mse_weight is None and found.distortion == run.distortion:
                # Objectives of earlier versions have no weights.
                return found._replace(msssim_weight=run.msssim_weight, mse_weight=run.mse_weight)
            return found
    return None


def _read(source: Mapping[str, Any]) -> Objective:
    """Whatever of it makes sense: the file may be anybody's."""
    name = source.get("distortion")
    target = str(source.get("_target_", "")).split(".")
    if name is None and "losses" in target[:-2]:
        name = target[-2]
    weights = (_weight(source.get("msssim_weight")), _weight(source.get("mse_weight")))
    known = name == "mixed" and None not in weights and any(weights)
    return Objective(
        distortion=name if isinstance(name, str) else None,
        lmbda=_positive(source.get("lmbda")),
        lmbda_min=_positive(source.get("lmbda_min")),
        lmbda_max=_positive(source.get("lmbda_max")),
        balance=_number(source.get("balance")),
        msssim_weight=weights[0] if known else None,
        mse_weight=weights[1] if known else None,
    )


def _number(value: object) -> float | None:
    usable = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if usable else None  # type: ignore[arg-type]


def _weight(value: object) -> float | None:
    return 0.0 if _number(value) == 0 else _positive(value)


def _positive(value: object) -> float | None:
    number = _number(value)
    return number if number is not None and 0 < number < float("inf") else None
