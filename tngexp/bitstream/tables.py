"""Integer tables of learned densities: derived once, then part of the weights.

A factorized density is evaluated with softplus, tanh and sigmoid, whose last bit differs between
machines, so its integer CDF is computed once (when a training ends, or when a codec without tables
first codes) and stored: sender and receiver use the same integers. The same goes for the learned
centers of a quantizer. The fingerprint in every file covers them.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tngexp.bitstream.exact import to_grid
from tngexp.coding import Tables, build_tables, quantize_edges
from tngexp.priors import ConditionalPrior, FactorizedDensity, FactorizedPrior, Prior
from tngexp.quantizers import IntegerQuantizer, Quantizer, SoftToHard
from tngexp.types import ConfigError

__all__ = ["Alphabet", "CodingTables", "DensityTable", "derive_tables"]

_TAIL_LOGIT = 21.0  # mass beyond a table's ends is below 2⁻³⁰, which an escape code takes over
_WIDEST = 1 << 13  # symbols to either side; a density wider than this leaves the rest to escapes


class DensityTable(NamedTuple):
    """A learned density per channel in integers."""

    tables: Tables
    location: NDArray[np.float64]  # (C,), where symbol 0 sits, in multiples of 2⁻¹⁰


class Alphabet(NamedTuple):
    """Finite reproduction points of a quantizer with learned centers."""

    centers: NDArray[np.float64]  # (L,), in multiples of 2⁻¹⁰
    edges: NDArray[np.int64]  # (L − 1,), inner cell edges in 1/256


class CodingTables(NamedTuple):
    """Everything a bitstream needs beyond the weights."""

    density: DensityTable  # of the side latent, or of the latent under a factorized prior
    alphabet: Alphabet | None  # None for the integers

    def to_state(self) -> dict[str, Tensor]:
        """As plain tensors, for a checkpoint."""
        tables, location = self.density
        state = {
            "cdf": torch.from_numpy(tables.cdf.astype(np.int64)),
            "begin": torch.from_numpy(tables.begin),
            "offset": torch.from_numpy(tables.offset),
            "location": torch.from_numpy(location),
        }
        if self.alphabet is not None:
            state["centers"] = torch.from_numpy(self.alphabet.centers)
            state["edges"] = torch.from_numpy(self.alphabet.edges)
        return state

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> CodingTables:
        """The inverse of :meth:`to_state`.

        Raises:
            ConfigError: for tables that could not be coded with.
        """
        try:
            arrays = {name: tensor.numpy() for name, tensor in state.items()}
            tables = Tables(
                arrays["cdf"].astype(np.uint32), arrays["begin"], arrays["offset"]
            ).check()
            alphabet = None
            if "centers" in arrays:
                alphabet = Alphabet(arrays["centers"].astype(np.float64), arrays["edges"])
            return cls(DensityTable(tables, arrays["location"].astype(np.float64)), alphabet)
        except (KeyError, ValueError, AttributeError) as error:
            raise ConfigError(f"the coding tables are damaged: {error}") from error


@torch.no_grad()
def derive_tables(prior: Prior, quantizer: Quantizer) -> CodingTables:
    """Integer tables of a prior's learned density and a quantizer's learned centers.

    Raises:
        ConfigError: for a prior or quantizer that has no bitstream form.
    """
    alphabet = None
    if isinstance(quantizer, SoftToHard):
        centers = to_grid(quantizer.centers().detach().cpu()).numpy()
        alphabet = Alphabet(centers, quantize_edges((centers[1:] + centers[:-1]) / 2))
    elif not isinstance(quantizer, IntegerQuantizer):
        raise ConfigError(
            f"{type(quantizer).__name__} has no bitstream form: derive it from IntegerQuantizer, "
            "or give it learned centers as SoftToHard does"
        )
    if isinstance(prior, ConditionalPrior):
        return CodingTables(_integer_table(prior.side_density), alphabet)
    if isinstance(prior, FactorizedPrior):
        if alphabet is None:
            return CodingTables(_integer_table(prior.density), None)
        return CodingTables(_alphabet_table(prior.density, alphabet), alphabet)
    raise ConfigError(f"{type(prior).__name__} has no bitstream form")


def _integer_table(density: FactorizedDensity) -> DensityTable:
    exact = _in_float64(density)
    location = exact.location
    first = _search(exact, -_TAIL_LOGIT, -1)
    last = _search(exact, _TAIL_LOGIT, +1)
    symbols = torch.arange(int(first.min()), int(last.max()) + 1, dtype=torch.float64)
    grid = symbols.view(1, 1, -1).expand(1, exact.channels, -1)
    mass = exact.at(grid).likelihood(grid - 0.5, grid + 0.5)[0].numpy()  # (C, n)
    origin = int(first.min())
    pmfs = [
        mass[channel, int(first[channel]) - origin : int(last[channel]) - origin + 1]
        for channel in range(exact.channels)
    ]
    edges = torch.stack([first - 0.5, last + 0.5], -1) + location.unsqueeze(-1)  # (C, 2)
    logits = exact.logits(edges.unsqueeze(1)).squeeze(1)
    below, above = torch.sigmoid(logits[:, 0]).numpy(), torch.sigmoid(-logits[:, 1]).numpy()
    tables = build_tables(pmfs, first.long().numpy(), below, above)
    return DensityTable(tables, location.numpy())


def _alphabet_table(density: FactorizedDensity, alphabet: Alphabet) -> DensityTable:
    exact = _in_float64(density)
    edges = torch.from_numpy(alphabet.edges / 256.0)
    far = edges.new_tensor([1e6])
    shape = (-1, 1, 1, 1)
    lower = torch.cat([-far, edges]).view(shape)
    upper = torch.cat([edges, far]).view(shape)
    latent = edges.new_zeros(1, exact.channels, 1)
    mass = exact.at(latent).likelihood(lower, upper)[:, 0, :, 0].T.numpy()  # (C, L)
    tables = build_tables(list(mass), np.zeros(exact.channels, np.int64))
    return DensityTable(tables, exact.location.numpy())


def _in_float64(density: FactorizedDensity) -> FactorizedDensity:
    exact = copy.deepcopy(density).cpu().double()
    exact.location = to_grid(exact.location)
    return exact


def _search(density: FactorizedDensity, logit: float, sign: int) -> Tensor:
    """Per channel, the symbol nearest to zero whose outer edge lies beyond ``logit``; (C,)."""

    def beyond(symbol: Tensor) -> Tensor:
        edge = symbol + 0.5 * sign + density.location
        value = density.logits(edge.view(-1, 1, 1)).flatten()
        return value * sign >= logit * sign

    inside = torch.zeros(density.channels, dtype=torch.float64)
    outside = torch.full_like(inside, float(sign * _WIDEST))
    while bool(((outside - inside).abs() > 1).any()):
        middle = ((inside + outside) / 2).trunc()
        hit = beyond(middle)
        outside = torch.where(hit, middle, outside)
        inside = torch.where(hit, inside, middle)
    return torch.where(beyond(inside), inside, outside)
