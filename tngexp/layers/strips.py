"""Chains of 1×1 layers without gradients: some positions at a time, which a cache holds.

What follows a layer position by position (a rectifier, a gate, a sum) then reads what the layer has
just written, instead of a whole feature map that has left the cache since. Every number is
computed from the same numbers as in one piece.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["pointwise", "strips", "suits_strips"]

_NUMBERS = 2**18  # float32 numbers that a strip's widest tensor has: a mebibyte


def suits_strips(x: Tensor, width: int) -> bool:
    """Whether ``x`` (B, C, H, W) is what a chain may take strip by strip, and more than one.

    Its positions must be rows in memory. Elsewhere than on a CPU a strip is too little work, and
    with gradients every strip would be kept.

    Args:
        x: what enters the chain.
        width: numbers per position of the chain's widest tensor.
    """
    return (
        not torch.is_grad_enabled()
        and not torch.compiler.is_compiling()  # its graphs choose for themselves
        and x.device.type == "cpu"
        and x.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
        and x.is_contiguous(memory_format=torch.channels_last)
        and x[:, 0].numel() > _rows(width)
    )


def strips(x: Tensor, width: int) -> tuple[Tensor, ...]:
    """Views (n, C) of the positions of ``x`` (B, C, H, W), of about equal n.

    Args:
        x: which suits.
        width: numbers per position of the chain's widest tensor.
    """
    rows = x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])
    return rows.tensor_split(-(-len(rows) // _rows(width)))


def pointwise(rows: Tensor, weight: Tensor, bias: Tensor | None, buffer: Tensor) -> Tensor:
    """A 1×1 convolution of positions: (n, C) → (n, O), in the first n rows of ``buffer``.

    Args:
        rows: (n, C).
        weight: (O, C, 1, 1).
        bias: (O,).
        buffer: (at least n, O).
    """
    assert bias is not None
    out = buffer[: len(rows)]
    return torch.addmm(bias, rows, weight.flatten(1).T, out=out)


def _rows(width: int) -> int:
    """Positions that a strip has at most."""
    return max(1, _NUMBERS // width) * torch.get_num_threads()
