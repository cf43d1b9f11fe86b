"""Depthwise-separable blocks at 1/8 resolution: the most quality per multiply and per step."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tngexp.layers.blocks import DepthwiseBlock
from tngexp.layers.convolutions import init_weights, require_positive
from tngexp.types import Transform

__all__ = ["DepthwiseTransform", "LappedHead", "LappedStem"]

_CELL = 8  # image pixels per hidden position, per axis


class DepthwiseTransform(Transform):
    """Everything between the image and the latent happens on 8×8 cells (DCVC-RT, Jia et al. 2025).

    No layer runs at full resolution and there is no GDN: most multiplies are 1×1 convolutions,
    which CPUs and GPUs run near their peak in bfloat16 with channels_last.

    Args:
        N: channels of the hidden layers.
        M: channels of the latent.
        blocks_analysis: residual blocks of the analysis.
        blocks_synthesis: residual blocks of the synthesis; the decoder deserves more of the
            budget, since it also has to undo the quantization.
        expansion: hidden channels of a block's feed-forward, in units of N.

    Raises:
        ConfigError: if a dimension is not a positive integer.
    """

    def __init__(
        self,
        N: int = 192,
        M: int = 192,
        blocks_analysis: int = 4,
        blocks_synthesis: int = 5,
        expansion: int = 2,
    ) -> None:
        super().__init__()
        require_positive(
            "encoder (depthwise)",
            N=N,
            M=M,
            blocks_analysis=blocks_analysis,
            blocks_synthesis=blocks_synthesis,
            expansion=expansion,
        )
        self.stride = 16
        self.latent_channels = M
        # A block looks one 8×8 cell away. n of them see, with the stem, 8·n + 4 pixels beyond the
        # two cells of a latent position: ⌈(2·n + 1) / 4⌉ positions. On the way back the head looks
        # one cell away as well: ⌈(n + 1) / 2⌉ positions. Both are ⌊n / 2⌋ + 1.
        self.reach = max(blocks_analysis, blocks_synthesis) // 2 + 1
        # The blocks before `down` and after `up` look beyond a cell, so the 2×2 (un)shuffles need
        # no overlap of their own: a 2×2 convolution is an unshuffle followed by a 1×1 one.
        down = nn.Conv2d(N, M, 2, stride=2)
        up = nn.Conv2d(M, 4 * N, 1)
        init_weights(down)
        init_weights(up, gain=1.0)
        self.analysis = nn.Sequential(  # (B, 3, H, W)
            LappedStem(N),  # (B, N, H/8, W/8)
            *(DepthwiseBlock(N, expansion) for _ in range(blocks_analysis)),
            down,  # (B, M, H/16, W/16)
        )
        self.synthesis = nn.Sequential(  # (B, M, H/16, W/16)
            up,
            nn.PixelShuffle(2),  # (B, N, H/8, W/8)
            *(DepthwiseBlock(N, expansion) for _ in range(blocks_synthesis)),
            LappedHead(N),  # (B, 3, H, W)
        )


class LappedStem(nn.Module):
    """(B, 3, H, W) → (B, N, H/8, W/8): every cell sees the 16×16 pixels around it.

    A 16×16 convolution of stride 8, computed as a 2×2 convolution over 8×8 cells: with 192 input
    channels instead of 3, its training step takes half the time on a CPU.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, channels, 2 * _CELL, stride=_CELL)
        init_weights(self, gain=4.0)  # pixels minus grey have an rms of about 1/4

    def forward(self, x: Tensor) -> Tensor:
        half = _CELL // 2
        x = F.pad(x - 0.5, (half, half, half, half), mode="replicate")
        # (B, 3, H + 8, W + 8) → (B, 8·8·3, H/8 + 1, W/8 + 1), channels innermost in memory
        cells = x.permute(0, 2, 3, 1).unflatten(2, (-1, _CELL)).unflatten(1, (-1, _CELL))
        cells = cells.transpose(2, 3).flatten(3).permute(0, 3, 1, 2)
        weight = self.conv.weight.unflatten(3, (2, _CELL)).unflatten(2, (2, _CELL))
        weight = weight.permute(0, 3, 5, 1, 2, 4).flatten(1, 3)  # (N, 8·8·3, 2, 2)
        return F.conv2d(cells, weight, self.conv.bias)


class LappedHead(nn.Module):
    """(B, N, h, w) → (B, 3, 8h, 8w): every cell paints the 16×16 pixels around it, tapered.

    A 1×1 convolution and a pixel-shuffle would predict each 8×8 block on its own; at low rates
    flat areas then show the grid, because nothing makes neighbours meet. As in a lapped transform
    (Malvar & Staelin 1989) neighbouring cells overlap by half here, and the weights carry a fixed
    sine taper that falls to 0.1 at the rim of the 16×16 pixels: where one cell's contribution
    ends, little of it is left to make a step. The taper only scales weights (its squares over the
    four cells of a pixel sum to 1), so no function is lost.

    Computed as a 2×2 convolution between cells, a pixel-shuffle and a crop of half a cell:
    4·192·N multiplies per cell. Alternatives measured for a training step in bfloat16 on a CPU:
    a 3×3 convolution before the shuffle takes 1.6 times as long, the equivalent transposed 16×16
    convolution 2.4 times, and smoothing the image afterwards with one 3→3 convolution at full
    resolution would alone take 5 times as long, for want of channels to vectorise over.
    """

    taper: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(3 * _CELL**2, channels, 2, 2))
        self.bias = nn.Parameter(torch.full((3 * _CELL**2,), 0.5))  # start from mid-grey
        nn.init.normal_(self.weight, std=0.2 / math.sqrt(channels))
        self.register_buffer("taper", _taper(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        # Each output block lies between four cells; cells beyond the border repeat the last one.
        x = F.pad(x, (1, 1, 1, 1), mode="replicate")
        x = F.conv2d(x, self.weight * self.taper, self.bias)  # (B, 192, h + 1, w + 1)
        half = _CELL // 2
        return F.pixel_shuffle(x, _CELL)[..., half:-half, half:-half]


def _taper() -> Tensor:
    """Weight of tap (i, j) for pixel (u, v) of a block, shape (192, 1, 2, 2) like the weights."""
    angle = math.pi * (torch.arange(_CELL) + 0.5) / (2 * _CELL)
    axis = torch.stack([angle.cos(), angle.sin()])  # (2, 8): the cell before and the cell after
    taper = torch.einsum("iu,jv->uvij", axis, axis)  # (8, 8, 2, 2)
    return taper.reshape(1, _CELL**2, 2, 2).repeat(3, 1, 1, 1).reshape(-1, 1, 2, 2)
