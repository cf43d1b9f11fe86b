"""What the machine can do."""

from __future__ import annotations

import os

import torch

__all__ = ["multiplies_bf16"]

# oneDNN's names of instruction sets in which bf16 is arithmetic. Others only name a limit below.
_ONEDNN_WITH_BF16 = ("BF16", "FP16", "AMX", "AVX10", "ALL", "DEFAULT")


def multiplies_bf16() -> bool:
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
