"""``compile=true``: ``torch.compile`` where it works, found out before a run needs it."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn

__all__ = ["CompileWarning", "compile_or_warn"]


class CompileWarning(UserWarning):
    """A run that was to be compiled and goes on without."""


def compile_or_warn(module: nn.Module, device: torch.device) -> None:
    """Have calls of ``module`` compiled; warn, and change nothing, where ``device`` cannot."""
    why = _failure(device)
    if why is None:
        module.compile()  # in place: wrapping would prefix every checkpoint key
        return
    warnings.warn(
        f"compile=true: torch.compile does not work here ({why}); it needs a C++ compiler. The run "
        "goes on without it.",
        CompileWarning,
        stacklevel=2,
    )


def _failure(device: torch.device) -> str | None:
    """What keeps ``torch.compile`` from working, on one line; None if it works.

    A few operations are compiled and differentiated, in which a missing compiler shows within
    seconds. The first training step would show it minutes later.
    """

    def trial(x: Tensor) -> Tensor:
        return (x.relu() * 2 + 1).sum()

    x = torch.ones(64, device=device, requires_grad=True)
    try:
        torch.compile(trial)(x).backward()
    except Exception as error:  # dynamo's, inductor's, Triton's, or of the compiler they call
        return (str(error).strip() or type(error).__name__).splitlines()[0]
    return None
