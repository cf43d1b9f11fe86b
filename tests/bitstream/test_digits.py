"""Products on 8-bit units: the integers that Python computes, whatever the digits are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support import limit_libraries
from torch import Tensor, nn

from tngexp.bitstream import digits
from tngexp.bitstream.digits import DigitMatrix, digit_matrix, digits_of
from tngexp.bitstream.exact import exact_copy, to_grid
from tngexp.devices.hardware import multiplies_int8
from tngexp.layers.depthwise import PointwiseConv2d

needs_int8 = pytest.mark.skipif(not multiplies_int8(), reason="this CPU has no units for it")
GRID, LIMIT = 1024.0, 2048.0
EDGES = [0, 1, 127, 128, 129, 255, 256, 127 * 257, 127 * 257 + 1, 2**15, 2**16, 2**21]
BOTH = sorted({*EDGES, *(-e for e in EDGES)})


def integers(x: Tensor, unit: float) -> np.ndarray:
    """``x`` in units, as Python's integers, which have no bounds."""
    scaled = x / unit
    assert torch.equal(scaled, scaled.round())
    return np.vectorize(int, otypes=[object])(scaled.numpy())


def test_digits_are_those_of_the_numbers() -> None:
    numbers = torch.tensor(BOTH, dtype=torch.float64)
    found = digits_of(numbers)
    assert len(found) == 3
    assert [sum(int(d[n]) * 256**i for i, d in enumerate(found)) for n in range(len(BOTH))] == BOTH
    assert len(digits_of(numbers[numbers.abs() <= 127 * 257])) == 2
    assert len(digits_of(torch.zeros(3))) == 1


@pytest.mark.parametrize("most", [127, 127 * 257, 2**21])
@needs_int8
def test_a_layer_gives_the_integers_of_python(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the extremes of its digits, and of one, two and three digits, by itself and in strips."""
    some = [value for value in BOTH if abs(value) <= most]
    random = np.random.default_rng(most)
    x = torch.from_numpy(random.choice(some, (7, 33))).double() / GRID
    weight = random.choice([-(2**15), 2**15, -128, 127, 0, 5], (33, 4)).astype(object)
    bias = random.integers(-(2**40), 2**40, 4).astype(object)
    step = 2.0**-25
    layer = DigitMatrix(
        *(torch.from_numpy(a.astype(np.float64)) for a in (weight, bias)), step, GRID, LIMIT
    )
    expected = integers(x, 1 / GRID) @ weight + bias
    for rows in (384, 3, 1):
        monkeypatch.setattr(digits, "_ROWS", rows)
        layer(x, out := torch.empty(7, 4, dtype=torch.float64))
        assert np.array_equal(integers(out, step), expected)


@needs_int8
def test_numbers_are_rounded_to_the_grid_and_bounded() -> None:
    x = torch.tensor([[0.5 / 1024, 1.5 / 1024, -2.5 / 1024, 1e9, -1e300, 3.25]]).double()
    one = DigitMatrix(torch.eye(6).double(), torch.zeros(6).double(), 1 / GRID, GRID, LIMIT)
    one(x, out := torch.empty_like(x))
    assert torch.equal(out, to_grid(x))
    assert out[0].tolist() == [0, 2 / 1024, -2 / 1024, 2048, -2048, 3.25]


@needs_int8
def test_units_that_saturate_are_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    """As 8-bit multiplies of processors without VNNI do: sums of two products in 16 bits."""
    weight, bias = torch.full((8, 2), 127 / 2**15).double(), torch.zeros(2).double()
    given = weight, bias, 2.0**-25, GRID, LIMIT
    assert digit_matrix(*given) is not None
    exact = torch._int_mm

    def saturating(a: Tensor, b: Tensor, *, out: Tensor) -> Tensor:
        return out.copy_(exact(a, b).clamp(-(2**15), 2**15 - 1))

    monkeypatch.setattr(torch, "_int_mm", saturating)
    assert digit_matrix(*given) is None


@pytest.mark.parametrize("scale", [0.01, 3.0, 500.0])
@torch.no_grad()
def test_layers_give_the_same_with_and_without_the_units(
    scale: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = PointwiseConv2d(12, 36)
    x = (torch.randn(2, 12, 5, 3) * scale).double()
    rows = (torch.randn(4, 7, 12) * scale).double()
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    seen = []
    for available in (multiplies_int8, lambda: False):
        monkeypatch.setattr(digits, "_available", available)
        exact = exact_copy(nn.Sequential(layer))[0]
        planar, innermost = exact(x), exact(x.contiguous(memory_format=torch.channels_last))
        assert torch.equal(planar, innermost)
        seen.append((planar, exact.grouped(rows, 3)))
    assert all(torch.equal(a, b) for a, b in zip(*seen, strict=True))
    # Sums are exact, so that float64 in any other form gives the same numbers.
    plain = nn.functional.conv2d(to_grid(x), exact.weight, exact.bias)
    assert torch.equal(seen[0][0], plain)


@pytest.mark.parametrize(
    ("variables", "found"),
    [
        ({}, True),
        ({"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_VNNI"}, True),
        ({"ONEDNN_MAX_CPU_ISA": "AVX512_CORE"}, False),
        ({"DNNL_MAX_CPU_ISA": "AVX2"}, False),
        ({"ATEN_CPU_CAPABILITY": "avx2"}, False),
    ],
    ids=str,
)
def test_what_keeps_libraries_from_the_units_counts(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], found: bool
) -> None:
    limit_libraries(monkeypatch, variables)
    monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda: True, raising=False)
    assert multiplies_int8() is found
