"""What judgements cost both sides, against the formulas written out image by image."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from tngexp.losses.adversarial import Adversarial, codec_loss, critic_loss, feature_matching
from tngexp.types import ConfigError

REAL = torch.tensor([[[[2.0, 0.5]]], [[[-1.0, 0.0]]]])  # (2, 1, 1, 2)
FAKE = torch.tensor([[[[-3.0, 0.5]]], [[[0.25, 4.0]]]])


def test_hinge() -> None:
    real, fake = REAL.flatten().tolist(), FAKE.flatten().tolist()
    expected = sum(max(0, 1 - r) for r in real) / 4 + sum(max(0, 1 + f) for f in fake) / 4
    assert float(critic_loss("hinge", REAL, FAKE)) == pytest.approx(expected)
    assert codec_loss("hinge", REAL, FAKE).tolist() == pytest.approx([1.25, -2.125])
    # A critic that is sure of both sides by the margin learns nothing more.
    assert float(critic_loss("hinge", torch.full((2, 1), 1.5), torch.full((2, 1), -1.5))) == 0


def test_relativistic() -> None:
    def softplus(value: float) -> float:
        return math.log1p(math.exp(value))

    pairs = list(zip(REAL.flatten().tolist(), FAKE.flatten().tolist(), strict=True))
    expected = sum(softplus(f - r) for r, f in pairs) / 4
    assert float(critic_loss("relativistic", REAL, FAKE)) == pytest.approx(expected)
    of_images = [sum(softplus(r - f) for r, f in pairs[i : i + 2]) / 2 for i in (0, 2)]
    assert codec_loss("relativistic", REAL, FAKE).tolist() == pytest.approx(of_images)
    # What all judgements have in common says nothing.
    moved = critic_loss("relativistic", REAL + 7, FAKE + 7)
    assert float(moved) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("kind", ["hinge", "relativistic"])
def test_both_sides_pull_at_opposite_ends(kind: Any) -> None:
    fake = torch.zeros(2, 1, 3, 3, requires_grad=True)
    real = torch.zeros(2, 1, 3, 3)
    (of_critic,) = torch.autograd.grad(critic_loss(kind, real, fake), fake)
    (of_codec,) = torch.autograd.grad(codec_loss(kind, real, fake).sum(), fake)
    assert (of_critic > 0).all()
    assert (of_codec < 0).all()


def test_feature_matching_is_the_mean_over_layers_and_teaches_the_decoded_side_alone() -> None:
    real = [torch.rand(2, 3, 4, 4, requires_grad=True), torch.rand(2, 5, 2, 2, requires_grad=True)]
    fake = [torch.rand_like(layer, requires_grad=True) for layer in real]
    far = feature_matching(real, fake)
    for i in range(2):
        layers = [
            float((a[i] - b[i]).detach().abs().mean()) for a, b in zip(real, fake, strict=True)
        ]
        assert float(far[i].detach()) == pytest.approx(sum(layers) / 2)
    far.sum().backward()
    assert all(layer.grad is None for layer in real)
    assert all(layer.grad is not None for layer in fake)
    assert feature_matching(real, real).tolist() == [0, 0]


@pytest.mark.parametrize(
    ("ramp", "shares"),
    [
        ((0.2, 0.6), {0.0: 0, 0.2: 0, 0.3: 0.25, 0.6: 1, 1.0: 1}),
        ((0.0, 0.0), {0.0: 1, 0.5: 1}),
        ((0.5, 0.5), {0.49: 0, 0.5: 1}),
    ],
)
def test_the_weight_rises_along_its_ramp(
    ramp: tuple[float, float], shares: dict[float, float]
) -> None:
    adversarial = Adversarial(ramp=ramp)
    assert {p: adversarial.share(p) for p in shares} == pytest.approx(shares)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "wasserstein"}, "choose hinge or relativistic"),
        ({"weight": -0.1}, r"adversarial\.weight=-0\.1"),
        ({"matching": float("nan")}, r"adversarial\.matching=nan"),
        ({"ramp": (0.5, 0.2)}, r"ramp=\[0\.5, 0\.2\]"),
        ({"ramp": (0.5, 1.2)}, "within 0 … 1"),
    ],
)
def test_what_cannot_work_is_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Adversarial(**options)
