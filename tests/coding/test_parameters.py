"""Integer parameters of mixtures: the compiled loop against the same rules in numpy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tngexp.coding import Parameters, mixture_parameters
from tngexp.coding.constants import constants
from tngexp.coding.probability import quantize_means, quantize_scales, weights_from_logits

Doubles = NDArray[np.float64]


def by_the_rules(scale: Doubles, mean: Doubles, logits: Doubles | None) -> Parameters:
    """The same with ``quantize_scales``, ``weights_from_logits`` and ``quantize_means``."""
    center = np.rint(mean * 1024).astype(np.int64).T  # (n, K), in multiples of 2⁻¹⁰
    if logits is None:
        weight, location = np.full(center.shape, 65536), center[:, 0]
    else:
        weight = weights_from_logits(np.rint(logits * 64).astype(np.int64).T)
        location = np.floor_divide((weight * center).sum(1) + 32768, 65536)
    offset = quantize_means((center - location[:, None]) / 1024)
    return Parameters(location / 1024, quantize_scales(scale).T, offset, weight)


def same(found: Parameters, expected: Parameters) -> bool:
    return all(np.array_equal(ours, theirs) for ours, theirs in zip(found, expected, strict=True))


@settings(deadline=None)  # the first call loads the loop
@given(
    st.integers(1, 6),
    st.sampled_from([0.01, 1.0, 30.0, 1e5]),
    st.integers(0, 2**32 - 1),
)
def test_they_follow_the_rules(components: int, spread: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    shape = (components, 50)
    scale = np.exp(random.normal(0, 3, shape))
    # On coarse grids, so that halves to be rounded to even and equal logits occur.
    mean = np.rint(random.normal(0, spread, shape) * 4096) / 4096
    logits = np.rint(random.normal(0, min(spread, 30), shape) * 128) / 128
    given = scale, mean, logits if components > 1 else None
    assert same(mixture_parameters(*given), by_the_rules(*given))


def test_scales_at_and_beside_every_edge() -> None:
    edge = constants().scale_edge
    values = [edge, np.nextafter(edge, 0), np.nextafter(edge, np.inf)]
    values += [np.array([0.0, -0.0, -3.0, 1e-300, 1e300, np.inf]), np.geomspace(0.01, 1e3, 5000)]
    scale = np.concatenate(values)[None]
    given = scale, np.zeros_like(scale), None
    assert same(mixture_parameters(*given), by_the_rules(*given))


def test_extremes_are_clipped_not_overflowed() -> None:
    mean = np.array([[1e300, -1e300, 0.0], [-1e300, -1e300, 1e9]])
    logits = np.array([[1e300, 0.0, -1e300], [0.0, 0.0, 1e300]])
    found = mixture_parameters(np.ones((2, 3)), mean, logits)
    np.testing.assert_array_equal(found.weight, [[65536, 0], [32768, 32768], [0, 65536]])
    np.testing.assert_array_equal(found.location, [2.0**30, -(2.0**30), 1e9])
    np.testing.assert_array_equal(found.mean, [[0, -(2**20)], [0, 0], [-(2**20), 0]])


@pytest.mark.parametrize("components", [1, 3])
def test_any_layout_will_do(components: int) -> None:
    random = np.random.default_rng(1)
    scale, mean, logits = (random.normal(1, 1, (40, components)).T for _ in range(3))
    given = scale, mean, logits if components > 1 else None
    assert same(mixture_parameters(*given), by_the_rules(*given))


def test_no_elements() -> None:
    empty = np.empty((3, 0))
    found = mixture_parameters(empty, empty, empty)
    assert found.location.shape == (0,)
    assert found.weight.shape == (0, 3)
