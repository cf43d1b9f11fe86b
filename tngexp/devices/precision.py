"""``trainer.precision``: bf16 where the hardware multiplies it, float32 elsewhere."""

from __future__ import annotations

import torch

from tngexp.devices.hardware import multiplies_bf16
from tngexp.types import ConfigError

__all__ = ["resolve_precision"]


def resolve_precision(precision: str | int, device: torch.device) -> str:
    """A Lightning precision string for ``precision`` on ``device``.

    Raises:
        ConfigError: for bf16 on a CPU that emulates it, or float16 on any.
    """
    if "bf16" in str(precision) and device.type == "cpu" and not multiplies_bf16():
        raise ConfigError(
            f"trainer.precision={precision}: this CPU has no bf16 units (AVX512-BF16 or AMX), so "
            "every multiplication would be emulated: slower than float32, and in some versions of "
            "torch the emulation aborts or does not end. Train with trainer.precision=32-true, or "
            "auto, which takes bf16 where it pays."
        )
    if str(precision) in ("16-mixed", "16") and device.type == "cpu":
        raise ConfigError(
            f"trainer.precision={precision} needs a GPU: float16 is not for CPUs. Train with "
            "trainer.precision=auto, which takes what this machine is good at."
        )
    if precision != "auto":
        return str(precision)
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = device.type == "cpu" and multiplies_bf16()
    return "bf16-mixed" if native else "32-true"
