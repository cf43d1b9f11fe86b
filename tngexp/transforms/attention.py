"""Residual blocks with sigmoid-gated attention at two resolutions of each transform."""

from __future__ import annotations

from torch import nn

from tngexp.layers.blocks import AttentionGate, ResidualBlock, ResidualDown, ResidualUp
from tngexp.layers.convolutions import conv, init_weights, require_positive
from tngexp.transforms.residual import image_head
from tngexp.types import Transform

__all__ = ["AttentionTransform"]


class AttentionTransform(Transform):
    """Cheng et al. 2020, figure 4, with the attention modules of figure 5.

    The gated residual branch is that of Zhou et al. 2019, "End-to-end optimized image compression
    with attention mechanism" (Tucodec), without its non-local block. Attention acts on the
    features at 1/4 resolution and on the latent.

    Args:
        N: channels of the hidden layers.
        M: channels of the latent (the article has M = N).

    Raises:
        ConfigError: if a dimension is not a positive integer.
    """

    def __init__(self, N: int = 128, M: int = 192) -> None:
        super().__init__()
        require_positive("encoder (attention)", N=N, M=M)
        self.stride = 16
        self.latent_channels = M
        # The synthesis looks further. From pixels 0 … 15 of a cell, with the steps that
        # `residual_synthesis` explains and 3 more positions for each gate: -1 … 8 at H/2,
        # -3 … 6 at H/4, -6 … 7 at H/8, -6 … 6 at H/16 and, with a block and a gate, -11 … 11.
        # The analysis sees 117 pixels, less than 8 cells.
        self.reach = 11
        to_latent = conv(N, M, 3)
        init_weights(to_latent)
        self.analysis = nn.Sequential(  # (B, 3, H, W)
            ResidualDown(3, N),  # (B, N, H/2, W/2)
            ResidualBlock(N),
            ResidualDown(N, N),  # (B, N, H/4, W/4)
            AttentionGate(N),
            ResidualBlock(N),
            ResidualDown(N, N),  # (B, N, H/8, W/8)
            ResidualBlock(N),
            to_latent,  # (B, M, H/16, W/16)
            AttentionGate(M),
        )
        self.synthesis = nn.Sequential(
            AttentionGate(M),
            ResidualBlock(M),
            ResidualUp(M, N),
            ResidualBlock(N),
            ResidualUp(N, N),
            AttentionGate(N),
            ResidualBlock(N),
            ResidualUp(N, N),
            ResidualBlock(N),
            image_head(N),
        )
