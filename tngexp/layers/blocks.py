"""Residual blocks of the transforms. All keep (B, C, H, W) unless their names say otherwise."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tngexp.layers.convolutions import GDN, conv, init_weights, subpixel
from tngexp.layers.strips import pointwise, strips, suits_strips

__all__ = [
    "AttentionGate",
    "DepthwiseBlock",
    "ResidualBlock",
    "ResidualDown",
    "ResidualUp",
    "rescale_residual",
]


def rescale_residual(layer: nn.Conv2d, scale: float) -> None:
    """Weaken the last layer of a residual branch at initialisation.

    The block then starts near the identity, so depth does not make the signal grow; it is not
    zero, so every layer of the branch receives a gradient from the first step on.
    """
    with torch.no_grad():
        layer.weight.mul_(scale)


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions and a skip (Cheng et al. 2020, figure 4)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = conv(channels, channels, 3, stride=1)
        self.conv2 = conv(channels, channels, 3, stride=1)
        self.act = nn.LeakyReLU()
        init_weights(self)
        rescale_residual(self.conv2, 0.3)

    def forward(self, x: Tensor) -> Tensor:
        branch: Tensor = self.act(self.conv2(self.act(self.conv1(x))))
        return x + branch


class ResidualDown(nn.Module):
    """(B, in, H, W) → (B, out, H/2, W/2), GDN at the end of the branch (Cheng et al. 2020)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv1 = conv(in_channels, out_channels, 3)
        self.conv2 = conv(out_channels, out_channels, 3, stride=1)
        self.skip = conv(in_channels, out_channels, 1)
        self.act = nn.LeakyReLU()
        self.gdn = GDN(out_channels)
        init_weights(self)
        init_weights(self.skip, gain=1.0)
        rescale_residual(self.conv2, 0.5)

    def forward(self, x: Tensor) -> Tensor:
        branch: Tensor = self.gdn(self.conv2(self.act(self.conv1(x))))
        out: Tensor = self.skip(x) + branch
        return out


class ResidualUp(nn.Module):
    """(B, in, h, w) → (B, out, 2h, 2w) by sub-pixel convolution, IGDN in the branch."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.up = subpixel(in_channels, out_channels)
        self.conv = conv(out_channels, out_channels, 3, stride=1)
        self.skip = subpixel(in_channels, out_channels)
        self.act = nn.LeakyReLU()
        self.igdn = GDN(out_channels, inverse=True)
        init_weights(self)
        init_weights(self.skip, gain=1.0)
        rescale_residual(self.conv, 0.3)

    def forward(self, x: Tensor) -> Tensor:
        branch: Tensor = self.igdn(self.conv(self.act(self.up(x))))
        out: Tensor = self.skip(x) + branch
        return out


class _BottleneckUnit(nn.Module):
    """1×1 → 3×3 → 1×1 over half the channels, with a skip: the unit of the attention branches."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(1, channels // 2)
        last = conv(hidden, channels, 1, stride=1)
        self.branch = nn.Sequential(
            conv(channels, hidden, 1, stride=1),
            nn.LeakyReLU(),
            conv(hidden, hidden, 3, stride=1),
            nn.LeakyReLU(),
            last,
        )
        self.act = nn.LeakyReLU()
        init_weights(self)
        rescale_residual(last, 0.3)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.act(x + self.branch(x))
        return out


class AttentionGate(nn.Module):
    """x + trunk(x) · σ(mask(x)): the simplified attention of Cheng et al. 2020, figure 5.

    Zhou et al. 2019 (Tucodec) put a non-local block at the head of the mask branch; Cheng et al.
    leave it out for speed, which also spares memory quadratic in the number of positions.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.trunk = nn.Sequential(*(_BottleneckUnit(channels) for _ in range(3)))
        last = conv(channels, channels, 1, stride=1)
        self.mask = nn.Sequential(*(_BottleneckUnit(channels) for _ in range(3)), last)
        init_weights(last, gain=1.0)

    def forward(self, x: Tensor) -> Tensor:
        trunk: Tensor = self.trunk(x)
        return x + trunk * torch.sigmoid(self.mask(x))


class DepthwiseBlock(nn.Module):
    """Depthwise-separable spatial mixing, then a gated 1×1 feed-forward, each with a skip.

    The shape of the blocks of DCVC-RT (Jia et al. 2025): (2 + 3·expansion)·C² + 9·C
    multiplies per position. The gate is bounded (a sigmoid), so that without any normalisation
    layer the output cannot grow faster than linearly in the input.

    Args:
        channels: C.
        expansion: hidden channels of the feed-forward, in units of C.
    """

    def __init__(self, channels: int, expansion: int = 2) -> None:
        super().__init__()
        hidden = channels * expansion
        self.mix_in = nn.Conv2d(channels, channels, 1)
        # In bfloat16 with channels_last this is the cheapest layer of the block, backward
        # included: 6 times faster than in NCHW and 4 times faster than in float32.
        self.depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.mix_out = nn.Conv2d(channels, channels, 1)
        self.gate_in = nn.Conv2d(channels, 2 * hidden, 1)
        self.gate_out = nn.Conv2d(hidden, channels, 1)
        init_weights(self, gain=1.0)
        rescale_residual(self.mix_out, 0.5)
        rescale_residual(self.gate_out, 0.5)

    def forward(self, x: Tensor) -> Tensor:
        if suits_strips(x, self.gate_out.in_channels):
            return self._in_strips(x)
        x = x + self.mix_out(self.depthwise(F.silu(self.mix_in(x))))
        # Two products of half the channels: each half lies whole in memory for what follows, where
        # halves of one product are strided and cost a sixth of the block, backward most of all.
        assert self.gate_in.bias is not None
        value, gate = (
            F.conv2d(x, weight, bias)
            for weight, bias in zip(
                self.gate_in.weight.chunk(2), self.gate_in.bias.chunk(2), strict=True
            )
        )
        gated = value * torch.sigmoid(gate)
        out: Tensor = x + self.gate_out(gated)
        return out

    def _in_strips(self, x: Tensor) -> Tensor:
        """The same, but for what a gradient needs, some positions at a time."""
        hidden = self.gate_out.in_channels
        mixed = torch.empty_like(x)
        for rows, out in zip(strips(x, hidden), strips(mixed, hidden), strict=True):
            F.silu(pointwise(rows, self.mix_in.weight, self.mix_in.bias, out), inplace=True)
        parts = [strips(t, hidden) for t in (x, self.depthwise(mixed), mixed)]
        most = len(parts[0][0])
        branch, value, gate = (x.new_empty(most, c) for c in (x.shape[1], hidden, hidden))
        assert self.gate_in.bias is not None
        weights, biases = self.gate_in.weight.chunk(2), self.gate_in.bias.chunk(2)
        for rows, near, out in zip(*parts, strict=True):
            pointwise(near, self.mix_out.weight, self.mix_out.bias, out).add_(rows)
            pointwise(out, weights[0], biases[0], value)
            pointwise(out, weights[1], biases[1], gate).sigmoid_()
            gated = value[: len(out)].mul_(gate[: len(out)])
            out.add_(pointwise(gated, self.gate_out.weight, self.gate_out.bias, branch))
        return mixed
