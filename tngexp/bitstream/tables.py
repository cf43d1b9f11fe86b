"""Integer tables of learned densities and alphabets: derived once, then part of the weights.

A factorized density is evaluated with softplus, tanh and sigmoid, whose last bit differs between
machines, so its integer CDF is computed once (when a training ends, or when a codec without tables
first codes) and stored: sender and receiver use the same integers. The same goes for the learned
points of a quantizer. The fingerprint in every file covers them, and a digest says which weights
they were made of.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from torch import Tensor, nn

from tngexp.bitstream.laws import DensityTable, form_of
from tngexp.coding import Tables, build_tables
from tngexp.model.codec import Codec
from tngexp.priors import Count, Site
from tngexp.types import Alphabet, ConfigError, StaticForm

__all__ = ["DIGEST", "CodingTables", "derive_tables", "survey", "tables_digest"]

DIGEST = "digest"
"""Under which the digest of the weights stands beside the tables made of them."""


@final
@dataclass(frozen=True, eq=False)
class CodingTables:
    """Everything a bitstream needs beyond the weights, by the name of the latent."""

    densities: dict[str, DensityTable]  # of latents with a learned density
    alphabets: dict[str, Alphabet]  # of all latents

    def to_state(self) -> dict[str, Tensor]:
        """As plain tensors, for a checkpoint."""
        state: dict[str, Tensor] = {}
        for place, (name, (tables, location)) in enumerate(self.densities.items()):
            state |= _prefixed(
                name if place else "",
                {
                    "cdf": torch.from_numpy(tables.cdf.astype(np.int64)),
                    "begin": torch.from_numpy(tables.begin),
                    "offset": torch.from_numpy(tables.offset),
                    "location": torch.from_numpy(location),
                },
            )
        for name, alphabet in self.alphabets.items():
            state |= _prefixed("" if name == "y" else name, alphabet.state())
        return state

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor], codec: Codec) -> CodingTables:
        """The inverse of :meth:`to_state`, for the codec whose tables they are.

        Raises:
            ConfigError: for tables that could not be coded with.
        """
        sites = survey(codec)
        densities: dict[str, DensityTable] = {}
        alphabets: dict[str, Alphabet] = {}
        try:
            for name, site in sites.items():
                if isinstance(form_of(site), StaticForm):
                    own = _own("" if not densities else name, state)
                    arrays = {key: tensor.numpy() for key, tensor in own.items()}
                    tables = Tables(
                        arrays["cdf"].astype(np.uint32), arrays["begin"], arrays["offset"]
                    ).check()
                    location = arrays["location"].astype(np.float64)
                    densities[name] = DensityTable(tables, location)
                alphabet = site.quantizer.alphabet()
                alphabets[name] = alphabet.restored(_own("" if name == "y" else name, state))
        except (KeyError, ValueError, AttributeError) as error:
            raise ConfigError(f"the coding tables are damaged or incomplete: {error}") from error
        return cls(densities, alphabets)


@torch.no_grad()
def survey(codec: Codec) -> dict[str, Site]:
    """The first site of each latent, in coding order."""
    port = Count(time.perf_counter)
    _walk_once(codec, port)
    return {name: sites[0] for name, sites in port.sites.items()}


@torch.no_grad()
def networks_of(codec: Codec) -> list[nn.Module]:
    """The networks that predict probabilities."""
    port = Count(time.perf_counter)
    _walk_once(codec, port)
    return list(port.cost)


@torch.no_grad()
def derive_tables(codec: Codec) -> CodingTables:
    """Integer tables of the learned densities and alphabets of a codec's weights.

    Raises:
        ConfigError: for a prior or quantizer that has no bitstream form, by name.
    """
    densities, alphabets = {}, {}
    for name, site in survey(codec).items():
        alphabet = _checked(site)
        alphabets[name] = alphabet
        form = form_of(site)
        if isinstance(form, StaticForm):
            masses, first, below, above, location = form.pmf(alphabet)
            densities[name] = DensityTable(build_tables(masses, first, below, above), location)
    return CodingTables(densities, alphabets)


def tables_digest(codec: Codec) -> bytes:
    """SHA-256 of the weights that a codec's tables are made of."""
    digest = hashlib.sha256()
    for name, site in survey(codec).items():
        form = form_of(site)
        density = [form.density] if isinstance(form, StaticForm) else []
        for module in [*density, site.quantizer]:
            if not isinstance(module, nn.Module):
                continue
            for key, tensor in sorted(module.state_dict().items()):
                digest.update(f"{name} {key}".encode())
                digest.update(np.ascontiguousarray(tensor.cpu().contiguous().numpy()).tobytes())
    return digest.digest()


def _walk_once(codec: Codec, port: Count) -> None:
    size = (1, codec.transform.latent_channels, codec.prior.stride, codec.prior.stride)
    codec.prior.walk(port, None, codec.quantizer, size)


def _checked(site: Site) -> Alphabet:
    """The alphabet of a site's quantizer, if it is what the quantizer evaluates with."""
    alphabet = site.quantizer.alphabet()
    residual = torch.linspace(-6, 6, 1009 * alphabet.group).view(1, alphabet.group, -1)
    decoded = alphabet.dequantize(alphabet.quantize(residual))
    if not bool(torch.isfinite(decoded).all()):
        raise ConfigError(
            f"the points of {type(site.quantizer).__name__} are not finite: the training diverged"
        )
    hard = site.quantizer.hard(residual).decoded
    if decoded.shape != hard.shape or not torch.equal(decoded, hard.cpu().to(decoded)):
        raise ConfigError(
            f"{type(site.quantizer).__name__} evaluates otherwise than its alphabet() says, so its "
            "files would hold something else than was measured: leave hard() as it is"
        )
    return alphabet


def _prefixed(name: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"{name}.{key}" if name else key: tensor for key, tensor in state.items()}


def _own(name: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    if not name:
        return {key: tensor for key, tensor in state.items() if "." not in key}
    start = f"{name}."
    return {key.removeprefix(start): t for key, t in state.items() if key.startswith(start)}
