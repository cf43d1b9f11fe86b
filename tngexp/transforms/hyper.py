"""Hyper transforms: latent → hyper-latent → whatever the prior reads its parameters from."""

from __future__ import annotations

from torch import nn

from tngexp.layers.blocks import DepthwiseBlock
from tngexp.layers.convolutions import conv, deconv, init_weights, require_positive

__all__ = ["HyperConv", "HyperDepthwise"]


class HyperConv(nn.Module):
    """Convolutions of Minnen et al. 2018 (mean-scale hyperprior), in CompressAI's layer order.

    Args:
        N: channels of the hyper-latent and the hidden layers of its analysis.
        M: channels of the latent.
        out_channels: channels of what the synthesis returns, on the latent's grid.

    Raises:
        ConfigError: if a dimension is not a positive integer.
    """

    def __init__(self, N: int, M: int, out_channels: int) -> None:
        super().__init__()
        require_positive("hyper transform", N=N, M=M, out_channels=out_channels)
        self.stride = 4  # latent positions per side-latent position, per axis
        self.side_channels = N
        wide = max(1, M * 3 // 2)
        self.analysis = nn.Sequential(  # (B, M, h, w)
            conv(M, N, 3, stride=1),
            nn.LeakyReLU(),
            conv(N, N),  # (B, N, h/2, w/2)
            nn.LeakyReLU(),
            conv(N, N),  # (B, N, h/4, w/4)
        )
        self.synthesis = nn.Sequential(  # (B, N, h/4, w/4)
            deconv(N, M),  # (B, M, h/2, w/2)
            nn.LeakyReLU(),
            deconv(M, wide),  # (B, 1.5 M, h, w)
            nn.LeakyReLU(),
            conv(wide, out_channels, 3, stride=1),  # (B, out_channels, h, w)
        )
        init_weights(self)
        init_weights(self.synthesis[-1], gain=0.5)  # parameters start near their neutral values


class HyperDepthwise(nn.Module):
    """1×1 and depthwise 3×3 convolutions only: a few percent of the cost of ``HyperConv``.

    The synthesis is a plain chain of convolutions, LeakyReLU and PixelShuffle, because it also has
    to run in exact arithmetic when it predicts coding probabilities: a residual sum or a sigmoid
    would need its own integer form. The analysis only runs in the encoder and may be anything.

    Args:
        N: channels of the hyper-latent and the hidden layers.
        M: channels of the latent.
        out_channels: channels of what the synthesis returns, on the latent's grid.

    Raises:
        ConfigError: if a dimension is not a positive integer.
    """

    def __init__(self, N: int, M: int, out_channels: int) -> None:
        super().__init__()
        require_positive("hyper transform", N=N, M=M, out_channels=out_channels)
        self.stride = 4  # latent positions per side-latent position, per axis
        self.side_channels = N
        down, side = nn.Conv2d(M, N, 2, stride=2), nn.Conv2d(N, N, 2, stride=2)
        init_weights(down, gain=1.0)
        init_weights(side, gain=1.0)
        self.analysis = nn.Sequential(  # (B, M, h, w)
            down,  # (B, N, h/2, w/2)
            DepthwiseBlock(N, expansion=1),
            side,  # (B, N, h/4, w/4)
        )
        self.synthesis = nn.Sequential(  # (B, N, h/4, w/4)
            nn.Conv2d(N, 4 * N, 1),
            nn.PixelShuffle(2),  # (B, N, h/2, w/2)
            nn.LeakyReLU(),
            nn.Conv2d(N, N, 3, padding=1, groups=N),
            nn.Conv2d(N, 4 * N, 1),
            nn.PixelShuffle(2),  # (B, N, h, w)
            nn.LeakyReLU(),
            nn.Conv2d(N, N, 3, padding=1, groups=N),
            nn.Conv2d(N, out_channels, 1),  # (B, out_channels, h, w)
        )
        init_weights(self.synthesis)
        # No rectifier between a depthwise layer and the 1×1 one after it: the pair is one layer.
        for layer in self.synthesis[3], self.synthesis[7]:
            init_weights(layer, gain=1.0)
        init_weights(self.synthesis[-1], gain=0.5)  # parameters start near their neutral values
