"""Probabilities of symbols under a learned density, in float64: computed once, then stored."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from tngexp.types import POINT_GRID, Alphabet, Cells, Pmf

if TYPE_CHECKING:
    from tngexp.priors.factorized import FactorizedDensity

__all__ = ["probabilities"]

_TAIL_LOGIT = 21.0  # mass beyond a table's ends is below 2⁻³⁰, which an escape code takes over
_WIDEST = 1 << 13  # symbols to either side; a density wider than this leaves the rest to escapes


@torch.no_grad()
def probabilities(density: FactorizedDensity, alphabet: Alphabet) -> Pmf:
    """P(symbol) of each channel of ``density``, or of each group of channels for a codebook.

    An alphabet without an end is cut where the tails hold less than 2⁻³⁰.
    """
    exact = copy.deepcopy(density).cpu().double()
    exact.location = (exact.location * POINT_GRID).round() / POINT_GRID
    size = alphabet.size
    if size is None:
        return _unbounded(exact, alphabet)
    symbols = torch.arange(size).view(-1, 1, 1, 1)  # (L, 1, 1, 1): one element in every channel
    cells = alphabet.cells(symbols)
    if cells.group:
        masses = _codeword_masses(exact, cells)
    else:
        masses = _likelihood(exact, cells.lower.double(), cells.upper.double())[..., 0]  # (L, C)
    count = masses.shape[1]
    first = np.zeros(count, np.int64)
    return Pmf(list(masses.T.numpy()), first, 0.0, 0.0, exact.location.numpy())


def _unbounded(exact: FactorizedDensity, alphabet: Alphabet) -> Pmf:
    first = _search(exact, alphabet, -1)
    last = _search(exact, alphabet, +1)
    symbols = torch.arange(int(first.min()), int(last.max()) + 1).view(-1, 1, 1, 1)
    cells = alphabet.cells(symbols)
    masses = _likelihood(exact, cells.lower.double(), cells.upper.double())[..., 0].T.numpy()
    origin = int(first.min())
    inside = [
        masses[channel, int(first[channel]) - origin : int(last[channel]) - origin + 1]
        for channel in range(exact.channels)
    ]
    ends = alphabet.cells(first), alphabet.cells(last)
    edges = torch.stack([ends[0].lower, ends[1].upper], -1).double()  # (C, 2)
    logits = exact.logits((edges + exact.location.unsqueeze(-1)).unsqueeze(1)).squeeze(1)
    below, above = torch.sigmoid(logits[:, 0]).numpy(), torch.sigmoid(-logits[:, 1]).numpy()
    return Pmf(inside, first.numpy(), below, above, exact.location.numpy())


def _codeword_masses(exact: FactorizedDensity, cells: Cells) -> Tensor:
    """(L, C/g), the normalised products of :func:`tngexp.priors.distributions.bits`."""
    groups = exact.channels // cells.group
    repeats = (1, 1, groups, 1, 1)
    lower, upper = (edge.double().repeat(repeats).squeeze(-1) for edge in cells[:2])
    mass = _likelihood(exact, lower, upper)[..., 0]  # (L, C)
    joint = mass.clamp(min=2.0**-30).log().unflatten(1, (groups, cells.group)).sum(2)
    return torch.softmax(joint, dim=0)


def _likelihood(exact: FactorizedDensity, lower: Tensor, upper: Tensor) -> Tensor:
    """Masses of cells (L, 1, 1 or C, 1) in every channel: (L, C, 1)."""
    return exact.at(1).likelihood(lower, upper)[:, 0]


def _search(density: FactorizedDensity, alphabet: Alphabet, sign: int) -> Tensor:
    """Per channel, the symbol nearest to zero whose outer edge lies in the tail; (C,), int64."""

    def beyond(symbol: Tensor) -> Tensor:
        cells = alphabet.cells(symbol)
        edge = (cells.upper if sign > 0 else cells.lower).double() + density.location
        value = density.logits(edge.view(-1, 1, 1)).flatten()
        return value * sign >= _TAIL_LOGIT

    inside = torch.zeros(density.channels, dtype=torch.int64)
    outside = torch.full_like(inside, sign * _WIDEST)
    while bool(((outside - inside).abs() > 1).any()):
        middle = ((inside + outside) / 2).trunc().long()
        hit = beyond(middle)
        outside = torch.where(hit, middle, outside)
        inside = torch.where(hit, inside, middle)
    return torch.where(beyond(inside), inside, outside)
