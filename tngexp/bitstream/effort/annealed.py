"""The port of a search by gradient: rounding up or down is drawn, ever more decidedly."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from tngexp.priors import Site
from tngexp.priors.ports import Charging
from tngexp.quantizers import Centers, Integers
from tngexp.types import Alphabet, Cells, ConfigError

__all__ = ["Annealed"]

_EDGE = 1e-5  # how near a latent may come to a point before logits become infinite


@final
class Annealed(Charging):
    """Stochastic Gumbel annealing (Yang et al. 2020, "Improving inference", § 3.3).

    An element between two points of its alphabet takes a random mean of them, whose weights are a
    Gumbel softmax at temperature τ: at first almost anything between, in the end one of the two.
    The probability of the upper point rises with the scaled logit of the position between them
    (Perugachi-Diaz et al. 2024, "SGA+", sigmoid scaled logit), which decides later than the arctanh
    of the first paper. The walk is that of a decoder: every context sees what was chosen before it,
    but for one of a thousand steps, which sees in one pass what rounding would choose.

    Args:
        temperature: τ > 0.
        generator: of the draws.
    """

    trains = True  # a context of a thousand steps is taken in one pass

    def __init__(self, temperature: float, generator: torch.Generator) -> None:
        super().__init__()
        self._temperature = temperature
        self._generator = generator

    def site(self, site: Site, source: Tensor | None) -> Tensor:
        assert source is not None
        location = site.distribution.location
        # The location moves with earlier choices; which points lie around is not its doing.
        residual = source.float() - location.detach().float()
        alphabet = site.quantizer.alphabet()
        symbols = _around(alphabet, residual.detach())  # (2, B, M, *S)
        low, high = alphabet.dequantize(symbols)
        cells = alphabet.cells(symbols)
        share = _share(residual, low, cells.upper[0], high)
        logit = torch.logit(share) / self._temperature
        uniform = torch.rand(share.shape, generator=self._generator).to(share.device)
        # The difference of two Gumbel variables is a logistic one.
        noise = torch.logit(uniform.clamp(1e-7, 1 - 1e-7))
        chosen = torch.sigmoid((logit + noise) / self._temperature)
        lower, upper = (torch.lerp(e[0], e[1], chosen) for e in (cells.lower, cells.upper))
        self._charge(site, Cells(lower, upper), source)
        return torch.lerp(low, high, chosen) + location


def _share(x: Tensor, low: Tensor, edge: Tensor, high: Tensor) -> Tensor:
    """Where x lies between two points, 0 … 1, with ½ at the edge where coding changes over."""
    below = 0.5 * (x - low) / (edge - low).clamp(min=_EDGE)
    above = 1 - 0.5 * (high - x) / (high - edge).clamp(min=_EDGE)
    return torch.where(x < edge, below, above).clamp(_EDGE, 1 - _EDGE)


def _around(alphabet: Alphabet, residual: Tensor) -> Tensor:
    """The symbols of the points below and above, (2, B, M, *S), int64."""
    if isinstance(alphabet, Integers):
        below = residual.floor().long()
        return torch.stack([below, below + 1])
    if isinstance(alphabet, Centers):
        above = torch.bucketize(residual.contiguous(), alphabet.points.to(residual))
        last = len(alphabet.points) - 1
        return torch.stack([(above - 1).clamp(min=0), above.clamp(max=last)])
    raise ConfigError(
        f"no effort above 0 works with the alphabet {type(alphabet).__name__}: a search by "
        "gradient needs points on a line"
    )
