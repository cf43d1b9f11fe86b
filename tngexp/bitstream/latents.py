"""One latent ↔ one stream: the prior's schedule, run in exact arithmetic at both ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tngexp.bitstream.exact import ACTIVATION_LIMIT, exact_copy
from tngexp.bitstream.tables import CodingTables
from tngexp.coding import (
    BitstreamError,
    Decoder,
    Encoder,
    quantize_means,
    quantize_scales,
    symbols_checksum,
    weights_from_logits,
)
from tngexp.priors import ConditionalPrior, Prior
from tngexp.priors.base import ContextModel
from tngexp.types import TngexpError

__all__ = ["LatentCoder"]

_GRID = 1024  # locations are multiples of 2⁻¹⁰, so that ŷ lies on the exact networks' input grid
_LOGIT_STEPS = 64  # logits in 1/64 nat
_MAX_SYMBOL = 1 << 19


class _Parameters(NamedTuple):
    """Integer parameters of n elements."""

    location: NDArray[np.float64]  # (n,), in multiples of 2⁻¹⁰
    scale: NDArray[np.uint8]  # (n, K)
    mean: NDArray[np.int32] | None  # (n, K), relative to the location; None for K = 1
    weight: NDArray[np.int32] | None  # (n, K)


# Given a step's parameters and the elements' latents (None when decoding): their symbols.
_Exchange = Callable[[_Parameters, NDArray[np.float64] | None], NDArray[np.int32]]


@final
class LatentCoder:
    """Codes latents of one codec.

    Args:
        prior: the prior; its networks are copied into exact form.
        tables: integer tables of its learned density, and of learned centers if there are any.

    Raises:
        ConfigError: for a prior whose networks have no exact form.
    """

    def __init__(self, prior: Prior, tables: CodingTables) -> None:
        self._tables = tables
        self._conditional = prior if isinstance(prior, ConditionalPrior) else None
        self.stride = prior.stride
        if self._conditional is not None:
            context = exact_copy(self._conditional.context)
            assert isinstance(context, ContextModel)
            self._context = context
            self._synthesis = exact_copy(self._conditional.hyper.synthesis)

    @torch.no_grad()
    def encode(self, y: Tensor) -> tuple[bytes, int]:
        """The stream of a latent (1, M, h, w), and the checksum of its symbols.

        Raises:
            TngexpError: when the latent is not finite.
        """
        if not bool(torch.isfinite(y).all()):
            raise TngexpError("the analysis transform gave values that are not finite")
        encoder, seen = Encoder(), []
        if self._conditional is None:
            latent = y[0].double().cpu().numpy()
            symbols = self._static_symbols(latent)
            encoder.table(symbols, _channels(latent.shape), self._tables.density.tables)
            return encoder.finish(), symbols_checksum([symbols])
        z = self._conditional.hyper.analysis(y.float())[0].double().cpu().numpy()
        symbols = _round(z - self._tables.density.location[:, None, None])
        encoder.table(symbols, _channels(z.shape), self._tables.density.tables)
        seen.append(symbols)

        def exchange(p: _Parameters, latent: NDArray[np.float64] | None) -> NDArray[np.int32]:
            assert latent is not None
            residual = latent - p.location
            if self._tables.alphabet is None:
                symbols = _round(residual)
                encoder.mixture(symbols, p.scale, p.mean, p.weight)
            else:
                symbols = self._nearest(residual)
                edges = self._tables.alphabet.edges
                encoder.centers(symbols, edges, p.scale, p.mean, p.weight)
            seen.append(symbols)
            return symbols

        self._run(symbols.reshape(z.shape), exchange, y.double().cpu())
        return encoder.finish(), symbols_checksum(seen)

    @torch.no_grad()
    def decode(self, stream: bytes, channels: int, height: int, width: int) -> tuple[Tensor, int]:
        """ŷ (1, M, h, w) in float32 of a stream, and the checksum of its symbols.

        Raises:
            BitstreamError: when the stream is damaged.
        """
        decoder, seen = Decoder(stream), []
        location = self._tables.density.location[:, None, None]
        if self._conditional is None:
            shape = (channels, height, width)
            symbols = decoder.table(_channels(shape), self._tables.density.tables)
            values = self._points(symbols).reshape(shape) + location
            decoder.finish()
            return torch.from_numpy(values).float().unsqueeze(0), symbols_checksum([symbols])
        shape = (len(location), height // self.stride, width // self.stride)
        symbols = decoder.table(_channels(shape), self._tables.density.tables)
        seen.append(symbols)

        def exchange(p: _Parameters, latent: NDArray[np.float64] | None) -> NDArray[np.int32]:
            if self._tables.alphabet is None:
                symbols = decoder.mixture(p.scale, p.mean, p.weight)
            else:
                edges = self._tables.alphabet.edges
                symbols = decoder.centers(edges, p.scale, p.mean, p.weight)
            seen.append(symbols)
            return symbols

        y_hat = self._run(symbols.reshape(shape), exchange, None, channels)
        decoder.finish()
        return y_hat.float(), symbols_checksum(seen)

    def _run(
        self,
        side_symbols: NDArray[np.int32],
        exchange: _Exchange,
        y: Tensor | None,
        channels: int = 0,
    ) -> Tensor:
        """The prior's loop over its steps, identical for encoder and decoder; returns ŷ."""
        assert self._conditional is not None
        z_hat = torch.from_numpy(side_symbols + self._tables.density.location[:, None, None])
        features = self._synthesis(z_hat.unsqueeze(0))
        size = features.shape[-2:]
        y_hat = features.new_zeros(1, channels if y is None else y.shape[1], *size)
        # The context networks' inputs are bounded; what the synthesis transform gets is not.
        known = y_hat.clone()
        for step in self._context.steps(size[0], size[1], y_hat.device):
            raw = self._context(features, known, step)
            part = step.take(y_hat)
            raw = raw[0].unflatten(0, (-1, part.shape[1]))  # (P, M, *S)
            parameters = _parameters(step.flatten(raw).numpy(), self._conditional.mixture)
            latent = None if y is None else step.flatten(step.take(y))[0].numpy()
            symbols = exchange(parameters, latent)
            values = torch.from_numpy(self._points(symbols) + parameters.location).unsqueeze(0)
            part = step.unflatten(values, part)
            y_hat = step.put(y_hat, part)
            known = step.put(known, part.clamp(-ACTIVATION_LIMIT, ACTIVATION_LIMIT))
        return y_hat

    def _static_symbols(self, latent: NDArray[np.float64]) -> NDArray[np.int32]:
        residual = latent - self._tables.density.location[:, None, None]
        return _round(residual) if self._tables.alphabet is None else self._nearest(residual)

    def _nearest(self, residual: NDArray[np.float64]) -> NDArray[np.int32]:
        assert self._tables.alphabet is not None
        centers = self._tables.alphabet.centers
        middles = (centers[1:] + centers[:-1]) / 2
        return np.searchsorted(middles, residual.ravel()).astype(np.int32)

    def _points(self, symbols: NDArray[np.int32]) -> NDArray[np.float64]:
        """Reproduction points of symbols."""
        if self._tables.alphabet is None:
            return symbols.astype(np.float64)
        centers = self._tables.alphabet.centers
        if symbols.size and (symbols.min() < 0 or symbols.max() >= len(centers)):
            raise BitstreamError("the coded stream holds a symbol outside the quantizer's alphabet")
        return centers[symbols]


def _parameters(raw: NDArray[np.float64], components: int) -> _Parameters:
    """Integer parameters from exact raw network outputs (P, n), as GaussianMixture reads them."""
    k = components
    scale = np.ascontiguousarray(quantize_scales(raw[:k]).T)
    mean = np.clip(np.rint(raw[k : 2 * k] * _GRID), -(2**40), 2**40)
    if k == 1:
        return _Parameters(mean[0] / _GRID, scale, None, None)
    logits = np.clip(np.rint(raw[2 * k :] * _LOGIT_STEPS), -(2**30), 2**30).astype(np.int64)
    weight = weights_from_logits(np.ascontiguousarray(logits.T))  # (n, K)
    integer = mean.T.astype(np.int64)
    location = ((weight * integer).sum(1) + (1 << 15)) >> 16
    offset = quantize_means((integer - location[:, None]) / _GRID)
    return _Parameters(location / _GRID, scale, offset, weight)


def _round(residual: NDArray[np.float64]) -> NDArray[np.int32]:
    return np.clip(np.rint(residual), -_MAX_SYMBOL, _MAX_SYMBOL).astype(np.int32).ravel()


def _channels(shape: tuple[int, ...]) -> NDArray[np.int32]:
    """The channel of each element of a (C, h, w) array, flattened."""
    return np.repeat(np.arange(shape[0], dtype=np.int32), int(np.prod(shape[1:])))
