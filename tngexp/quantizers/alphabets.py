"""The symbols of hard quantizers as data: integers, learned centers, codewords.

One description serves evaluation, coding and search, in float32 and in float64 alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from tngexp.types import POINT_GRID, Cells, ConfigError

__all__ = ["OUTER_EDGE", "Centers", "Codebook", "Integers", "to_grid"]

GRID = 256
"""Edges of cells are multiples of 1/256, the entropy coder's unit of position."""

MAX_SYMBOL = 1 << 19
"""Larger integers are clamped: an escape code has to end somewhere."""

OUTER_EDGE = 1.0e4
"""Stands for ±∞ in outer cells: no latent is that large, and unlike ∞ it has finite gradients."""


_BLOCK = 1 << 20
"""Coordinates of differences to codewords that are worked out at once: 8 MiB of them."""


def to_grid(points: Tensor) -> Tensor:
    """Points as float64 multiples of 2⁻¹⁰, the grid that exact networks read."""
    return (points.detach().cpu().double() * POINT_GRID).round() / POINT_GRID


@final
@dataclass(frozen=True)
class Integers:
    """All integers; the cell of 0 is ±``zero``/256, every other cell is one wide.

    ``zero`` = 128 is plain rounding, half to even.
    """

    zero: int = GRID // 2
    group: int = 1
    size: int | None = None

    def quantize(self, residual: Tensor) -> Tensor:
        if self.zero == GRID // 2:
            symbols = residual.round()
        else:
            size = (residual.abs() - self.zero / GRID).floor() + 1
            symbols = residual.sign() * size.clamp(min=0)
        return symbols.clamp(-MAX_SYMBOL, MAX_SYMBOL).long()

    def dequantize(self, symbols: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        return symbols.to(dtype)

    def cells(self, symbols: Tensor) -> Cells:
        value = symbols.float()
        if self.zero == GRID // 2:
            return Cells(value - 0.5, value + 0.5)
        half = self.zero / GRID
        lower = torch.where(value > 0, value - 1 + half, value - half)
        upper = torch.where(value < 0, value + 1 - half, value + half)
        return Cells(lower, upper)

    def candidates(self, residual: Tensor) -> Tensor:
        nearest = self.quantize(residual)
        return torch.stack([nearest, nearest - nearest.sign()])

    def state(self) -> dict[str, Tensor]:
        return {}

    def restored(self, state: Mapping[str, Tensor]) -> Integers:
        return self


@final
@dataclass(frozen=True, eq=False)
class Centers:
    """L learned points; the nearest is taken, and cells end midway between neighbours.

    Args:
        points: (L,) rising, float64, multiples of 2⁻¹⁰.
        edges: (L − 1,) inner edges of the cells in 1/256, int64; rounded midpoints.
    """

    points: Tensor
    edges: Tensor
    group: int = 1

    @property
    def size(self) -> int:
        return len(self.points)

    @classmethod
    def of(cls, points: Tensor) -> Centers:
        """The alphabet of learned ``points`` (L,), rising."""
        grid = to_grid(points)
        return cls(grid, (_middles(grid) * GRID).round().long())

    def quantize(self, residual: Tensor) -> Tensor:
        middles = _middles(self.points).to(residual)
        return torch.bucketize(residual.contiguous(), middles)

    def dequantize(self, symbols: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        return self.points.to(symbols.device, dtype)[symbols]

    def cells(self, symbols: Tensor) -> Cells:
        inner = self.edges.to(symbols.device) / GRID
        outer = inner.new_tensor([OUTER_EDGE])
        return Cells(torch.cat([-outer, inner])[symbols], torch.cat([inner, outer])[symbols])

    def candidates(self, residual: Tensor) -> Tensor:
        nearest = self.quantize(residual)
        beyond = residual > self.dequantize(nearest, residual.dtype)
        second = torch.where(beyond, nearest + 1, nearest - 1)
        return torch.stack([nearest, second.clamp(0, len(self.points) - 1)])

    def state(self) -> dict[str, Tensor]:
        return {"centers": self.points, "edges": self.edges}

    def restored(self, state: Mapping[str, Tensor]) -> Centers:
        points, edges = state["centers"].double(), state["edges"].long()
        if points.shape != self.points.shape or edges.shape != self.edges.shape:
            raise ConfigError(
                f"the stored alphabet has {len(points)} centers where the quantizer has "
                f"{len(self.points)}"
            )
        return Centers(points, edges)


@final
@dataclass(frozen=True, eq=False)
class Codebook:
    """L codewords of ``group`` coordinates each; the nearest is taken.

    Args:
        words: (L, group), float64, multiples of 2⁻¹⁰.
    """

    words: Tensor

    @classmethod
    def of(cls, words: Tensor) -> Codebook:
        """The alphabet of learned ``words`` (L, group)."""
        return cls(to_grid(words))

    @property
    def size(self) -> int:
        return len(self.words)

    @property
    def group(self) -> int:
        return self.words.shape[1]

    def quantize(self, residual: Tensor) -> Tensor:
        return self._nearest(residual, lambda distances: distances.argmin(0))

    def dequantize(self, symbols: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        words = self.words.to(symbols.device, dtype)[symbols]  # (B, M/g, *S, g)
        return words.movedim(-1, 2).flatten(1, 2)

    def cells(self, symbols: Tensor) -> Cells:
        chosen = torch.nn.functional.one_hot(symbols, len(self.words)).movedim(-1, 0)
        lower, upper = cubes(self.words.to(symbols.device).float(), symbols.dim())
        return Cells(lower, upper, chosen.float(), self.group)

    def candidates(self, residual: Tensor) -> Tensor:
        return self._nearest(residual, lambda d: d.topk(2, dim=0, largest=False).indices)

    def state(self) -> dict[str, Tensor]:
        return {"codebook": self.words}

    def restored(self, state: Mapping[str, Tensor]) -> Codebook:
        words = state["codebook"].double()
        if words.shape != self.words.shape:
            raise ConfigError(
                f"the stored codebook is {tuple(words.shape)} where the quantizer's is "
                f"{tuple(self.words.shape)}"
            )
        return Codebook(words)

    def _nearest(self, residual: Tensor, choose: Callable[[Tensor], Tensor]) -> Tensor:
        """What ``choose`` takes along the first axis of squared distances (L, …), for each group.

        Some groups at a time, so that memory does not grow with the codebook.
        """
        groups = residual.unflatten(1, (-1, self.group)).movedim(2, 0)  # (g, B, M/g, *S)
        words = self.words.to(residual)
        blocks = groups.flatten(1).split(max(1, _BLOCK // words.numel()), dim=1)  # (g, n)
        found = [choose(squared_distances(b.unsqueeze(0), words)[:, 0, 0]) for b in blocks]
        return torch.cat(found, -1).unflatten(-1, groups.shape[1:])  # (…, B, M/g, *S)


def squared_distances(residual: Tensor, words: Tensor) -> Tensor:
    """(L, B, M/g, *S) for residuals (B, M, *S) and words (L, g)."""
    grouped = residual.unflatten(1, (-1, words.shape[1]))  # (B, M/g, g, *S)
    shape = (len(words), 1, 1, words.shape[1], *[1] * (residual.dim() - 2))
    return (grouped - words.view(shape)).square().sum(3)


def cubes(words: Tensor, dims: int) -> tuple[Tensor, Tensor]:
    """Edges of the unit cubes around words (L, g), shaped (L, 1, g, 1, …) for ``dims`` axes."""
    center = words.view(len(words), 1, words.shape[1], *[1] * (dims - 2))
    return center - 0.5, center + 0.5


def _middles(points: Tensor) -> Tensor:
    return (points[1:] + points[:-1]) / 2
