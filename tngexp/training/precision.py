"""``trainer.precision=auto``: bf16 where the hardware multiplies it natively, float32 elsewhere."""

from __future__ import annotations

import torch

__all__ = ["cpu_multiplies_bf16", "resolve_precision"]


def cpu_multiplies_bf16() -> bool:
    """Whether this CPU has AVX512-BF16 or AMX (elsewhere bf16 is emulated and slower than fp32)."""
    # Private probes that came and went between torch releases, hence getattr.
    for probe in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        check = getattr(torch.cpu, probe, None)
        if check is not None and check():
            return True
    return False


def resolve_precision(precision: str, device: torch.device) -> str:
    """A Lightning precision string for ``precision`` on ``device``."""
    if precision != "auto":
        return precision
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = device.type == "cpu" and cpu_multiplies_bf16()
    return "bf16-mixed" if native else "32-true"
