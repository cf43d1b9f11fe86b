"""A critic of pixels: a U of convolutions, a logit for each pixel."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import final

import torch.nn.functional as F
from torch import Tensor, nn

from tngexp.critics.base import SLOPE, Condition, Critic, Judgement, critic_conv, require_sizes

__all__ = ["UNetCritic"]


@final
class UNetCritic(Critic):
    """Judges every pixel, knowing its surroundings (Schönfeld et al. 2020).

    Down by 4×4 convolutions of stride 2, up by sub-pixel convolutions (Shi et al. 2016) whose
    output is added to what lies on the way down, as in Real-ESRGAN (Wang et al. 2021, § 3.4),
    whose ``channels`` are 64, 128, 256, 512. The logit of the whole picture, which Schönfeld et al.
    have besides at the lowest level, is left out there, too.

    Args:
        latent_channels, stride: of the codec.
        channels: of each level, from full resolution down; at least two.
        condition: channels that the latent is projected to; 0: it sees the picture alone.
        spectral: divide every layer by its spectral norm (Miyato et al. 2018).
        r1, r1_every: see :class:`Critic`.

    Raises:
        ConfigError: for fewer than two layers, or numbers that are not positive.
    """

    def __init__(
        self,
        latent_channels: int,
        stride: int,
        channels: Sequence[int] = (16, 32, 64, 128),
        condition: int = 0,
        spectral: bool = True,
        r1: float = 0.0,
        r1_every: int = 16,
    ) -> None:
        super().__init__(r1, r1_every)
        require_sizes("critic (unet)", channels, condition)
        self.condition = (
            Condition(latent_channels, stride, condition, spectral) if condition else None
        )
        pairs = list(itertools.pairwise(channels))
        self.stem = critic_conv(3 + condition, channels[0], 3, spectral=spectral)
        self.downs = nn.ModuleList(critic_conv(a, b, 4, 2, spectral=spectral) for a, b in pairs)
        self.ups = nn.ModuleList(critic_conv(b, 4 * a, 1, spectral=spectral) for a, b in pairs)
        self.merges = nn.ModuleList(critic_conv(a, a, 3, spectral=spectral) for a, _ in pairs)
        self.head = critic_conv(channels[0], 1, 3, spectral=spectral)
        self._multiple = 2 ** len(pairs)
        self.min_side = 2 * self._multiple  # one position is no U

    def judge(self, x: Tensor, latent: Tensor) -> Judgement:
        height, width = x.shape[-2:]
        h = 2 * x - 1
        if self.condition is not None:
            h = self.condition(h, latent)
        bottom, right = -height % self._multiple, -width % self._multiple
        if bottom or right:
            h = F.pad(h, (0, right, 0, bottom), mode="replicate")
        h = F.leaky_relu(self.stem(h), SLOPE)
        features = [h]
        for down in self.downs:
            h = F.leaky_relu(down(h), SLOPE)
            features.append(h)
        for level in reversed(range(len(self.ups))):
            h = features[level] + F.pixel_shuffle(self.ups[level](h), 2)
            h = F.leaky_relu(self.merges[level](h), SLOPE)
            features.append(h)
        return Judgement(self.head(h)[..., :height, :width], tuple(features))
