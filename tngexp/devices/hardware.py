"""What the machine can do."""

from __future__ import annotations

import os

import torch

__all__ = ["multiplies_bf16", "multiplies_int8"]

# oneDNN's names of instruction sets in which bf16 is arithmetic. Others only name a limit below.
_ONEDNN_WITH_BF16 = ("BF16", "FP16", "AMX", "AVX10", "ALL", "DEFAULT")
_ONEDNN_WITH_INT8 = ("VNNI", *_ONEDNN_WITH_BF16)  # likewise, sums of 8-bit products in 32 bits


def multiplies_bf16() -> bool:
    """Whether this process has the CPU's AVX512-BF16 or AMX units to multiply bf16 with.

    Elsewhere bf16 is emulated. ``ONEDNN_MAX_CPU_ISA`` and ``ATEN_CPU_CAPABILITY``, which keep
    libraries from using what the CPU has, count as if it lacked them.
    """
    return _has(_ONEDNN_WITH_BF16, "_is_avx512_bf16_supported", "_is_amx_tile_supported")


def multiplies_int8() -> bool:
    """Whether this process has units that add up products of 8-bit integers (VNNI or AMX).

    What keeps libraries from using them counts as in :func:`multiplies_bf16`.
    """
    return _has(_ONEDNN_WITH_INT8, "_is_vnni_supported", "_is_amx_tile_supported")


def _has(names: tuple[str, ...], *probes: str) -> bool:
    """Whether one of the probes finds its units and none of the limits leaves them out."""
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA") or os.environ.get("DNNL_MAX_CPU_ISA") or "ALL"
    if not any(name in limit.upper() for name in names):
        return False
    if os.environ.get("ATEN_CPU_CAPABILITY", "").lower() in ("default", "avx2"):
        return False
    # Private probes that came and went between torch releases, hence getattr.
    checks = (getattr(torch.cpu, probe, None) for probe in probes)
    return any(check is not None and bool(check()) for check in checks)
