"""Convolutions of context models: depthwise in bfloat16, and pointwise in part."""

from __future__ import annotations

from typing import Any, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

__all__ = ["DepthwiseConv2d", "PointwiseConv2d", "grouped", "grouped_weights"]

_FAST_COLUMNS = 3  # kernel width up to which oneDNN has a fast bfloat16 weight gradient


@final
class DepthwiseConv2d(nn.Conv2d):
    """One odd square kernel per channel, zero-padded: (B, C, h, w) → (B, C, h, w).

    The weight gradient of a 5×5 depthwise convolution has no fast kernel in oneDNN in bfloat16:
    it takes 16 ms for 8 × 384 × 16 × 16 on two cores, where a 5×3 one takes 0.3 ms and the forward
    pass 0.4 ms. So the gradient is computed three kernel columns at a time.

    Args:
        channels: C.
        kernel_size: odd.
    """

    def __init__(self, channels: int, kernel_size: int) -> None:
        super().__init__(channels, channels, kernel_size, padding=kernel_size // 2, groups=channels)

    def forward(self, x: Tensor) -> Tensor:
        slow = x.dtype == torch.bfloat16 and x.device.type == "cpu"
        if not (slow and self.kernel_size[1] > _FAST_COLUMNS and torch.is_grad_enabled()):
            return super().forward(x)
        assert self.bias is not None
        out: Tensor = _Depthwise.apply(x, self.weight.to(x.dtype), self.bias.to(x.dtype))
        return out


@final
class PointwiseConv2d(nn.Conv2d):
    """A 1×1 convolution whose groups of output channels can be had at different places.

    Its exact form (``tngexp.bitstream.exact``) has ``grouped``, too.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 1)

    def grouped(self, x: Tensor, parameters: int) -> Tensor:
        """:func:`grouped` with the layer's weights: (G, n, C) → (G, n, P·M/G)."""
        assert self.bias is not None
        return grouped(x, *grouped_weights(self.weight, self.bias, len(x), parameters))


def grouped(x: Tensor, matrix: Tensor, shift: Tensor) -> Tensor:
    """Output channel group g of a 1×1 layer at the positions of x[g] alone.

    Args:
        x: (G, n, C), positions as rows.
        matrix: (G, C, O), from :func:`grouped_weights`.
        shift: (G, 1, O), likewise.

    Returns:
        (G, n, O).
    """
    return torch.baddbmm(shift, x, matrix)


def grouped_weights(
    weight: Tensor, bias: Tensor, groups: int, parameters: int
) -> tuple[Tensor, Tensor]:
    """A 1×1 layer's weights by groups of output channels: (G, C, O) and (G, 1, O), O = P·M/G.

    Args:
        weight: (P·M, C, 1, 1).
        bias: (P·M,).
        groups: G.
        parameters: P; the channels are P times M, and group g has a share of each M.
    """
    split = weight.flatten(1).unflatten(0, (parameters, groups, -1))  # (P, G, M/G, C)
    matrix = split.permute(1, 3, 0, 2).flatten(2)  # (G, C, P·M/G)
    shift = bias.unflatten(0, (parameters, groups, -1)).transpose(0, 1).flatten(1)
    return matrix, shift.unsqueeze(1)


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return F.conv2d(x, weight, bias, padding=weight.shape[-1] // 2, groups=len(weight))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        size, half = weight.shape[-1], weight.shape[-1] // 2
        x_grad = None
        if ctx.needs_input_grad[0]:
            x_grad = _gradients(grad, x, weight, (half, half), (True, False, False))[0]
        # Columns j … j + 2 of the kernel see the input j columns to the left of its padded end.
        padded = F.pad(x, (half, half))
        width = x.shape[-1] + _FAST_COLUMNS - 1
        weight_grad = torch.empty_like(weight)
        bias_grad = None
        for j in [*range(0, size - _FAST_COLUMNS, _FAST_COLUMNS), size - _FAST_COLUMNS]:
            columns = slice(j, j + _FAST_COLUMNS)
            _, weight_grad[..., columns], bias_grad = _gradients(
                grad, padded[..., j : j + width], weight[..., columns], (half, 0),
                (False, True, True),
            )  # fmt: skip
        assert bias_grad is not None
        return x_grad, weight_grad, bias_grad


def _gradients(
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    padding: tuple[int, int],
    wanted: tuple[bool, bool, bool],
) -> Any:
    """Gradients of a depthwise convolution for (x, weight, bias)."""
    x = x.contiguous(memory_format=torch.channels_last)
    return torch.ops.aten.convolution_backward(
        grad, x, weight, [len(weight)], [1, 1], padding, [1, 1], False, [0, 0], len(weight), wanted
    )
