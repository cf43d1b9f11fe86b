"""From what a prior says of a site to what the entropy coder is told: integers only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tngexp.coding import (
    Decoder,
    Encoder,
    Parameters,
    Tables,
    codebook_tables,
    mixture_parameters,
)
from tngexp.priors import Site
from tngexp.quantizers import Centers, Codebook, Integers
from tngexp.types import Alphabet, ConfigError, MixtureForm, StaticForm

__all__ = ["DensityTable", "Law", "form_of", "law_of"]

_CODEWORD_GRID = 256  # codewords' coordinates in the entropy coder's unit of position
_TABLE_ENTRIES = 1 << 20  # of codewords, in the tables that are made at once: 4 MiB

_Symbols = NDArray[np.int32]
_Exchange = tuple[Callable[[Encoder, _Symbols], None], Callable[[Decoder], _Symbols]]


class DensityTable(NamedTuple):
    """A learned density per channel (or group of channels) in integers."""

    tables: Tables
    location: NDArray[np.float64]  # (C,), where symbol 0 sits, in multiples of 2⁻¹⁰


class Law(NamedTuple):
    """How the elements of a site are coded."""

    location: Tensor  # (1, M, *S), float64, in multiples of 2⁻¹⁰
    put: Callable[[Encoder, _Symbols], None]
    get: Callable[[Decoder], _Symbols]


def form_of(site: Site) -> MixtureForm | StaticForm:
    """What the site's distribution hands over for coding.

    Raises:
        ConfigError: for a distribution that hands over nothing.
    """
    form = getattr(site.distribution, "form", None)
    if form is None:
        raise ConfigError(
            f"{type(site.distribution).__name__} has no integer form, so it can be trained but "
            "not coded with: write form() as tngexp.priors.distributions.Mixture does"
        )
    result: MixtureForm | StaticForm = form()
    return result


def law_of(site: Site, alphabet: Alphabet, table: DensityTable | None) -> Law:
    """How to code ``site`` with the symbols of ``alphabet``; ``table`` for a learned density."""
    if table is not None:
        return _static(site, alphabet, table)
    form = form_of(site)
    assert isinstance(form, MixtureForm)
    return _mixture(site, alphabet, form)


def _static(site: Site, alphabet: Alphabet, table: DensityTable) -> Law:
    channels = site.size[1] // alphabet.group
    part = site.step.take(torch.zeros(1, *site.size[1:], dtype=torch.float64))
    location = torch.from_numpy(table.location).view(-1, *[1] * (part.dim() - 2)) + part
    index = torch.arange(channels, dtype=torch.int32).view(-1, *[1] * (part.dim() - 2))
    flat = site.step.flatten(index.expand(1, channels, *part.shape[2:]))[0].numpy()

    def put(encoder: Encoder, symbols: _Symbols) -> None:
        encoder.table(symbols, flat, table.tables)

    def get(decoder: Decoder) -> _Symbols:
        return decoder.table(flat, table.tables)

    return Law(location, put, get)


def _mixture(site: Site, alphabet: Alphabet, form: MixtureForm) -> Law:
    part = form.mean[0]  # (1, M, *S)

    def flat(values: Tensor | None) -> NDArray[np.float64]:
        """(K, n) of (K, 1, M, *S), in coding order."""
        assert values is not None
        return site.step.flatten(values[:, 0]).numpy()

    logits = None if form.logits is None else flat(form.logits)
    integers = mixture_parameters(flat(form.scale), flat(form.mean), logits)
    location = site.step.unflatten(torch.from_numpy(integers.location).unsqueeze(0), part)
    coding = _CODINGS.get(type(alphabet))
    if coding is None:
        raise ConfigError(f"no entropy coder knows the alphabet {type(alphabet).__name__}")
    put, get = coding(site, alphabet, integers, form)
    return Law(location, put, get)


def _lattice(site: Site, alphabet: Integers, p: Parameters, form: MixtureForm) -> _Exchange:
    options: dict[str, Any] = {"family": form.family, "zero": alphabet.zero}

    def put(encoder: Encoder, symbols: _Symbols) -> None:
        encoder.mixture(symbols, p.scale, p.mean, p.weight, **options)

    def get(decoder: Decoder) -> _Symbols:
        return decoder.mixture(p.scale, p.mean, p.weight, **options)

    return put, get


def _centers(site: Site, alphabet: Centers, p: Parameters, form: MixtureForm) -> _Exchange:
    edges = alphabet.edges.numpy()

    def put(encoder: Encoder, symbols: _Symbols) -> None:
        encoder.centers(symbols, edges, p.scale, p.mean, p.weight, family=form.family)

    def get(decoder: Decoder) -> _Symbols:
        return decoder.centers(edges, p.scale, p.mean, p.weight, family=form.family)

    return put, get


def _codebook(site: Site, alphabet: Codebook, p: Parameters, form: MixtureForm) -> _Exchange:
    words = (alphabet.words * _CODEWORD_GRID).round().long().numpy()
    # Where the g elements of each group stand among the elements of the site.
    part = form.mean[0]
    size = len(p.location)
    places = site.step.unflatten(torch.arange(size, dtype=torch.int64).unsqueeze(0), part)
    grouped = places.unflatten(1, (-1, alphabet.group)).movedim(2, 0)[:, 0]  # (g, M/g, *S)
    order = site.step.flatten(grouped).T.numpy()  # (n/g, g)
    mixtures = p.scale[order], p.mean[order], p.weight[order]

    def parts() -> Iterator[tuple[slice, NDArray[np.int32], Tables]]:
        """Groups whose tables are made at once, their indices, and the tables."""
        step = max(1, _TABLE_ENTRIES // len(words))
        for start in range(0, len(order), step):
            part = slice(start, min(start + step, len(order)))
            tables = codebook_tables(words, *(m[part] for m in mixtures), family=form.family)
            yield part, np.arange(part.stop - start, dtype=np.int32), tables

    def put(encoder: Encoder, symbols: _Symbols) -> None:
        for part, index, tables in parts():
            encoder.table(symbols[part], index, tables)

    def get(decoder: Decoder) -> _Symbols:
        symbols = np.empty(len(order), np.int32)
        for part, index, tables in parts():
            symbols[part] = decoder.table(index, tables)
        return symbols

    return put, get


_CODINGS: dict[type, Callable[..., _Exchange]] = {
    Integers: _lattice,
    Centers: _centers,
    Codebook: _codebook,
}
