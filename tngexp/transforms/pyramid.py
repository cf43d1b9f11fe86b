"""Features of every analysis stage merged into the latent."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tngexp.layers.blocks import ResidualBlock, ResidualDown
from tngexp.layers.convolutions import conv, init_weights, require_positive
from tngexp.transforms.residual import residual_synthesis
from tngexp.types import Transform

__all__ = ["PyramidTransform"]


class PyramidTransform(Transform):
    """Multi-scale analysis of Tucodec, with a residual synthesis.

    Zhou et al. 2018, "Variational autoencoder for low bit-rate image compression" (CLIC), and
    Zhou et al. 2019, "End-to-end optimized image compression with attention mechanism": the
    features at 1/2, 1/4 and 1/8 resolution are each brought down to the latent's 1/16, stacked
    with the deepest ones and fused by a convolution, so that fine structure reaches the latent
    without passing through every stage.

    Args:
        N: channels of the hidden layers.
        M: channels of the latent.

    Raises:
        ConfigError: if a dimension is not a positive integer.
    """

    def __init__(self, N: int = 128, M: int = 192) -> None:
        super().__init__()
        require_positive("encoder (pyramid)", N=N, M=M)
        self.stride = 16
        self.latent_channels = M
        # The way through all stages is the longest. A residual block adds 2 positions, a
        # downsampling 1 before it doubles and 1 after, to the last layer's 1 at H/16: 9 at H/8,
        # 25 at H/4, 57 at H/2 and 121 pixels, less than 8 cells. The synthesis sees 7.
        self.reach = 8
        self.analysis = _PyramidAnalysis(N, M)
        self.synthesis = residual_synthesis(N, M)


class _PyramidAnalysis(nn.Module):
    """(B, 3, H, W) → (B, M, H/16, W/16)."""

    def __init__(self, N: int, M: int) -> None:
        super().__init__()
        side = max(1, N // 2)  # the shortcuts carry detail, half the width is plenty
        self.stages = nn.ModuleList(
            nn.Sequential(ResidualDown(channels, N), ResidualBlock(N)) for channels in (3, N, N, N)
        )
        # One convolution that spans a little more than its stride: no aliasing from skipped
        # pixels, and at 1/16 resolution even the 9×9 one costs only 2.6 kMAC per pixel.
        self.shortcuts = nn.ModuleList(
            conv(N, side, kernel_size=stride + 1, stride=stride) for stride in (8, 4, 2)
        )
        self.fuse = conv(N + 3 * side, M, 3, stride=1)
        init_weights(self.shortcuts, gain=1.0)
        init_weights(self.fuse)

    def forward(self, x: Tensor) -> Tensor:
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)  # (B, N, H/2, W/2), H/4, H/8, H/16
        merged = [
            shortcut(feature)
            for shortcut, feature in zip(self.shortcuts, features[:-1], strict=True)
        ]
        y: Tensor = self.fuse(torch.cat([*merged, x], dim=1))
        return y
