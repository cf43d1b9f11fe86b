"""Exact products on units that multiply 8-bit integers: the same numbers as in float64, sooner.

An activation on the grid of 2⁻¹⁰ within ±2¹¹ is an integer of 22 bits and a weight one of 16 bits.
In base 256, with digits of −128 … 127, they are x = Σ_i x_i·256ⁱ and w = Σ_j w_j·256ʲ, so that

    Σ x·w = Σ_s 256ˢ · Σ Σ_(i+j=s) x_i·w_j

where the sums over channels on the right are products of matrices of 8-bit integers, whose 32-bit
sums cannot overflow. Third digits are rare: where all of them are zero they are left out.
"""

from __future__ import annotations

from functools import cache
from typing import final

import numpy as np
import torch
from torch import Tensor

from tngexp.coding.loading import load_compiled
from tngexp.devices.hardware import multiplies_int8

__all__ = ["DigitMatrix", "digit_matrix"]

_KERNELS = "tngexp.bitstream.exact_kernels"
_BASE = 256
_ROWS = 384  # of activations at a time: their products are to stay in a cache
_MAX_CHANNELS = 2**15  # thrice as many products of 2¹⁴ each stay below 2³¹


@final
class DigitMatrix:
    """A 1×1 layer, (n, C) → (n, O), as matrices of digits.

    Args:
        weight: integers, (C, O) in float64, with J digits.
        bias: integers, (O,) in float64.
        step: what one unit of the output stands for, a power of two.
        grid: the activations' units in 1.
        limit: the activations' bound, in 1.
    """

    def __init__(
        self, weight: Tensor, bias: Tensor, step: float, grid: float, limit: float
    ) -> None:
        self._digits = digits_of(weight)
        self._bias = bias.contiguous().numpy()
        self._step, self._grid, self._limit = step, grid, limit
        self._levels: dict[int, list[tuple[slice, Tensor]]] = {}

    def __call__(self, x: Tensor, out: Tensor) -> None:
        """Fill ``out`` (n, O) with the layer's output of activations (n, C), both in float64."""
        kernels, most, channels = load_compiled(_KERNELS), min(len(x), _ROWS), x.shape[1]
        # Taken once for all rows: fresh memory costs more than what is computed in it.
        digits = torch.empty(most, kernels.DIGITS, channels, dtype=torch.int8)
        levels = kernels.DIGITS + len(self._digits) - 1
        sums = torch.empty(levels * most * out.shape[1], dtype=torch.int32)
        scratch = np.empty(channels, np.int32)
        for rows, target in zip(x.split(_ROWS), out.split(_ROWS), strict=True):
            given = rows.contiguous().numpy(), self._grid, self._limit, scratch
            parts = self._of(kernels.split_digits(*given, digits.numpy()))
            products = sums[: len(parts) * target.numel()].view(-1, *target.shape)
            for (columns, matrix), product in zip(parts, products, strict=True):
                torch._int_mm(digits.flatten(1)[: len(rows), columns], matrix, out=product)
            kernels.join_digits(products.numpy(), self._bias, self._step, target.numpy())

    def _of(self, count: int) -> list[tuple[slice, Tensor]]:
        """For s = 0, 1, …: which columns of digits take part, and what they are multiplied with.

        Args:
            count: digits that activations have.
        """
        if count not in self._levels:
            size, weights = len(self._digits[0]), self._digits
            self._levels[count] = []
            for s in range(count + len(weights) - 1):
                first, last = max(0, s - len(weights) + 1), min(s, count - 1)
                stacked = torch.cat([weights[s - i] for i in range(first, last + 1)])
                columns = slice(first * size, (last + 1) * size)
                self._levels[count].append((columns, stacked))
        return self._levels[count]


def digit_matrix(
    weight: Tensor, bias: Tensor, step: float, grid: float, limit: float
) -> DigitMatrix | None:
    """A layer as a :class:`DigitMatrix`; None where float64 has to do.

    That is where the machine has no units for it, and where they would not give, against all
    expectation, what float64 gives of numbers chosen to make 8-bit arithmetic overflow.

    Args:
        weight: multiples of step·grid, (C, O) in float64.
        bias: multiples of ``step``, (O,) in float64.
        step: see :class:`DigitMatrix`.
        grid: likewise.
        limit: likewise.
    """
    if not _available() or len(weight) > _MAX_CHANNELS:
        return None
    matrix = DigitMatrix(weight / (step * grid), bias / step, step, grid, limit)
    for probe in _probes(len(weight), grid, limit):
        expected = torch.addmm(bias, probe, weight)
        matrix(probe, found := torch.empty_like(expected))
        if not torch.equal(found, expected):
            return None
    return matrix


def digits_of(numbers: Tensor) -> list[Tensor]:
    """Integers in base 256 with digits of −128 … 127, lowest first, as int8."""
    rest = numbers.round().long()
    digits: list[Tensor] = []
    while bool(rest.any()) or not digits:
        low = (rest + _BASE // 2) % _BASE - _BASE // 2
        digits.append(low.to(torch.int8))
        rest = (rest - low) // _BASE
    return digits


@cache
def _available() -> bool:
    return multiplies_int8() and hasattr(torch, "_int_mm")


def _probes(channels: int, grid: float, limit: float) -> list[Tensor]:
    """Activations (n, channels) of one, two and three digits: extremes, alone and mixed."""
    numbers = [[-127, 127, 0], [-127 * 257, 127 * 257, -128], [-limit * grid, limit * grid, -128]]
    random = np.random.default_rng(channels)
    probes = []
    for some in np.array(numbers, np.float64):
        alone = np.repeat(some[:, None], channels, 1)
        mixed = random.choice(some, (3, channels))
        probes.append(torch.from_numpy(np.concatenate([alone, mixed])) / grid)
    return probes
