"""An image between the halves of coding: analysed, not yet written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import final

from tngexp.pixels import Picture
from tngexp.types import Latents

__all__ = ["Analysis", "tiles_of"]

_TILE = 128
"""Latent positions of a tile's side: larger latents are coded as independent tiles, which bounds
the memory of the exact networks. Only the prior sees tiles; the transforms see the whole image."""


@final
@dataclass(frozen=True)
class Analysis:
    """An image between analysis and writing: its latents, and what the file will say besides.

    A search changes the latents (:meth:`map`) and leaves the rest alone.
    """

    tiles: tuple[Latents, ...]  # y (1, M, h, w) and z of each tile of the latent, in raster order
    quality: int | None  # in 1/255; None for a codec of one fixed rate
    picture: Picture

    def map(self, change: Callable[[Latents], Latents]) -> Analysis:
        """The same image with other latents."""
        return replace(self, tiles=tuple(change(tile) for tile in self.tiles))


def tiles_of(rows: int, columns: int) -> list[tuple[slice, slice]]:
    """Tiles of a latent in raster order; sides are multiples of every prior's stride."""
    return [
        (slice(r, min(r + _TILE, rows)), slice(c, min(c + _TILE, columns)))
        for r in range(0, rows, _TILE)
        for c in range(0, columns, _TILE)
    ]
