"""Sliced Wasserstein distance between the patches of two pictures' Laplacian pyramids.

Karras et al. 2018, "Progressive Growing of GANs", § 5, compare sets of pictures by it: whether
patches of the one set are distributed as those of the other, at each scale. Here each set is one
picture, the original and what was decoded. Where a patch lies does not count, so that texture that
was made up costs little as long as it is texture of the same kind.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from tngexp.types import ConfigError

__all__ = ["FINE_LEVELS", "PATCHES", "PROJECTIONS", "swd", "swd_fine", "swd_levels"]

PATCHES = 8192
"""Patches taken of each level at most, drawn from all positions; the same ones of both pictures."""

PROJECTIONS = 128
"""Directions that the patches are projected onto; the paper takes four times as many, for which the
figures of photos differ by some percent and the seconds fourfold."""

FINE_LEVELS = 2
"""Levels that :func:`swd_fine` averages over."""

_SIDE = 7  # of a patch (§ 5)
_COARSEST = 16  # shorter side of the coarsest level, at least (§ 5)
_BINOMIAL = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)  # Burt & Adelson 1983, as in the paper's code
# What rounding to 8 bit alone spreads. A level below it is flat but for such rounding, and dividing
# by its own deviation would make a picture's difference of nothing.
_FLOOR = 1 / (255 * math.sqrt(12))
_SEED = 2018


def swd(x: Tensor, x_hat: Tensor) -> Tensor:
    """The mean of :func:`swd_levels` over all levels, a scalar; 0 is best.

    NaN where the shorter side is under 16 pixels.
    """
    levels = swd_levels(x, x_hat)
    return levels.mean() if len(levels) else levels.new_tensor(math.nan)


def swd_fine(x: Tensor, x_hat: Tensor) -> Tensor:
    """The mean of :func:`swd_levels` over the two finest levels, a scalar; 0 is best.

    NaN where these are not both differences between scales, which takes a third level below them
    and a shorter side of 61 pixels.
    """
    if _depth(x) <= FINE_LEVELS:
        return x.new_tensor(math.nan)
    return swd_levels(x, x_hat, FINE_LEVELS).mean()


@torch.no_grad()
def swd_levels(x: Tensor, x_hat: Tensor, most: int | None = None) -> Tensor:
    """The sliced Wasserstein distance of each level of the Laplacian pyramids, finest first, (L,).

    The next level is half as large, rounded up, as long as its shorter side has 16 pixels; the last
    one is the low-pass picture itself. Of each level 7×7 patches of all three channels are taken,
    all of them or :data:`PATCHES` drawn ones. Each channel is shifted and scaled to mean 0 and
    variance 1 over the patches of both pictures. The distance is the mean, over
    :data:`PROJECTIONS` random directions, of the Wasserstein-1 distance between the projected
    patches: the mean difference of their sorted values.

    Two things differ from the paper. Its sets are normalized each by itself; then detail that came
    back at half its contrast would be no difference, and lost contrast is what codecs are asked
    about. And its tables show the distance times 1000.

    Everything is drawn from a fixed seed and depends on the sizes only: equal pictures give equal
    figures, and identical ones exactly 0. Memory beside the pictures is some copies of one channel
    and 50 MB, under 900 MB for 24 megapixels.

    Args:
        x: the original, (1, 3, H, W) in [0, 1].
        x_hat: the decoded picture, like ``x``.
        most: only so many of the finest levels.

    Returns:
        A distance per level in units of standard deviations; empty where a side is under 16.

    Raises:
        ConfigError: for pictures that differ in shape or are not (1, 3, H, W).
    """
    if x.shape != x_hat.shape or x.dim() != 4 or x.shape[:2] != (1, 3):
        raise ConfigError(
            f"swd compares two pictures (1, 3, H, W), not {(*x.shape,)} and {(*x_hat.shape,)}"
        )
    depth = _depth(x)
    wanted = depth if most is None else min(most, depth)
    directions = _directions().to(x.device)
    pictures = [x[0].float(), x_hat[0].float()]  # (3, H, W) each
    distances = []
    for level in range(wanted):
        height, width = pictures[0].shape[1:]
        at = _positions(height, width, level)
        halved = level < depth - 1
        results = [_level(picture, at, halved) for picture in pictures]
        pictures = [smaller for smaller, _ in results]
        a, b = _normalized(*(patches for _, patches in results))
        gaps = (_projected(a, directions) - _projected(b, directions)).abs()
        distances.append(gaps.mean())
    return torch.stack(distances) if distances else x.new_empty(0)


def _depth(x: Tensor) -> int:
    """Levels of a picture (…, H, W); none where it is smaller than the coarsest may be."""
    side, depth = min(x.shape[-2:]), 0
    while side >= _COARSEST:
        side, depth = -(-side // 2), depth + 1
    return depth


def _positions(height: int, width: int, level: int) -> tuple[Tensor, Tensor]:
    """Rows and columns where the patches of a level begin, (n,) each, n ≤ PATCHES."""
    rows, columns = height - _SIDE + 1, width - _SIDE + 1
    if rows * columns <= PATCHES:
        index = torch.arange(rows * columns)
    else:  # Drawn, as a grid could fall in step with texture. Few are drawn twice.
        random = torch.Generator().manual_seed(_SEED + level)
        index = torch.randint(rows * columns, (PATCHES,), generator=random)
    return index // columns, index % columns


def _directions() -> Tensor:
    """Random unit vectors in the space of patches, (147, PROJECTIONS)."""
    random = torch.Generator().manual_seed(_SEED)
    drawn = torch.randn(3 * _SIDE**2, PROJECTIONS, generator=random)
    return drawn / drawn.norm(dim=0)


def _level(picture: Tensor, at: tuple[Tensor, Tensor], halved: bool) -> tuple[Tensor, Tensor]:
    """The next smaller picture (3, H/2, W/2) and this level's patches (n, 3, 7, 7).

    Args:
        picture: of this scale, (3, H, W).
        at: where the patches begin.
        halved: whether there is a smaller one, whose detail is the difference; else patches are of
            ``picture`` itself.
    """
    smaller, patches = [], []
    for channel in picture:  # one by one: a picture of 24 megapixels takes 96 MB a channel
        band = channel
        if halved:
            smaller.append(_down(channel))
            band = channel - _up(smaller[-1], *channel.shape)
        rows, columns = (index.to(band.device) for index in at)
        patches.append(band.unfold(0, _SIDE, 1).unfold(1, _SIDE, 1)[rows, columns])
    return torch.stack(smaller) if halved else picture, torch.stack(patches, 1)


def _down(channel: Tensor) -> Tensor:
    """Blurred, and every second row and column of it, (⌈H/2⌉, ⌈W/2⌉)."""
    return _blurred(channel, stride=2)


def _up(smaller: Tensor, height: int, width: int) -> Tensor:
    """As large as before it was halved, (H, W): zeros between the pixels, blurred, times 4."""
    spread = smaller.new_zeros(height, width)
    spread[::2, ::2] = smaller
    return _blurred(spread, stride=1).mul_(4)


def _blurred(channel: Tensor, stride: int) -> Tensor:
    """(H, W) filtered in rows and columns, mirrored at the borders."""
    kernel = channel.new_tensor(_BINOMIAL)
    radius = len(_BINOMIAL) // 2
    image = F.pad(channel[None, None], (radius,) * 4, mode="reflect")
    image = F.conv2d(image, kernel.view(1, 1, 1, -1), stride=(1, stride))
    return F.conv2d(image, kernel.view(1, 1, -1, 1), stride=(stride, 1))[0, 0]


def _normalized(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Patches (n, 3, 7, 7) of two pictures with the mean and deviation of both taken off."""
    dims = (0, 2, 3)
    mean = (a.mean(dims, keepdim=True) + b.mean(dims, keepdim=True)) / 2
    a, b = a - mean, b - mean
    variance = (a.square().mean(dims, keepdim=True) + b.square().mean(dims, keepdim=True)) / 2
    deviation = variance.sqrt().clamp_min(_FLOOR)
    return a / deviation, b / deviation


def _projected(patches: Tensor, directions: Tensor) -> Tensor:
    """Patches (n, 3, 7, 7) along each direction, sorted, (PROJECTIONS, n)."""
    return (patches.flatten(1) @ directions).t().contiguous().sort(dim=1).values
