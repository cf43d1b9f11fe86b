"""What a critic's judgement costs: the critic's own loss, the codec's, and how much it weighs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from tngexp.types import ConfigError

__all__ = ["Adversarial", "codec_loss", "critic_loss", "feature_matching"]

Kind = Literal["hinge", "relativistic"]


@dataclass(frozen=True)
class Adversarial:
    """The adversarial terms of a perceptual loss; both are parts of D, so λ multiplies them.

    Args:
        kind: ``hinge`` (Lim and Ye 2017) or ``relativistic`` (the pairing loss of R3GAN, Huang et
            al. 2024: a restored picture is judged against its own original).
        weight: of the critic's judgement.
        matching: of the distance between the critic's features (Wang et al. 2018, pix2pixHD).
        ramp: shares of the run at which the two weights begin to rise from zero and are full.

    Raises:
        ConfigError: for an unknown kind, a negative weight, or a ramp that does not rise in 0 … 1.
    """

    kind: Kind = "hinge"
    weight: float = 0.0
    matching: float = 0.0
    ramp: tuple[float, float] = (0.0, 0.1)

    def __post_init__(self) -> None:
        if self.kind not in ("hinge", "relativistic"):
            raise ConfigError(
                f"loss.adversarial.kind={self.kind!r} is unknown: choose hinge or relativistic"
            )
        for name in ("weight", "matching"):
            if not getattr(self, name) >= 0:
                raise ConfigError(
                    f"loss.adversarial.{name}={getattr(self, name)} must not be negative"
                )
        start, end = self.ramp
        if not 0 <= start <= end <= 1:
            raise ConfigError(
                f"loss.adversarial.ramp={list(self.ramp)} must be two shares of the run, rising "
                "within 0 … 1: when the critic's weight begins to rise, and when it is full"
            )

    def share(self, progress: float) -> float:
        """How much of the weights counts when ``progress`` (0 … 1) of the run is over."""
        start, end = self.ramp
        if progress >= end:
            return 1.0
        return 0.0 if progress <= start else (progress - start) / (end - start)


def critic_loss(kind: Kind, real: Tensor, fake: Tensor) -> Tensor:
    """What the critic minimises, a scalar, of its judgements of originals and of decoded pictures.

    Args:
        kind: of :class:`Adversarial`.
        real, fake: logits of any one shape, in the order of the same pictures.
    """
    if kind == "relativistic":
        return F.softplus(fake - real).mean()
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


def codec_loss(kind: Kind, real: Tensor, fake: Tensor) -> Tensor:
    """What the codec minimises, for each picture (B,); arguments as of :func:`critic_loss`."""
    if kind == "relativistic":
        return F.softplus(real - fake).flatten(1).mean(1)
    return -fake.flatten(1).mean(1)


def feature_matching(real: Sequence[Tensor], fake: Sequence[Tensor]) -> Tensor:
    """Mean absolute difference of the critic's features, each (B, …), over all layers: (B,)."""
    distances = [(b - a.detach()).abs().flatten(1).mean(1) for a, b in zip(real, fake, strict=True)]
    return torch.stack(distances).mean(0)
