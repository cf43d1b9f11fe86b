"""Restoration networks: shapes, reach, cost, and what the condition does."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from support import CONF, options
from torch.utils.flop_counter import FlopCounterMode

from tngexp.model.build import build
from tngexp.post import DepthwisePost, Post, features
from tngexp.post.base import CODECS, FEATURES
from tngexp.types import ConfigError

LIMITS = {"depthwise": 35.0, "light": 8.0}  # kMAC per pixel


def network(option: str, **changes: Any) -> Post:
    config = OmegaConf.to_container(OmegaConf.load(CONF / "post" / f"{option}.yaml"))
    assert isinstance(config, dict)
    made = build({**config, **changes})
    assert isinstance(made, Post)
    return made.eval()


def known(scale: float = 1.0) -> torch.Tensor:
    return features("jpeg", 20.0, 30.0, True, scale)[None]


@pytest.mark.parametrize("option", options("post"))
def test_a_network_costs_what_its_file_says(option: str) -> None:
    post = network(option)
    x = torch.zeros(1, 3, 64, 64)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        out = post(x, known())
    assert out.shape == x.shape
    assert counter.get_total_flops() / 2 / 64**2 / 1000 <= LIMITS[option]
    assert 2 * sum(p.numel() for p in post.parameters()) <= 2e6  # bytes in half precision


@pytest.mark.parametrize("option", options("post"))
def test_reach_is_what_the_gradient_says(option: str) -> None:
    post = network(option)
    side = 2 * (post.reach + 2 * post.multiple)
    side += -side % post.multiple
    x = torch.rand(1, 3, side, side, requires_grad=True)
    middle = side // 2 // post.multiple * post.multiple
    cell = post(x, known())[..., middle : middle + post.multiple, middle : middle + post.multiple]
    (gradient,) = torch.autograd.grad(cell.square().sum(), x)
    seen = gradient.abs().sum((0, 1)).nonzero()
    distances = [int(middle - seen.min()), int(seen.max() - (middle + post.multiple - 1))]
    assert max(distances) <= post.reach
    assert post.reach <= max(distances) + 2 * post.multiple  # nor is it a guess


def test_a_new_network_passes_a_picture_nearly_as_it_is() -> None:
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        difference = (network("light")(x, known()) - x).square().mean().sqrt()
    assert 0 < difference < 0.2


def test_each_number_of_the_condition_matters() -> None:
    post = network("light")
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        before = post(x, known())
        for number in range(FEATURES):
            changed = known()
            changed[0, number] += 0.5
            assert not torch.allclose(post(x, changed), before, atol=1e-5), number


def test_conditions_of_a_batch_stay_apart() -> None:
    post = network("light")
    x = torch.rand(2, 3, 64, 64)
    both = torch.cat([known(), features("webp", 80.0, 80.0, True)[None]])
    with torch.no_grad():
        together = post(x, both)
        for i in range(2):
            torch.testing.assert_close(
                together[i : i + 1], post(x[i : i + 1], both[i : i + 1]), atol=1e-4, rtol=1e-4
            )


@pytest.mark.parametrize("scale", [1.0, 1.5, 2.0])
def test_a_shift_by_the_common_period_shifts_the_result(scale: float) -> None:
    post = network("light")
    period = math.lcm(post.multiple, 96)
    margin = -(-post.reach // period) * period
    x = torch.rand(1, 3, 3 * margin, 3 * margin)
    with torch.no_grad():
        whole = post(x, known(scale))
        part = post(x[..., period:, period:], known(scale))
    inner = (..., slice(margin, -margin), slice(margin, -margin))
    torch.testing.assert_close(
        part[inner], whole[..., period:, period:][inner], atol=1e-4, rtol=1e-4
    )


def test_features_tell_codecs_steps_and_scale_apart() -> None:
    described = [
        features(codec, luma, chroma, halved, scale)
        for codec in CODECS
        for luma in (5.0, 50.0)
        for chroma in (5.0, 50.0)
        for halved in (False, True)
        for scale in (1.0, 2.0)
    ]
    described += [features(scale=scale) for scale in (1.0, 2.0)]
    assert len({tuple(d.tolist()) for d in described}) == len(described)
    assert all(d.shape == (FEATURES,) and d.abs().max() <= 1.2 for d in described)
    with pytest.raises(ValueError, match="tuple"):
        features("gif")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"channels": [8, 16], "blocks": [1]}, "one number for each level"),
        ({"channels": [], "blocks": []}, "one number for each level"),
        ({"channels": [8, 0], "blocks": [1, 1]}, "channels must be a positive whole number"),
        ({"channels": [8], "blocks": [-1]}, "blocks must be a positive whole number"),
    ],
)
def test_sizes_that_make_no_network_are_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        DepthwisePost(**changes)
