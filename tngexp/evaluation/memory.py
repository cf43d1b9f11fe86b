"""Peak memory of a piece of work."""

from __future__ import annotations

from pathlib import Path

import torch

__all__ = ["PeakMemory"]

_STATUS = Path("/proc/self/status")
_CLEAR_REFS = Path("/proc/self/clear_refs")
_RESET_PEAK = "5"  # proc(5): sets VmHWM back to the current VmRSS


class PeakMemory:
    """The most memory that was in use since it was made, the process's own included.

    On a GPU what torch had allocated there; on a CPU the resident memory of the process, which
    only Linux can count anew. Elsewhere it is unknown.

    Args:
        device: where the work runs.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._known = True
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
            return
        try:
            _CLEAR_REFS.write_text(_RESET_PEAK)
        except OSError:
            self._known = False

    def mib(self) -> float | None:
        """The peak so far in MiB; None where the system does not tell."""
        if self._device.type == "cuda":
            return torch.cuda.max_memory_allocated(self._device) / 2**20
        if not self._known:
            return None
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
        return None
