"""What a critic sees, and what holds of its weights."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from support import CONF, options
from torch import Tensor, nn
from torch.nn.utils import parametrize

from tngexp.critics import Critic, Judgement, PatchCritic, UNetCritic, r1_penalty
from tngexp.critics.base import Condition
from tngexp.model.build import build
from tngexp.types import ConfigError

M, STRIDE = 6, 8
LATENT = {"latent_channels": M, "stride": STRIDE}


def small(option: str, **changes: Any) -> Critic:
    """The critic of a YAML file with few channels."""
    config = OmegaConf.to_container(OmegaConf.load(CONF / "critic" / f"{option}.yaml"))
    assert isinstance(config, dict)
    critic: Critic = build(
        {**config["critic"], "channels": [4, 6, 8], **LATENT, **changes}, trusted=True
    )
    return critic


def latent_of(x: Tensor) -> Tensor:
    return torch.randn(len(x), M, *(-(-side // STRIDE) for side in x.shape[-2:]))


@pytest.mark.parametrize("option", options("critic"))
@pytest.mark.parametrize("condition", [0, 3])
def test_it_judges_pictures_from_its_smallest_side_on(option: str, condition: int) -> None:
    critic = small(option, condition=condition)
    for size in ((critic.min_side, critic.min_side), (40, 57)):
        x = torch.rand(2, 3, *size)
        logits, features = critic(x, latent_of(x))
        assert logits.dtype == torch.float32
        assert logits.shape[:2] == (2, 1)
        assert logits.numel() > 0
        assert all(torch.isfinite(f).all() and len(f) == 2 for f in (logits, *features))
        assert len(features) >= 3


def test_a_u_judges_every_pixel() -> None:
    x = torch.rand(1, 3, 41, 30, requires_grad=True)
    logits = small("unet")(x, latent_of(x)).logits
    assert logits.shape == (1, 1, 41, 30)
    (slope,) = torch.autograd.grad(logits[0, 0, 20, 15], x)  # (1, 3, H, W)
    assert slope[0, :, 20, 15].abs().sum() > 0
    # And its surroundings, beyond the reach of the three 3×3 layers at full resolution.
    assert slope[0, :, 20, 15 + 6].abs().sum() > 0


@pytest.mark.parametrize("layers", [2, 3, 4])
def test_the_smallest_side_of_a_patch_critic_is_what_one_logit_sees(layers: int) -> None:
    critic = PatchCritic(**LATENT, channels=[3] * layers, condition=0)
    x = torch.rand(1, 3, 128, 128, requires_grad=True)
    logits = critic(x, torch.zeros(1, M, 16, 16)).logits
    centre = logits.shape[-1] // 2
    (slope,) = torch.autograd.grad(logits[0, 0, centre, centre], x)
    seen = slope.abs().sum((0, 1))  # (H, W)
    for axis in (0, 1):
        places = seen.sum(axis).nonzero().flatten()
        assert int(places.max() - places.min()) + 1 == critic.min_side


def test_it_knows_the_latent_unless_told_otherwise() -> None:
    x = torch.rand(1, 3, 32, 32)
    one, two = (latent_of(x).requires_grad_() for _ in range(2))
    for condition in (0, 2):
        critic = small("patch", condition=condition, spectral=False)
        left, right = critic(x, one).logits, critic(x, two).logits
        assert torch.equal(left, right) == (condition == 0)
        left.sum().backward()
        assert one.grad is None  # or the codec would send the critic messages


def test_a_latent_position_speaks_for_the_pixels_of_its_cell() -> None:
    seen = Condition(M, STRIDE, channels=4, spectral=False)
    nn.init.zeros_(seen.project.weight)
    seen.project.weight.data[0, :, 1, 1] = 1.0  # the position itself
    y = torch.rand(1, M, 4, 5)
    x = torch.rand(1, 3, 30, 40)  # less than four whole cells high
    out = seen(x, y)
    assert torch.equal(out[:, :3], x)
    assert torch.allclose(out[0, 3, 17, 26], y[0, :, 17 // STRIDE, 26 // STRIDE].sum())
    assert out.shape == (1, 7, 30, 40)


@pytest.mark.parametrize("option", options("critic"))
def test_spectral_norms_are_one(option: str) -> None:
    critic, free = small(option, condition=2), small(option, condition=2, spectral=False)
    x = torch.rand(1, 3, 32, 32)
    for _ in range(100):  # one power iteration each
        critic(x, latent_of(x))
    norms = [
        [float(torch.linalg.matrix_norm(layer.weight.detach().flatten(1), 2)) for layer in layers]
        for layers in ([m for m in c.modules() if isinstance(m, nn.Conv2d)] for c in (critic, free))
    ]
    assert len(norms[0]) >= 5
    assert norms[0] == pytest.approx([1.0] * len(norms[0]), abs=0.02)
    assert max(norms[1]) > 1.1


def test_judgements_of_one_step_are_of_the_same_weights() -> None:
    critic = small("patch")
    x = torch.rand(1, 3, 32, 32)
    y = latent_of(x)
    layer = critic.layers[0]
    assert parametrize.is_parametrized(layer)
    before = layer.parametrizations.weight[0]._u.clone()
    with torch.no_grad(), critic.steady():
        first, weight = critic(x, y), layer.weight
        once = layer.parametrizations.weight[0]._u.clone()
        second = critic(x, y)
        assert layer.weight is weight
        assert torch.equal(layer.parametrizations.weight[0]._u, once)
    assert torch.equal(first.logits, second.logits)
    assert not torch.equal(before, once)  # but they are iterated from step to step


def test_spectral_norms_are_estimated_in_float32() -> None:
    critic, lowered = small("patch"), []
    layer = critic.layers[1]
    # Told by the switch: on a CPU matrix-vector products stay float32 whatever it says.
    layer.parametrizations.weight.register_forward_hook(
        lambda *_: lowered.append(torch.is_autocast_enabled("cpu"))
    )
    x = torch.rand(1, 3, 32, 32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        critic(x, latent_of(x))
    assert lowered == [False]
    assert layer.weight.dtype == torch.float32


class Linear(Critic):
    """Two logits w·x and 3·w·x, which need no latent."""

    min_side = 1

    def __init__(self, w: Tensor) -> None:
        super().__init__()
        self.w = nn.Parameter(w)

    def judge(self, x: Tensor, latent: Tensor) -> Judgement:
        logit = (self.w * x).sum((1, 2, 3)).view(-1, 1, 1, 1)
        return Judgement(torch.cat([logit, 3 * logit], -1), ())


def test_r1_is_half_the_squared_slope() -> None:
    w = torch.randn(3, 4, 4)
    critic = Linear(w.clone())
    x = torch.rand(5, 3, 4, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        penalty = r1_penalty(critic, x, torch.zeros(5, 1, 1, 1))
    # D(x) = 2·w·x, its slope 2·w everywhere.
    assert float(penalty.detach()) == pytest.approx(float(2 * w.square().sum()), rel=1e-5)
    penalty.backward()
    torch.testing.assert_close(critic.w.grad, 4 * w)
    assert x.grad is None


@pytest.mark.parametrize("option", options("critic"))
def test_r1_reaches_the_weights_of_every_critic(option: str) -> None:
    critic = small(option, condition=0)  # through a latent nothing reaches the picture
    x = torch.rand(1, 3, 32, 32)
    r1_penalty(critic, x, latent_of(x)).backward()
    hidden = [p.grad for name, p in critic.named_parameters() if "original" in name]
    assert len(hidden) >= 4
    assert all(g is not None and g.abs().sum() > 0 for g in hidden)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": [8]}, "two layers"),
        ({"channels": [8, 0]}, "channels must be a positive whole number"),
        ({"condition": -1}, "condition=-1"),
        ({"r1": -1.0}, r"critic\.r1=-1"),
        ({"r1": float("inf")}, r"critic\.r1=inf"),
        ({"r1_every": 0}, r"critic\.r1_every=0"),
    ],
)
@pytest.mark.parametrize("kind", [PatchCritic, UNetCritic])
def test_what_cannot_work_is_named(kind: type[Critic], options: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        kind(**{**LATENT, "channels": [4, 4], **options})  # type: ignore[call-arg]
