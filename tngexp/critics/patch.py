"""A critic of patches: strided convolutions, a logit for each patch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch.nn.functional as F
from torch import Tensor, nn

from tngexp.critics.base import SLOPE, Condition, Critic, Judgement, critic_conv, require_sizes

__all__ = ["PatchCritic"]

_KERNEL = 4


@final
class PatchCritic(Critic):
    """Judges overlapping patches (Isola et al. 2017), each knowing the latent it was decoded from.

    4×4 convolutions, all but the last with stride 2, then a 1×1 convolution: the critic of HiFiC
    (Mentzer et al. 2020, Fig. 2), whose ``channels`` are 64, 128, 256, 512.

    Args:
        latent_channels, stride: of the codec.
        channels: of each layer, at least two.
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
        channels: Sequence[int] = (48, 96, 192, 192),
        condition: int = 12,
        spectral: bool = True,
        r1: float = 0.0,
        r1_every: int = 16,
    ) -> None:
        super().__init__(r1, r1_every)
        require_sizes("critic (patch)", channels, condition)
        self.condition = (
            Condition(latent_channels, stride, condition, spectral) if condition else None
        )
        strides = [2] * (len(channels) - 1) + [1]
        self.layers = nn.ModuleList(
            critic_conv(before, after, _KERNEL, stride, spectral=spectral)
            for before, after, stride in zip(
                (3 + condition, *channels[:-1]), channels, strides, strict=True
            )
        )
        self.head = critic_conv(channels[-1], 1, 1, spectral=spectral)
        self.min_side = _patch(strides)  # of less it would judge mostly padding

    def judge(self, x: Tensor, latent: Tensor) -> Judgement:
        h = 2 * x - 1
        if self.condition is not None:
            h = self.condition(h, latent)
        features = []
        for layer in self.layers:
            h = F.leaky_relu(layer(h), SLOPE)
            features.append(h)
        return Judgement(self.head(h), tuple(features))


def _patch(strides: Sequence[int]) -> int:
    """Side of what one logit sees, in pixels."""
    side = 1
    for stride in reversed(strides):
        side = (side - 1) * stride + _KERNEL
    return side
