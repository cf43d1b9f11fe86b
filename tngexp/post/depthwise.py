"""A U of depthwise blocks at 1/2, 1/4 and 1/8 resolution."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tngexp.layers.blocks import DepthwiseBlock
from tngexp.layers.convolutions import init_weights, require_positive
from tngexp.post.base import FEATURES, GRID, Post
from tngexp.types import ConfigError

__all__ = ["DepthwisePost"]

_HIDDEN = 64  # of the layer that reads the condition
_PERIODS = (GRID, GRID // 2)  # of blocks of chroma that was halved, and of luminance
_PHASES = 4 * len(_PERIODS)


class DepthwisePost(Post):
    """x + head(U(stem(x))), every block modulated by the condition.

    The first layer gathers 2 × 2 pixels, so that nothing is computed at full resolution (pixel
    unshuffle, Shi et al. 2016); each further level halves the resolution (Ronneberger et al.
    2015). Blocks are those of ``encoder=depthwise`` (DCVC-RT, Jia et al. 2025). The condition
    scales and shifts what enters a block, channel by channel (FiLM, Perez et al. 2018), so that
    one network serves all codecs and settings. Where a pixel lies on the codec's grid of blocks is
    given as waves of 8 and 16 pixels.

    Args:
        channels: of each level, from 1/2 resolution down.
        blocks: of each level; those of a level but the lowest are shared out to the way down and
            the way up, which gets one more of an odd number.
        expansion: hidden channels of a block's feed-forward, in units of its channels.

    Raises:
        ConfigError: for lists of different lengths, or numbers that are not positive.
    """

    def __init__(
        self,
        channels: Sequence[int] = (40, 80, 152),
        blocks: Sequence[int] = (2, 3, 3),
        expansion: int = 2,
    ) -> None:
        super().__init__()
        if len(channels) != len(blocks) or not channels:
            raise ConfigError(
                f"post (depthwise): channels={list(channels)} and blocks={list(blocks)} must "
                "have one number for each level"
            )
        for c, n in zip(channels, blocks, strict=True):
            require_positive("post (depthwise)", channels=c, blocks=n, expansion=expansion)
        levels = len(channels)
        self.multiple = 2**levels
        self.stem = nn.Conv2d(12 + _PHASES, channels[0], 3, padding=1)
        self.down_blocks, self.up_blocks = nn.ModuleList(), nn.ModuleList()
        self.downs, self.ups = nn.ModuleList(), nn.ModuleList()
        for level, (c, n) in enumerate(zip(channels, blocks, strict=True)):
            lowest = level == levels - 1
            before = n if lowest else n // 2
            self.down_blocks.append(_Blocks(c, before, expansion))
            if not lowest:
                self.up_blocks.append(_Blocks(c, n - before, expansion))
                self.downs.append(nn.Conv2d(c, channels[level + 1], 2, stride=2))
                self.ups.append(nn.Conv2d(channels[level + 1], 4 * c, 1))
        self.head = nn.Conv2d(channels[0], 12, 3, padding=1)
        self.reach = _reach(blocks)
        self.read = nn.Sequential(nn.Linear(FEATURES, _HIDDEN), nn.SiLU())
        for layer in (self.stem, *self.downs, *self.ups):
            init_weights(layer, gain=1.0)
        init_weights(self.head, gain=0.02)  # at first the picture passes nearly as it is

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        condition = condition.to(x.device)
        read = self.read(condition)
        cells = F.pixel_unshuffle(x - 0.5, 2)
        phases = _waves(cells, condition[:, -2]).to(cells.dtype)
        h = self.stem(torch.cat([cells, phases], 1))
        skips = []
        for level, blocks in enumerate(self.down_blocks):
            h = blocks(h, read)
            if level < len(self.downs):
                skips.append(h)
                h = self.downs[level](h)
        for level in reversed(range(len(self.ups))):
            h = skips.pop() + F.pixel_shuffle(self.ups[level](h), 2)
            h = self.up_blocks[level](h, read)
        out: Tensor = x + F.pixel_shuffle(self.head(h), 2)
        return out


def _reach(blocks: Sequence[int]) -> int:
    """Pixels seen beyond a cell of the lowest level: each 3×3 layer looks one cell of its own level
    away, and what a level needs of the one below is whole cells of that."""
    levels = range(len(blocks))
    reach = 2  # the head
    for level in levels:
        cell = 2 ** (level + 1)
        reach = -(-reach // cell) * cell
        lowest = level == levels[-1]
        reach += cell * (blocks[level] if lowest else blocks[level] - blocks[level] // 2)
    reach += sum(2 ** (level + 1) * (blocks[level] // 2) for level in levels[:-1])
    return reach + 2  # the stem


class _Blocks(nn.Module):
    """Depthwise blocks at one resolution, each behind a modulation of its own."""

    def __init__(self, channels: int, count: int, expansion: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(DepthwiseBlock(channels, expansion) for _ in range(count))
        films = [nn.Linear(_HIDDEN, 2 * channels) for _ in range(count)]
        for film in films:
            nn.init.normal_(film.weight, std=0.3 / math.sqrt(_HIDDEN))
            nn.init.zeros_(film.bias)
        self.films = nn.ModuleList(films)

    def forward(self, h: Tensor, read: Tensor) -> Tensor:
        for block, film in zip(self.blocks, self.films, strict=True):
            gain, shift = film(read)[:, :, None, None].to(h.dtype).chunk(2, 1)
            h = block(torch.addcmul(h + shift, h, gain))
        return h


def _waves(cells: Tensor, log_scale: Tensor) -> Tensor:
    """Sines and cosines of the position on the codec's grid: (B, 8, h, w) for cells of 2 pixels.

    Args:
        cells: (B, C, h, w), of the size and on the device wanted.
        log_scale: (B,), log2 of how much the picture was made smaller; the grid is that much wider.
    """
    batch, _, height, width = cells.shape
    scale = torch.exp2(log_scale.float())
    waves = []
    for side, view in ((height, (-1, 1)), (width, (1, -1))):
        place = 2 * torch.arange(side, device=cells.device).float() + 0.5  # of the cell's centre
        for period in _PERIODS:
            angle = 2 * math.pi * place / (period * scale[:, None])
            waves += [
                wave.view(batch, *view).expand(batch, height, width)
                for wave in (angle.sin(), angle.cos())
            ]
    return torch.stack(waves, 1)
