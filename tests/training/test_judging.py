"""One forward pass gives both sides the gradients that they would get from passes of their own."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from support import needs_bf16
from torch import Tensor

from tngexp.critics import Critic, PatchCritic, UNetCritic, r1_penalty
from tngexp.losses.adversarial import Adversarial, codec_loss, critic_loss, feature_matching
from tngexp.training.judging import Verdict, judge

WEIGHT = torch.tensor([0.3, 1.7])  # of two images


def make(kind: type[Critic] = PatchCritic, **options: Any) -> Critic:
    sizes = {"latent_channels": 4, "stride": 8, "channels": [4, 6, 8], "condition": 2}
    # In evaluation mode power iterations rest, so that passes can be compared.
    return kind(**{**sizes, **options}).eval()  # type: ignore[call-arg]


def pictures() -> tuple[Tensor, Tensor, Tensor]:
    """Originals and decoded pictures (2, 3, 32, 32), which have a history, and a latent."""
    x = torch.rand(2, 3, 32, 32)
    return x, (x + 0.2 * torch.randn_like(x)).requires_grad_(), torch.randn(2, 4, 4, 4)


def gradients(critic: Critic) -> dict[str, Tensor]:
    return {n: p.grad.clone() for n, p in critic.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("kind", ["hinge", "relativistic"])
@pytest.mark.parametrize(
    ("critic", "penalise"),
    [(PatchCritic, False), (UNetCritic, False), (PatchCritic, True)],
)
def test_both_gradients_are_those_of_separate_passes(
    kind: Any, critic: type[Critic], penalise: bool
) -> None:
    judging = make(critic, r1=0.5, r1_every=4)
    adversarial = Adversarial(kind, weight=0.7, matching=1.3)
    x, x_hat, y = pictures()

    verdict = judge(judging, adversarial, x, x_hat, y, WEIGHT, penalise=penalise)
    verdict.critic.backward()
    found = gradients(judging)
    assert x_hat.grad is None  # the critic's loss ends with the pictures
    assert verdict.slope is not None
    (x_hat * verdict.slope).sum().backward()
    # Nor do the critic's weights see anything of the codec's loss.
    assert all(torch.equal(g, found[n]) for n, g in gradients(judging).items())

    judging.zero_grad()
    reference = x_hat.detach().requires_grad_()
    judging.requires_grad_(False)
    real, fake = judging(x, y), judging(reference, y)
    judged = codec_loss(kind, real.logits, fake.logits)
    far = feature_matching(real.features, fake.features)
    (WEIGHT * (0.7 * judged + 1.3 * far)).sum().backward()
    torch.testing.assert_close(x_hat.grad, reference.grad)
    torch.testing.assert_close(verdict.adversarial, judged.detach())
    torch.testing.assert_close(verdict.matching, far.detach())

    judging.requires_grad_()
    real, fake = judging(x, y), judging(x_hat.detach(), y)
    loss = critic_loss(kind, real.logits, fake.logits)
    torch.testing.assert_close(verdict.critic_loss, loss.detach())
    if penalise:
        penalty = r1_penalty(judging, x, y)
        torch.testing.assert_close(verdict.r1, penalty.detach())
        loss = loss + 0.5 * 4 * penalty  # of the four steps that it stands for
    loss.backward()
    expected = gradients(judging)
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, msg=name)


def test_without_a_share_only_the_critic_learns() -> None:
    critic = make()
    x, x_hat, y = pictures()
    verdict = judge(critic, Adversarial(weight=1.0), x, x_hat, y, None)
    assert verdict.slope is None
    assert verdict.r1 is None
    assert verdict.critic.requires_grad
    assert torch.isfinite(verdict.adversarial).all()
    assert verdict.matching.tolist() == [0, 0]  # not asked for


def test_the_two_passes_are_of_one_estimate_of_spectral_norms() -> None:
    critic = make().train()
    x, _, y = pictures()
    same: Verdict = judge(critic, Adversarial(weight=1.0, matching=1.0), x, x, y, WEIGHT)
    assert same.matching.tolist() == [0, 0]
    assert float(same.real) == float(same.fake)


@needs_bf16
def test_losses_stay_float32_where_layers_do_not() -> None:
    critic = make().train()
    x, x_hat, y = pictures()
    adversarial = Adversarial("relativistic", weight=1.0, matching=1.0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        verdict = judge(critic, adversarial, x, x_hat.bfloat16(), y, WEIGHT, penalise=True)
    assert {value.dtype for value in verdict if value is not None} == {torch.float32}
    verdict.critic.backward()
    assert {g.dtype for g in gradients(critic).values()} == {torch.float32}
