"""The quantizer's contract: a relaxation for training, and an alphabet for everything else."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor, nn

from tngexp.quantizers.alphabets import Integers
from tngexp.types import Alphabet, Cells, ConfigError, Relaxed

__all__ = ["IntegerQuantizer", "Quantizer", "round_ste"]


def round_ste(x: Tensor) -> Tensor:
    """Nearest integer with the gradient of the identity (Theis et al. 2017, eq. 6)."""
    return x + (x.round() - x).detach()


class Quantizer(nn.Module, ABC):
    """Maps residuals y − μ to symbols and back, and says which cell each symbol stands for.

    A prior integrates its density over that cell (:class:`tngexp.types.Cells`), which is all the
    two need to know of each other: any quantizer works with any prior. Training uses
    :meth:`relax`. Evaluation, coding and search use :meth:`alphabet`, so what is reported is what
    is coded.

    A quantizer that has no alphabet may override :meth:`hard` instead; it trains and evaluates,
    and is refused where files are to be written.

    Attributes:
        group: channels that share a symbol.
    """

    group: int = 1

    def __init__(self) -> None:
        # Without this nn.Module would swallow misspelt options of quantizers that take none.
        super().__init__()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name in ("quantize", "dequantize", "cells"):
            if name in cls.__dict__:
                raise ConfigError(
                    f"{cls.__name__} defines {name}(), which nothing calls: describe its symbols, "
                    "points and cells in alphabet()"
                )

    def forward(self, residual: Tensor) -> Relaxed:
        """Quantize residuals of shape (B, M, *S): relaxed while training, hard otherwise."""
        return self.relax(residual) if self.training else self.hard(residual)

    @abstractmethod
    def relax(self, residual: Tensor) -> Relaxed:
        """The differentiable stand-in for quantization, in float32, shape (B, M, *S)."""

    def hard(self, residual: Tensor) -> Relaxed:
        """What evaluation sees of residuals (B, M, *S): the points and cells of their symbols."""
        alphabet = self.alphabet()
        symbols = alphabet.quantize(residual)
        return Relaxed(alphabet.dequantize(symbols, residual.dtype), alphabet.cells(symbols))

    def alphabet(self) -> Alphabet:
        """The symbols as data, of the weights as they are now.

        Raises:
            ConfigError: for a quantizer that has none.
        """
        raise ConfigError(
            f"{type(self).__name__} has no alphabet, so it can be trained but not coded with: "
            "write alphabet() (tngexp.quantizers.alphabets has integers, centers and codebooks)"
        )

    def anneal(self, progress: float) -> None:
        """Move the relaxation to where it stands after ``progress`` in [0, 1] of training."""


class IntegerQuantizer(Quantizer):
    """Abstract quantizer onto the integers with unit cells; subclasses choose the relaxation."""

    def alphabet(self) -> Alphabet:
        return Integers()


def unit_cells(center: Tensor) -> Cells:
    """Cells of width one around ``center``."""
    return Cells(center - 0.5, center + 0.5)
