"""What pictures are compared by where pixels say too much: maps of local features."""

from __future__ import annotations

import functools
import math
from abc import ABC, abstractmethod
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tngexp.losses.frozen import Frozen
from tngexp.types import ConfigError, Transform

__all__ = ["CodecFeatures", "Features", "Haar"]


class Features(nn.Module, ABC):
    """Fixed, differentiable maps of a picture, each scaled by how much it counts.

    ``strides`` are the image pixels per position of each map; picture sides are multiples of the
    largest.
    """

    strides: tuple[int, ...]

    @property
    def stride(self) -> int:
        """What the sides of a picture are multiples of."""
        return max(self.strides)

    @abstractmethod
    def forward(self, x: Tensor) -> list[Tensor]:
        """Maps, each (B, C, H/stride, W/stride), of pictures (B, 3, H, W) in [0, 1]."""


@final
class Haar(Features):
    """A Haar pyramid of 8-bit levels in opponent colours: three bands a scale, and the rest.

    Colours are turned into brightness, red − blue and green − magenta, the turn being orthonormal.
    Each scale is the means of 2×2 positions of the scale before; its bands are what the means
    leave, differences across, down and both. Squared differences of features add up to 255²·MSE.

    Args:
        scales: how often the picture is halved.

    Raises:
        ConfigError: for fewer than one.
    """

    def __init__(self, scales: int = 4) -> None:
        super().__init__()
        if scales < 1:
            raise ConfigError(f"a Haar pyramid of {scales} scales has no bands; it takes 1 or more")
        self.strides = (*(2**k for k in range(1, scales + 1)), 2**scales)

    def forward(self, x: Tensor) -> list[Tensor]:
        rest = F.conv2d(x, _opponent().to(x))
        maps = []
        for _ in self.strides[:-1]:
            top, bottom = rest[..., ::2, :], rest[..., 1::2, :]
            means, steps = (top + bottom) / 2, (top - bottom) / 2
            left, right = means[..., ::2], means[..., 1::2]
            up, down = steps[..., ::2], steps[..., 1::2]
            rest = (left + right) / 2
            maps.append(torch.cat([left - right, up + down, up - down], 1) / 2)
        return [*maps, rest]


@functools.cache
def _opponent() -> Tensor:
    """From RGB in [0, 1] to the three colours, levels of 8 bit over √3, (3, 3, 1, 1)."""
    turn = torch.tensor([[1, 1, 1], [1, 0, -1], [1, -2, 1]], dtype=torch.float64)
    return (255 / math.sqrt(3) * turn / turn.norm(dim=1, keepdim=True))[:, :, None, None]


@final
class CodecFeatures(Features):
    """Activations of a trained codec's analysis, the last ones of each resolution, latent included.

    Squared differences, summed over the channels of a map, are relative to the features' own
    variance, which is measured on noise with the spectrum of photos; each map counts alike. An
    analysis that is no ``Sequential`` has one map, its latent.

    Args:
        transform: of the codec; its analysis is frozen, in place.
    """

    def __init__(self, transform: Transform) -> None:
        super().__init__()
        self.network = Frozen(_Stages(transform.analysis))
        self._sides = transform.stride
        side = transform.stride * max(1, math.ceil(128 / transform.stride))
        with torch.no_grad():
            found = self.network(_photo_like(side))
        self.strides = tuple(side // v.shape[-1] for v in found)
        variances = [float(v.var((0, 2, 3), correction=0).sum()) for v in found]
        self._scales = [1 / math.sqrt(max(v, 1e-12) * len(found)) for v in variances]

    @property
    def stride(self) -> int:
        return self._sides

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = self.network(x)
        return [v * scale for v, scale in zip(maps, self._scales, strict=True)]


class _Stages(nn.Module):
    """The activations of an analysis that are the last of their size, largest first."""

    def __init__(self, analysis: nn.Module) -> None:
        super().__init__()
        layers = list(analysis) if isinstance(analysis, nn.Sequential) else [analysis]
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor) -> list[Tensor]:
        last: dict[tuple[int, ...], Tensor] = {}
        for layer in self.layers:
            x = layer(x)
            last[tuple(x.shape[-2:])] = x
        return list(last.values())


def _photo_like(side: int) -> Tensor:
    """Noise whose amplitudes fall as 1/f, (1, 3, side, side) in [0, 1]; always the same."""
    random = torch.Generator().manual_seed(0)
    noise = torch.randn(4, side, side, generator=random)  # of brightness, and of each channel
    down, across = torch.fft.fftfreq(side)[:, None], torch.fft.rfftfreq(side)
    frequency = torch.hypot(down, across)
    frequency[0, 0] = math.inf
    falling = torch.fft.irfft2(torch.fft.rfft2(noise) / frequency, s=(side, side))
    falling = falling / falling.std((1, 2), keepdim=True)
    return (0.5 + 0.2 * falling[:1] + 0.07 * falling[1:]).clamp(0, 1)[None]
