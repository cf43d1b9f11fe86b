"""What a critic looks like to a training: pictures in, a judgement out."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize

from tngexp.layers.convolutions import init_weights, require_positive
from tngexp.types import ConfigError

__all__ = [
    "SLOPE",
    "Condition",
    "Critic",
    "Judgement",
    "critic_conv",
    "r1_penalty",
    "require_sizes",
]

SLOPE = 0.2
"""Of the leaky rectifiers of critics, below zero."""


class Judgement(NamedTuple):
    """What a critic makes of pictures."""

    logits: Tensor  # (B, 1, h, w), float32; above 0 where it takes a place for an original's
    features: tuple[Tensor, ...]  # each (B, C, …), of its hidden layers


class Critic(nn.Module, ABC):
    """A network that learns to tell decoded pictures from originals.

    Subclasses are built with ``latent_channels`` (M) and ``stride`` (pixels per latent position) of
    a codec besides their own options, and define :meth:`judge`.

    Args:
        r1: weight γ of :func:`r1_penalty`; 0 for none.
        r1_every: steps between two penalties, each of which then counts that many times (lazy
            regularisation, Karras et al. 2020, StyleGAN2, § 3.1).

    Attributes:
        min_side: smallest image side that it can judge, in pixels.

    Raises:
        ConfigError: for a negative weight, or an interval below 1.
    """

    min_side: int

    def __init__(self, r1: float = 0.0, r1_every: int = 16) -> None:
        super().__init__()
        if not 0 <= r1 < math.inf:
            raise ConfigError(f"critic.r1={r1} must be a weight of 0 or more; 0 turns it off")
        if r1_every < 1:
            raise ConfigError(f"critic.r1_every={r1_every} must be at least 1 step")
        self.r1 = r1
        self.r1_every = r1_every

    @abstractmethod
    def judge(self, x: Tensor, latent: Tensor) -> Judgement:
        """The judgement of :meth:`forward`, in whatever precision is on."""

    def forward(self, x: Tensor, latent: Tensor) -> Judgement:
        """Judge pictures ``x`` (B, 3, H, W), nominally in [0, 1].

        Args:
            x: originals or decoded pictures.
            latent: (B, M, h, w), what the decoder received for them; it gets no gradient.
        """
        with self.steady():
            judgement = self.judge(x, latent.detach())
        return judgement._replace(logits=judgement.logits.float())

    @contextmanager
    def steady(self) -> Iterator[None]:
        """Within it all judgements are of the same weights: spectral norms are estimated once.

        They are estimated in float32, as power iterations in bfloat16 would not settle.
        """
        with parametrize.cached():
            device = next(self.parameters()).device.type
            with torch.autocast(device, enabled=False):
                for layer in self.modules():
                    if parametrize.is_parametrized(layer):
                        _ = layer.weight  # now in the cache
            yield


class Condition(nn.Module):
    """The latent as channels beside the picture (HiFiC, Mentzer et al. 2020, Fig. 2).

    A 3×3 convolution projects it to ``channels``, which are enlarged to the picture's size.

    Args:
        latent_channels: M.
        stride: pixels per latent position, per axis.
        channels: of the projection.
        spectral: whether the projection has a spectral norm of 1.
    """

    def __init__(self, latent_channels: int, stride: int, channels: int, spectral: bool) -> None:
        super().__init__()
        self.stride = stride
        self.project = critic_conv(latent_channels, channels, 3, spectral=spectral)

    def forward(self, x: Tensor, latent: Tensor) -> Tensor:
        """``x`` (B, 3, H, W) with the channels behind it: (B, 3 + channels, H, W)."""
        seen = F.leaky_relu(self.project(latent), SLOPE).to(x.dtype)
        # Nearest: a latent position speaks for the pixels of its own cell.
        seen = F.interpolate(seen, scale_factor=float(self.stride), mode="nearest")
        return torch.cat([x, seen[..., : x.shape[-2], : x.shape[-1]]], 1)


def require_sizes(owner: str, channels: Sequence[int], condition: int) -> None:
    """Check the sizes of a critic that come from a configuration.

    Raises:
        ConfigError: for fewer than two layers, or numbers that are not positive; names ``owner``.
    """
    if len(channels) < 2:
        raise ConfigError(f"{owner}: channels={list(channels)} must name two layers or more")
    for width in channels:
        require_positive(owner, channels=width)
    if condition < 0:
        raise ConfigError(f"{owner}: condition={condition} must be 0 or more channels")


def critic_conv(
    in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, *, spectral: bool
) -> nn.Module:
    """(B, in, H, W) → (B, out, ·, ·), with a spectral norm of 1 if ``spectral``.

    One power iteration a step estimates the norm (Miyato et al. 2018).
    """
    # torch's own layer: those of tngexp.layers have no second derivative, which R1 takes.
    padding = (kernel_size - 1) // 2
    layer = nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding)
    init_weights(layer)
    return parametrizations.spectral_norm(layer) if spectral else layer


def r1_penalty(critic: Critic, x: Tensor, latent: Tensor) -> Tensor:
    """½·‖∇ₓD(x)‖², a mean over originals ``x`` (B, 3, H, W): a scalar to be weighted by γ.

    D is the mean of an image's logits. (Mescheder et al. 2018, eq. 9.) In float32, since it is a
    derivative of a derivative.
    """
    with torch.autocast(x.device.type, enabled=False):
        x = x.detach().float().requires_grad_()
        judged = critic(x, latent.float()).logits.flatten(1).mean(1).sum()
        (slope,) = torch.autograd.grad(judged, x, create_graph=True)
        return slope.square().sum((1, 2, 3)).mean() / 2
