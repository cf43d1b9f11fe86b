"""The quantizer's contract: a set of reproduction points, each standing for a cell of the line."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from tngexp.types import Cells, Relaxed

__all__ = ["IntegerQuantizer", "Quantizer", "round_ste"]


def round_ste(x: Tensor) -> Tensor:
    """Nearest integer with the gradient of the identity (Theis et al. 2017, eq. 6)."""
    return x + (x.round() - x).detach()


class Quantizer(nn.Module, ABC):
    """Maps residuals y − μ to symbols and back, and says which cell each symbol stands for.

    A prior integrates its density over that cell (:class:`tngexp.types.Cells`), which is all the
    two need to know of each other: any quantizer works with any prior. Training uses
    :meth:`relax`, evaluation and coding the hard maps, so what is reported is what is coded.
    """

    def __init__(self) -> None:
        # Without this nn.Module would swallow misspelt options of quantizers that take none.
        super().__init__()

    def forward(self, residual: Tensor) -> Relaxed:
        """Quantize residuals of shape (B, M, *S): relaxed while training, hard otherwise."""
        if self.training:
            return self.relax(residual)
        symbols = self.quantize(residual)
        return Relaxed(self.dequantize(symbols), self.cells(symbols))

    @abstractmethod
    def relax(self, residual: Tensor) -> Relaxed:
        """The differentiable stand-in for quantization, in float32, shape (B, M, *S)."""

    @abstractmethod
    def quantize(self, residual: Tensor) -> Tensor:
        """The symbol of each residual, int64."""

    @abstractmethod
    def dequantize(self, symbols: Tensor) -> Tensor:
        """The reproduction point of each symbol, float32."""

    @abstractmethod
    def cells(self, symbols: Tensor) -> Cells:
        """The cell of each symbol."""

    def anneal(self, progress: float) -> None:
        """Move the relaxation to where it stands after ``progress`` in [0, 1] of training."""


class IntegerQuantizer(Quantizer):
    """Abstract quantizer onto the integers with unit cells; subclasses choose the relaxation."""

    def quantize(self, residual: Tensor) -> Tensor:
        return residual.round().long()

    def dequantize(self, symbols: Tensor) -> Tensor:
        return symbols.float()

    def cells(self, symbols: Tensor) -> Cells:
        return unit_cells(symbols.float())


def unit_cells(center: Tensor) -> Cells:
    """Cells of width one around ``center``."""
    return Cells(center - 0.5, center + 0.5)
