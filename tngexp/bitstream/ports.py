"""What happens at a site where a file is written or read: integers and exact networks."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tngexp.bitstream.exact import to_grid
from tngexp.bitstream.laws import Law, law_of
from tngexp.bitstream.tables import CodingTables
from tngexp.coding import BitstreamError, Decoder, Encoder
from tngexp.priors import Port, Site
from tngexp.types import Alphabet

__all__ = ["Choose", "Decode", "Encode", "ExactPort"]


class ExactPort(Port):
    """Abstract port of sender and receiver, who must arrive at the same integers.

    Args:
        networks: exact copies of the networks that predict probabilities.
        tables: integer tables of densities and alphabets.

    Attributes:
        seen: the symbols of each site, in coding order.
    """

    def __init__(self, networks: dict[nn.Module, nn.Module], tables: CodingTables) -> None:
        self._networks = networks
        self._tables = tables
        self.seen: list[NDArray[np.int32]] = []

    def network(self, module: nn.Module) -> Callable[..., Tensor]:
        return self._networks[module]

    def grid(self, x: Tensor) -> Tensor:
        return to_grid(x)

    @final
    def site(self, site: Site, source: Tensor | None) -> Tensor:
        alphabet = self._tables.alphabets[site.name]
        law = law_of(site, alphabet, self._tables.densities.get(site.name))
        wanted = None
        if source is not None:
            symbols = self._decide(site, alphabet, source - law.location)
            wanted = site.step.flatten(symbols)[0].to(torch.int32).contiguous().numpy()
        coded = self._exchange(law, wanted)
        if alphabet.size is not None and not _inside(coded, alphabet.size):
            raise BitstreamError("the coded stream holds a symbol outside the quantizer's alphabet")
        self.seen.append(coded)
        batch, channels, *space = law.location.shape
        like = torch.empty(batch, channels // alphabet.group, *space, dtype=torch.int64)
        symbols = site.step.unflatten(torch.from_numpy(coded).long().unsqueeze(0), like)
        values = alphabet.dequantize(symbols, torch.float64) + law.location
        self._keep(site, values)
        return values

    def _keep(self, site: Site, values: Tensor) -> None:
        """Take notice of decoded elements (1, M, *S)."""

    def _decide(self, site: Site, alphabet: Alphabet, residual: Tensor) -> Tensor:
        """The symbols (1, M/g, *S) that are to be coded of residuals (1, M, *S)."""
        return alphabet.quantize(residual)

    @abstractmethod
    def _exchange(self, law: Law, wanted: NDArray[np.int32] | None) -> NDArray[np.int32]:
        """Write symbols, or read them."""


@final
class Encode(ExactPort):
    """Writes the nearest symbols."""

    def __init__(
        self, networks: dict[nn.Module, nn.Module], tables: CodingTables, encoder: Encoder
    ) -> None:
        super().__init__(networks, tables)
        self._encoder = encoder

    def _exchange(self, law: Law, wanted: NDArray[np.int32] | None) -> NDArray[np.int32]:
        assert wanted is not None
        law.put(self._encoder, wanted)
        return wanted


@final
class Decode(ExactPort):
    """Reads symbols."""

    def __init__(
        self, networks: dict[nn.Module, nn.Module], tables: CodingTables, decoder: Decoder
    ) -> None:
        super().__init__(networks, tables)
        self._decoder = decoder

    def _exchange(self, law: Law, wanted: NDArray[np.int32] | None) -> NDArray[np.int32]:
        return law.get(self._decoder)


@final
class Choose(ExactPort):
    """Searches: what is to be coded is chosen at each site, given all that was chosen before.

    Args:
        networks: as for :class:`ExactPort`.
        tables: likewise.
        choose: from the site, its alphabet and residuals (1, M, *S) to symbols (1, M/g, *S); None
            for the nearest ones.

    Attributes:
        points: of each latent the points of the chosen symbols. Coded as latents, they give these
            symbols again, because every point is its own nearest.
    """

    def __init__(
        self,
        networks: dict[nn.Module, nn.Module],
        tables: CodingTables,
        choose: Callable[[Site, Alphabet, Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__(networks, tables)
        self._choose = choose
        self.points: dict[str, Tensor] = {}

    def _decide(self, site: Site, alphabet: Alphabet, residual: Tensor) -> Tensor:
        if self._choose is None:
            return alphabet.quantize(residual)
        return self._choose(site, alphabet, residual)

    def _exchange(self, law: Law, wanted: NDArray[np.int32] | None) -> NDArray[np.int32]:
        assert wanted is not None
        return wanted

    def _keep(self, site: Site, values: Tensor) -> None:
        full = self.points.get(site.name)
        if full is None:
            full = values.new_zeros(site.size)
        self.points[site.name] = site.step.put(full, values)


def _inside(symbols: NDArray[np.int32], size: int) -> bool:
    return symbols.size == 0 or bool(symbols.min() >= 0 and symbols.max() < size)
