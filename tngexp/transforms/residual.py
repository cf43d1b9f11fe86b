"""Residual blocks with GDN at the changes of resolution, and sub-pixel upsampling."""

from __future__ import annotations

from torch import nn

from tngexp.layers.blocks import ResidualBlock, ResidualDown, ResidualUp
from tngexp.layers.convolutions import conv, init_weights, require_positive, subpixel
from tngexp.types import Transform

__all__ = ["ResidualTransform", "image_head", "residual_synthesis"]


def image_head(channels: int) -> nn.Sequential:
    """(B, channels, H/2, W/2) → (B, 3, H, W): the sub-pixel convolution that ends a synthesis."""
    head = subpixel(channels, 3)
    init_weights(head, gain=0.1)  # the first reconstructions stay near the grey they start from
    nn.init.constant_(head[0].bias, 0.5)  # type: ignore[arg-type]
    return head


def residual_synthesis(N: int, M: int) -> nn.Sequential:
    """(B, M, h, w) → (B, 3, 16h, 16w) (Cheng et al. 2020, figure 4, right).

    It reaches 7 latent positions: pixels 0 … 15 of a cell see -1 … 8 of the head's input, at H/2;
    a residual block adds 2 on each side, and an upsampling 1 before it halves and 1 after, to
    -3 … 6 at H/4, -4 … 5 at H/8, -5 … 5 at H/16 and, with the first block, -7 … 7.
    """
    return nn.Sequential(
        ResidualBlock(M),
        ResidualUp(M, N),
        ResidualBlock(N),
        ResidualUp(N, N),
        ResidualBlock(N),
        ResidualUp(N, N),
        ResidualBlock(N),
        image_head(N),
    )


class ResidualTransform(Transform):
    """Cheng et al. 2020, "Learned image compression with discretized Gaussian mixture likelihoods
    and attention modules", without the attention modules.

    Args:
        N: channels of the hidden layers.
        M: channels of the latent (the article has M = N).

    Raises:
        ConfigError: if a dimension is not a positive integer.
    """

    def __init__(self, N: int = 128, M: int = 192) -> None:
        super().__init__()
        require_positive("encoder (residual)", N=N, M=M)
        self.stride = 16
        self.latent_channels = M
        # The synthesis looks further. In the analysis a residual block adds 2 positions, a
        # downsampling 1 before it doubles and 1 after, to the last layer's 1 at H/8: 9 at H/4,
        # 25 at H/2 and 57 pixels, less than 4 cells.
        self.reach = 7
        last = conv(N, M, 3)
        init_weights(last)
        self.analysis = nn.Sequential(  # (B, 3, H, W)
            ResidualDown(3, N),  # (B, N, H/2, W/2)
            ResidualBlock(N),
            ResidualDown(N, N),  # (B, N, H/4, W/4)
            ResidualBlock(N),
            ResidualDown(N, N),  # (B, N, H/8, W/8)
            ResidualBlock(N),
            last,  # (B, M, H/16, W/16)
        )
        self.synthesis = residual_synthesis(N, M)
