"""What a critic's judgement of one batch does to both sides: one forward pass, two gradients."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from tngexp.critics import Critic, r1_penalty
from tngexp.losses.adversarial import Adversarial, codec_loss, critic_loss, feature_matching

__all__ = ["Verdict", "judge"]


class Verdict(NamedTuple):
    """What judging a batch comes to; only ``critic`` has a gradient."""

    adversarial: Tensor  # (B,), the codec's loss of the judgement, not yet weighted
    matching: Tensor  # (B,), distance of features, not yet weighted
    slope: Tensor | None  # (B, 3, H, W), of the codec's loss by its pictures; None without weight
    critic: Tensor  # scalar, the critic's loss, penalty included
    critic_loss: Tensor  # scalar, without it
    r1: Tensor | None  # scalar, the penalty before it is weighted; None where it is not due
    real: Tensor  # scalar, mean logit of originals
    fake: Tensor  # scalar, mean logit of decoded pictures


def judge(
    critic: Critic,
    adversarial: Adversarial,
    x: Tensor,
    x_hat: Tensor,
    latent: Tensor,
    weight: Tensor | None,
    *,
    penalise: bool = False,
) -> Verdict:
    """Have ``critic`` judge originals and decoded pictures, once for both sides.

    The critic's loss sees pictures without a history, so that its gradient ends with them. What the
    codec would get from the same forward pass is returned as ``slope``: with the loss
    Σ_b weight_b·(adversarial.weight·A_b + adversarial.matching·M_b), backward of
    ``(x_hat * slope).sum()`` is backward of that loss, without touching a weight of the critic.

    Args:
        critic: judges.
        adversarial: kind and weights; its ramp is left to ``weight``.
        x: originals (B, 3, H, W).
        x_hat: decoded pictures, likewise.
        latent: (B, M, h, w), what the decoder received.
        weight: (B,), of each image in the codec's loss; None spares the way back.
        penalise: whether an R1 penalty is due.
    """
    x, leaf, latent = x.float(), x_hat.detach().float().requires_grad_(), latent.detach()
    with critic.steady():
        real, fake = critic(x, latent), critic(leaf, latent)
        r1 = r1_penalty(critic, x, latent) if penalise else None
    kind = adversarial.kind
    with torch.autocast(x.device.type, enabled=False):
        judged = codec_loss(kind, real.logits.detach(), fake.logits)
        far = torch.zeros_like(judged)
        if adversarial.matching:
            features = ([layer.float() for layer in of.features] for of in (real, fake))
            far = feature_matching(*features)
        slope = None
        if weight is not None:
            total = adversarial.weight * judged + adversarial.matching * far
            (slope,) = torch.autograd.grad((weight * total).sum(), leaf, retain_graph=True)
        loss = critic_loss(kind, real.logits, fake.logits)
        own = loss if r1 is None else loss + critic.r1 * critic.r1_every * r1
    return Verdict(
        judged.detach(),
        far.detach(),
        slope,
        own,
        loss.detach(),
        None if r1 is None else r1.detach(),
        real.logits.detach().mean(),
        fake.logits.detach().mean(),
    )
