"""Wasserstein distortion: pixels where the pooling is narrow, textures where it is wide."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tngexp.losses.features import Features
from tngexp.types import ConfigError

__all__ = ["Wasserstein", "pooling_deviation", "wasserstein_distortion"]

_TAPS = (1 / 8, 3 / 8, 3 / 8, 1 / 8)
# Below it no two deviations differ visibly; the square root of a flat place has a finite slope.
_FLOOR = 1e-6


class Wasserstein(nn.Module):
    """The Wasserstein distortion of pictures (Qiu, Wagner, Ballé and Theis 2024, section II).

    Around each position, features of either picture are pooled to a mean μ and a deviation ν. As
    Gaussians they are apart by (μ − μ')² + (ν − ν')², the squared 2-Wasserstein distance, which is
    summed over features and averaged over positions. At σ = 0 that is the squared error of the
    features; the wider the pooling, the more a picture may make up as long as its kind is right.

    Args:
        features: what is pooled; its scales say how much each map counts.
        sigma: σ, the standard deviation of the pooling window along each axis, in pixels.

    Raises:
        ConfigError: for a negative or infinite σ.
    """

    def __init__(self, features: Features, sigma: float) -> None:
        super().__init__()
        if not 0 <= sigma < math.inf:
            raise ConfigError(
                f"loss.sigma={sigma} must be 0 or more: it is how far, in pixels, texture may move"
            )
        self.features = features
        self.sigma = sigma
        self.min_side = max(
            stride * 2 ** _levels_for((sigma / stride) ** 2) for stride in features.strides
        )

    def forward(self, x: Tensor, x_hat: Tensor, sigma: Tensor | None = None) -> Tensor:
        """The distortion of each picture, (B,), with gradients for ``x_hat`` only.

        Args:
            x: originals (B, 3, H, W) in [0, 1].
            x_hat: what was made of them, like ``x``.
            sigma: σ for each pixel, (B, 1, H, W), in place of the constant.
        """
        with torch.no_grad():
            wanted = self.features(self._padded(x))
        found = self.features(self._padded(x_hat))
        distances = []
        for stride, a, b in zip(self.features.strides, wanted, found, strict=True):
            width: float | Tensor = self.sigma / stride
            if sigma is not None:
                width = F.avg_pool2d(self._padded(sigma), stride) / stride
            distances.append(wasserstein_distortion(a, b, width))
        return torch.stack(distances).sum(0)

    def _padded(self, x: Tensor) -> Tensor:
        """The last row and column repeated up to a multiple of the features' stride."""
        down, right = (-side % self.features.stride for side in x.shape[-2:])
        return F.pad(x, (0, right, 0, down), mode="replicate") if down or right else x


def wasserstein_distortion(a: Tensor, b: Tensor, sigma: float | Tensor) -> Tensor:
    """The Wasserstein distortion between feature maps (B, C, h, w), (B,).

    Pooling is nested: level 0 is the map itself, and each level halves the one before with the
    taps 1 3 3 1, which is the quadratic spline of width 2^l. What lies outside mirrors what lies
    inside. A σ between two levels takes from either as much as makes the mixture of both windows as
    wide as asked for.

    Args:
        a, b: features of the two pictures.
        sigma: deviation of the window in positions of the map: a number, or (B, 1, h, w). One that
            is wider than the map counts as the widest that is not.
    """
    variance = torch.as_tensor(sigma, dtype=a.dtype).square()
    coarsest = min(_levels_for(float(variance.max())), (min(a.shape[-2:]) - 1).bit_length())
    variance = variance.clamp(max=pooling_deviation(coarsest) ** 2)
    total = a.new_zeros(len(a))
    moments = [(v, torch.zeros_like(v)) for v in (a, b)]
    for level in range(coarsest + 1):
        if level:
            moments = [_halved(*_halved(*pair, -1), -2) for pair in moments]
        share = _share(variance, level)
        if share.dim():
            for _ in range(level):
                share = F.avg_pool2d(share, 2, ceil_mode=True)
        elif not share:
            continue
        (mean, spread), (other_mean, other_spread) = moments
        gap = (mean - other_mean).square()
        if level:
            roots = [(v + _FLOOR**2).sqrt() for v in (spread, other_spread)]
            gap = gap + (roots[0] - roots[1]).square()
        total = total + (share * gap).mean((-2, -1)).sum(1)
    return total


def pooling_deviation(level: int) -> float:
    """Standard deviation, along each axis, of the pooling window of a level, in positions."""
    return math.sqrt(4**level - 1) / 2


def _levels_for(variance: float) -> int:
    """The first level whose window is as wide as that."""
    level = 0
    while pooling_deviation(level) ** 2 < variance:
        level += 1
    return level


def _share(variance: Tensor, level: int) -> Tensor:
    """How much of a level counts where the window is to have this variance; all levels sum to 1."""
    below, here, above = (pooling_deviation(n) ** 2 for n in (max(level - 1, 0), level, level + 1))
    falling = (above - variance) / (above - here)
    rising = (variance - below) / (here - below) if level else torch.ones_like(variance)
    return torch.minimum(falling, rising).clamp(0, 1)


def _halved(mean: Tensor, variance: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Moments of the windows twice as wide, at every second place along ``dim``.

    The law of total variance, written with differences: E[f²] − E[f]² would drown a faint texture
    on a bright ground in rounding.
    """
    odd = mean.shape[dim] % 2
    pad = (1, 1 + odd, 0, 0) if dim == -1 else (0, 0, 1, 1 + odd)
    means, variances = (
        [_tap(F.pad(v, pad, mode="replicate"), dim, first) for first in range(4)]
        for v in (mean, variance)
    )
    center = _weighted(means)
    between = _weighted([(v - center).square() for v in means])
    return center, _weighted(variances) + between


def _tap(padded: Tensor, dim: int, first: int) -> Tensor:
    """What the windows of four positions, two apart, hold at their position ``first``."""
    end = padded.shape[dim] - 3 + first
    return padded[..., first:end:2] if dim == -1 else padded[..., first:end:2, :]


def _weighted(taps: list[Tensor]) -> Tensor:
    outer, inner = _TAPS[:2]
    return outer * (taps[0] + taps[3]) + inner * (taps[1] + taps[2])
