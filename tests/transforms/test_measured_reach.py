"""Transforms that declare no reach are measured, or refused where windows would show."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from bitstream.toys import Blocks, Detached, Mirrored, Rounded, Toy, WholeImage, holes
from support import options
from torch import nn

from tngexp.model.codec import Codec
from tngexp.transforms.reach import measure_reach
from tngexp.types import ConfigError


@pytest.mark.parametrize("encoder", options("encoder"))
def test_measured_is_declared(encoder: str, make_codec: Callable[..., Codec]) -> None:
    transform = make_codec(encoder=encoder, **{"encoder.N": 2, "encoder.M": 2}).transform
    assert transform.reach is not None
    assert measure_reach(transform) == transform.reach


# 30 is the most that the short strip may show; the layer with holes of 40 looks past its ends.
@pytest.mark.parametrize("distance", [0, 1, 30, 31, 40, 64])
@pytest.mark.parametrize("place", ["layer", "back"])
def test_toys_are_measured(distance: int, place: str) -> None:
    layer = holes(distance) if distance else nn.Identity()
    assert measure_reach(Toy(**{place: layer})) == distance


@pytest.mark.parametrize("kernel", [(1, 5), (5, 1)])
def test_either_axis_counts(kernel: tuple[int, int]) -> None:
    layer = nn.Conv2d(3, 3, kernel, padding=(kernel[0] // 2, kernel[1] // 2))
    assert measure_reach(Toy(layer)) == 2


def test_a_branch_that_starts_from_zero_counts() -> None:
    transform = Toy(nn.Sequential(holes(3), holes(5)))
    with torch.no_grad():
        for parameter in transform.parameters():
            parameter.zero_()
    assert measure_reach(transform) == 8
    assert not any(parameter.any() for parameter in transform.parameters())


@torch.inference_mode()
def test_measures_in_inference_mode_and_leaves_no_trace() -> None:
    transform = Toy(holes(2))
    before, state = copy.deepcopy(transform.state_dict()), torch.get_rng_state()
    assert measure_reach(transform) == 2
    assert transform.state_dict().keys() == before.keys()
    assert all(value.equal(before[key]) for key, value in transform.state_dict().items())
    assert transform.training
    assert torch.get_rng_state().equal(state)


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (WholeImage(), "sees more than 64 latent positions away"),
        (holes(65), "sees more than 64 latent positions away"),
        (Rounded(), "no gradient"),
        (Detached(), "a window that ends there changes"),
        (Blocks(), "a window that ends there changes"),
        (Mirrored(), "Padding size should be less"),
    ],
)
@pytest.mark.parametrize("place", ["layer", "back"])
def test_what_has_no_reach_is_refused(layer: nn.Module, reason: str, place: str) -> None:
    with pytest.raises(ConfigError, match=rf"Toy: its reach cannot be measured: .*{reason}"):
        measure_reach(Toy(**{place: layer}))
