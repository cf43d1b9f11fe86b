"""Transforms for tests, small and of a reach known by construction."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tngexp.types import Transform

UNIT = 4  # image pixels per latent position


class Toy(Transform):
    """One convolution from cells to the latent and ``layer`` on its grid; ``back`` on the way back.

    Both are (B, 3, h, w) → (B, 3, h, w).
    """

    def __init__(self, layer: nn.Module | None = None, back: nn.Module | None = None) -> None:
        super().__init__()
        self.stride, self.latent_channels = UNIT, 3
        self.analysis = nn.Sequential(nn.Conv2d(3, 3, UNIT, UNIT), layer or nn.Identity())
        self.synthesis = nn.Sequential(
            back or nn.Identity(), nn.Conv2d(3, 3 * UNIT**2, 1), nn.PixelShuffle(UNIT)
        )


def holes(distance: int) -> nn.Conv2d:
    """A 3×3 convolution whose outer taps lie ``distance`` positions away."""
    return nn.Conv2d(3, 3, 3, padding=distance, dilation=distance)


class WholeImage(nn.Module):
    """Adds the mean over the image, as a squeeze-and-excitation layer would use it."""

    def forward(self, x: Tensor) -> Tensor:
        return x + x.mean((2, 3), keepdim=True)


class Blocks(nn.Module):
    """Adds the mean over fixed blocks of 4 positions of a row, as attention in windows does."""

    def forward(self, x: Tensor) -> Tensor:
        rest = -x.shape[-1] % 4
        padded = nn.functional.pad(x, (0, rest))
        mean = padded.unflatten(-1, (-1, 4)).mean(-1).repeat_interleave(4, -1)
        return x + mean[..., : x.shape[-1]]


class Rounded(nn.Module):
    """Has no gradient."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.round(10 * x)


class Detached(nn.Module):
    """Shows gradients to half of what it looks at."""

    def forward(self, x: Tensor) -> Tensor:
        return x + x.detach().roll(5, -1)


class Mirrored(nn.Module):
    """Refuses inputs of few rows."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.pad(x, (6, 6, 6, 6), mode="reflect")[..., 12:, 12:]
