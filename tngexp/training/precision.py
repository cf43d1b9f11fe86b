"""``trainer.precision``: bf16 where the hardware multiplies it, float32 elsewhere."""

from __future__ import annotations

import os

import torch

from tngexp.types import ConfigError

__all__ = ["cpu_multiplies_bf16", "resolve_precision"]

# oneDNN's names of instruction sets in which bf16 is arithmetic. Others only name a limit below.
_ONEDNN_WITH_BF16 = ("BF16", "FP16", "AMX", "AVX10", "ALL", "DEFAULT")


def cpu_multiplies_bf16() -> bool:
    """Whether this process has the CPU's AVX512-BF16 or AMX units to multiply bf16 with.

    Elsewhere bf16 is emulated. ``ONEDNN_MAX_CPU_ISA`` and ``ATEN_CPU_CAPABILITY``, which keep
    libraries from using what the CPU has, count as if it lacked them.
    """
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA") or os.environ.get("DNNL_MAX_CPU_ISA") or "ALL"
    if not any(name in limit.upper() for name in _ONEDNN_WITH_BF16):
        return False
    if os.environ.get("ATEN_CPU_CAPABILITY", "").lower() in ("default", "avx2"):
        return False
    # Private probes that came and went between torch releases, hence getattr.
    for probe in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        check = getattr(torch.cpu, probe, None)
        if check is not None and check():
            return True
    return False


def resolve_precision(precision: str | int, device: torch.device) -> str:
    """A Lightning precision string for ``precision`` on ``device``.

    Raises:
        ConfigError: for bf16 on a CPU that emulates it.
    """
    if precision == "bf16-mixed" and device.type == "cpu" and not cpu_multiplies_bf16():
        raise ConfigError(
            "trainer.precision=bf16-mixed: this CPU has no bf16 units (AVX512-BF16 or AMX), so "
            "every multiplication would be emulated: slower than float32, and in some versions of "
            "torch the emulation aborts or does not end. Train with trainer.precision=32-true, or "
            "auto, which takes bf16 where it pays."
        )
    if precision != "auto":
        return str(precision)
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = device.type == "cpu" and cpu_multiplies_bf16()
    return "bf16-mixed" if native else "32-true"
