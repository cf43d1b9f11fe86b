"""Rounding whose zero reaches further than half a step."""

from __future__ import annotations

from typing import final

from torch import Tensor

from tngexp.quantizers.alphabets import GRID, Integers
from tngexp.quantizers.base import Quantizer
from tngexp.types import Alphabet, Cells, ConfigError, Relaxed

__all__ = ["DeadZone"]


@final
class DeadZone(Quantizer):
    """Integers with a zero cell of ``width`` and unit cells beside it (Sullivan 1996, § II).

    Residuals of a peaked density are mostly near zero, and a zero is the cheapest symbol: a wider
    zero cell trades a little distortion for many bits. Symbol k ≠ 0 stands for
    |r| ∈ (width/2 + |k| − 1, width/2 + |k|) and is decoded as k.

    While training, decoder and rate see the hard point and the hard cell, with the gradient of the
    identity (Theis et al. 2017, eq. 6): noise would spread a residual over cells of two widths.

    Args:
        width: of the zero cell, in steps; rounded to 1/128. 1 is plain rounding.

    Raises:
        ConfigError: unless 0 < ``width`` < 2: beyond, the points 1 and −1 would lie in it.
    """

    def __init__(self, width: float = 1.25) -> None:
        super().__init__()
        half = round(width * GRID / 2) if 0 < width < 2 else 0
        if not 0 < half < GRID:
            raise ConfigError(f"quantizer.width must lie between 0 and 2, not {width}")
        self._integers = Integers(zero=half)

    def relax(self, residual: Tensor) -> Relaxed:
        point, cells = self.hard(residual.detach())
        gradient = residual - residual.detach()  # zero, but for its derivative
        return Relaxed(point + gradient, Cells(cells.lower + gradient, cells.upper + gradient))

    def alphabet(self) -> Alphabet:
        return self._integers
