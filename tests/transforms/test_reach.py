"""Declared reaches are those that gradients show, no more and no less."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from tngexp.transforms.attention import AttentionTransform
from tngexp.transforms.depthwise import DepthwiseTransform
from tngexp.transforms.gdn import GDNTransform
from tngexp.transforms.pyramid import PyramidTransform
from tngexp.transforms.residual import ResidualTransform
from tngexp.types import Transform

# How far analysis and synthesis see, by hand; the reach is the larger one.
CASES: list[tuple[Callable[..., Transform], dict[str, Any], tuple[int, int]]] = [
    (GDNTransform, {}, (2, 2)),
    (GDNTransform, {"N": 3, "M": 5}, (2, 2)),
    (ResidualTransform, {}, (4, 7)),
    (PyramidTransform, {}, (8, 7)),
    (AttentionTransform, {}, (8, 11)),
    (AttentionTransform, {"N": 3, "M": 4}, (8, 11)),
    (DepthwiseTransform, {}, (3, 3)),
    (DepthwiseTransform, {"expansion": 1}, (3, 3)),
    *(
        (DepthwiseTransform, {"blocks_analysis": analysis, "blocks_synthesis": synthesis}, seen)
        for analysis, synthesis, seen in [
            (1, 1, (1, 1)),
            (1, 2, (1, 2)),
            (2, 3, (2, 2)),
            (3, 1, (2, 1)),
            (1, 4, (1, 3)),
            (4, 2, (3, 2)),
            (26, 3, (14, 2)),
            (1, 25, (1, 13)),
        ]
    ),
]


def _distance(gradient: Tensor, cell: int, middle: int) -> int:
    """Cells between the middle one and the farthest that a gradient (1, C, H, W) touches.

    Rows and columns agree: no transform prefers a direction.
    """
    seen = gradient[0].abs().amax(0).unfold(0, cell, cell).unfold(1, cell, cell).amax((2, 3)) > 0
    rows, columns = (seen.any(axis).nonzero().flatten().sub(middle) for axis in (1, 0))
    assert rows.equal(columns)
    return int(rows.abs().max())


@pytest.mark.parametrize(("make", "arguments", "expected"), CASES)
def test_declared_is_measured(
    make: Callable[..., Transform], arguments: dict[str, Any], expected: tuple[int, int]
) -> None:
    # float64: what lies beyond is exactly zero, and nothing within underflows.
    transform = make(**{"N": 2, "M": 2} | arguments).double()
    assert transform.reach == max(expected)
    unit, middle = transform.stride, max(expected) + 2
    sides = 2 * middle + 1  # two cells beyond what it may see
    x = torch.rand(1, 3, sides * unit, sides * unit, dtype=torch.float64, requires_grad=True)
    y = transform.analysis(x)
    (at_x,) = torch.autograd.grad(y[..., middle, middle].sum(), x)
    y = y.detach().requires_grad_()
    cell = slice(middle * unit, (middle + 1) * unit)
    x_hat = transform.synthesis(y)[..., cell, cell]
    (at_y,) = torch.autograd.grad((x_hat * torch.randn_like(x_hat)).sum(), y)
    assert (_distance(at_x, unit, middle), _distance(at_y, 1, middle)) == expected


def test_borders_reach_no_further() -> None:
    """What the depthwise stem and head repeat beyond the image is its outermost cell."""
    transform = DepthwiseTransform(N=2, M=2, blocks_analysis=2, blocks_synthesis=2).double()
    assert transform.reach is not None
    x = torch.rand(1, 3, 80, 80, dtype=torch.float64, requires_grad=True)
    y = transform.analysis(x)
    (at_x,) = torch.autograd.grad(y[..., 0, 0].sum(), x)
    assert _distance(at_x, 16, 0) == transform.reach
    y = y.detach().requires_grad_()
    (at_y,) = torch.autograd.grad(transform.synthesis(y)[..., :16, :16].sum(), y)
    assert _distance(at_y, 1, 0) == transform.reach
