"""Symbols ↔ bytes: a stack-like entropy coder (rANS) with a stateful encoder and decoder.

    encoder = Encoder()
    encoder.mixture(symbols, scale, mean, weight)
    data = encoder.finish()

    decoder = Decoder(data)
    symbols = decoder.mixture(scale, mean, weight)
    decoder.finish()

Both sides make the same calls in the same order; each call may depend on what earlier ones decoded.
rANS (Duda 2013) pops in the reverse of the order it pushed, so the encoder only notes intervals
and pushes them, last first, in ``finish``. Why rANS, and why our own: ``docs/bitstream.md``.
"""

from __future__ import annotations

import logging
import zlib
from collections.abc import Iterable
from functools import lru_cache
from types import ModuleType
from typing import Any, final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tngexp.coding.constants import constants
from tngexp.coding.errors import BitstreamError
from tngexp.coding.probability import MAX_SYMBOL, WEIGHT_BITS, Tables

__all__ = ["Decoder", "Encoder", "symbols_checksum"]

_LOG = logging.getLogger(__name__)  # warnings reach stderr even where nobody configured logging
_STATE_START = 1 << 32
_STATE_BYTES = 8
_WORD_BYTES = 4
_NO_EDGES = np.empty(0, np.int64)
_NO_EDGES.flags.writeable = False
_SPARE = 256  # intervals beyond one per symbol that a call allows for before it starts over


@final
class Encoder:
    """Collects what is to be coded; ``finish`` returns the bytes."""

    def __init__(self) -> None:
        self._kernels = _load_kernels()
        self._chunks: list[tuple[NDArray[np.uint32], NDArray[np.uint32]]] = []

    def mixture(
        self,
        symbols: ArrayLike,
        scale: ArrayLike,
        mean: ArrayLike | None = None,
        weight: ArrayLike | None = None,
    ) -> None:
        """Code integer symbols (n,), each under its own mixture.

        Args:
            symbols: (n,) residuals s, |s| ≤ 2**20; the cell of s is s ± ½.
            scale: (n, K) or (n,) scale indices 0 … 255.
            mean: like scale, in 1/256, |mean| ≤ 4096·256; None for zeros.
            weight: like scale, in 1/65536, adding up to 65536; None where K = 1.
        """
        self._mixture(symbols, _NO_EDGES, scale, mean, weight)

    def centers(
        self,
        symbols: ArrayLike,
        edges: ArrayLike,
        scale: ArrayLike,
        mean: ArrayLike | None = None,
        weight: ArrayLike | None = None,
    ) -> None:
        """Code symbols 0 … L−1 of a finite alphabet whose cells meet at ``edges`` (L−1,), in 1/256.

        The outer cells reach to ±∞. Parameters as in ``mixture``.
        """
        self._mixture(symbols, _edges(edges), scale, mean, weight)

    def table(self, symbols: ArrayLike, channels: ArrayLike, tables: Tables) -> None:
        """Code integer symbols (n,), element i under the table of channel ``channels[i]``."""
        values = _symbols(symbols)
        indices = _integers(channels, np.int32)
        if indices.shape != values.shape:
            raise ValueError(f"{values.size} symbols but channels of shape {indices.shape}")
        args = tables.check()
        self._intervals(self._kernels.table_intervals, values, (indices, *args))

    def finish(self) -> bytes:
        """Return the stream: empty if nothing was coded, else the final state and the words."""
        chunks, self._chunks = self._chunks, []
        if not any(starts.size for starts, _ in chunks):
            return b""
        state = np.array([_STATE_START], np.uint64)
        blocks = []
        for starts, freqs in reversed(chunks):
            words = np.empty(starts.size, np.uint32)
            blocks.append(words[: self._kernels.push(starts, freqs, state, words)])
        words = np.concatenate(blocks)[::-1]  # the decoder reads the last word first
        head = int(state[0])
        start = head.to_bytes((head.bit_length() + 7) // 8, "little")
        return start + bytes(words.astype("<u4").data)

    def _mixture(
        self,
        symbols: ArrayLike,
        edges: NDArray[np.int64],
        scale: ArrayLike,
        mean: ArrayLike | None,
        weight: ArrayLike | None,
    ) -> None:
        values = _symbols(symbols)
        parameters = _parameters(scale, mean, weight)
        if len(parameters[0]) != values.size:
            raise ValueError(f"{values.size} symbols but {len(parameters[0])} distributions")
        tables = constants()
        args = (*parameters, edges, tables.inverse_scale, tables.half_window, tables.phi)
        self._intervals(self._kernels.mixture_intervals, values, args)

    def _intervals(self, kernel: Any, symbols: NDArray[np.int32], args: tuple[Any, ...]) -> None:
        for capacity in (symbols.size + _SPARE, 3 * symbols.size + 2):
            starts = np.empty(capacity, np.uint32)
            freqs = np.empty(capacity, np.uint32)
            count = kernel(symbols, *args, starts, freqs)
            if count != self._kernels.NO_ROOM:
                break
        _raise_for(self._kernels, count)
        self._chunks.append((starts[:count], freqs[:count]))


@final
class Decoder:
    """Reads symbols back; calls mirror the encoder's. Raises BitstreamError on damaged data."""

    def __init__(self, data: bytes) -> None:
        self._kernels = _load_kernels()
        head = _STATE_BYTES - (-len(data) % _WORD_BYTES)  # a state has 5 to 8 bytes
        state = int.from_bytes(data[:head], "little") if data else _STATE_START
        if state < _STATE_START:
            raise BitstreamError("the coded stream has no valid start")
        self._words = np.frombuffer(data[head:], "<u4").astype(np.uint32)
        self._cursor = np.array([state, 0], np.uint64)

    def mixture(
        self, scale: ArrayLike, mean: ArrayLike | None = None, weight: ArrayLike | None = None
    ) -> NDArray[np.int32]:
        """Return the next n symbols; parameters as in ``Encoder.mixture``."""
        return self._mixture(_NO_EDGES, scale, mean, weight)

    def centers(
        self,
        edges: ArrayLike,
        scale: ArrayLike,
        mean: ArrayLike | None = None,
        weight: ArrayLike | None = None,
    ) -> NDArray[np.int32]:
        """Return the next n symbols of a finite alphabet; parameters as in ``Encoder.centers``."""
        return self._mixture(_edges(edges), scale, mean, weight)

    def table(self, channels: ArrayLike, tables: Tables) -> NDArray[np.int32]:
        """Return the next n symbols, element i under the table of channel ``channels[i]``."""
        indices = _integers(channels, np.int32)
        symbols = np.empty(indices.size, np.int32)
        args = tables.check()
        status = self._kernels.decode_table(
            indices.reshape(-1), *args, self._words, self._cursor, symbols
        )
        _raise_for(self._kernels, status)
        return symbols

    def finish(self) -> None:
        """Check that the stream ends here: all words read, and the state the encoder began with.

        Probabilities that differed from the encoder's leave an arbitrary state and fail this test.
        It does not replace a checksum: a flipped bit can turn one symbol into another and leave no
        further trace.
        """
        state, position = (int(v) for v in self._cursor)
        if state != _STATE_START or position != self._words.size:
            raise BitstreamError(
                "the coded stream does not end where it should: "
                "it is damaged or was written with another model"
            )

    def _mixture(
        self,
        edges: NDArray[np.int64],
        scale: ArrayLike,
        mean: ArrayLike | None,
        weight: ArrayLike | None,
    ) -> NDArray[np.int32]:
        parameters = _parameters(scale, mean, weight)
        symbols = np.empty(len(parameters[0]), np.int32)
        tables = constants()
        args = (*parameters, edges, tables.inverse_scale, tables.half_window, tables.phi)
        guess = int(np.searchsorted(edges, 0))  # the center nearest to the location
        status = self._kernels.decode_mixture(*args, self._words, self._cursor, guess, symbols)
        _raise_for(self._kernels, status)
        return symbols


def symbols_checksum(arrays: Iterable[NDArray[Any]]) -> int:
    """CRC-32 (low 16 bits) over all symbols as little-endian int32, in the order given."""
    crc = 0
    for array in arrays:
        crc = zlib.crc32(np.ascontiguousarray(array, "<i4").tobytes(), crc)
    return crc & 0xFFFF


def _symbols(values: ArrayLike) -> NDArray[np.int32]:
    array = np.asarray(values)
    if array.ndim != 1:
        raise ValueError(f"symbols must be one vector, not of shape {array.shape}")
    if array.dtype.itemsize > 4 and array.size and np.abs(array).max() > MAX_SYMBOL:
        raise ValueError(f"symbols must lie within ±{MAX_SYMBOL}")
    return _integers(array, np.int32)


def _edges(edges: ArrayLike) -> NDArray[np.int64]:
    array = _integers(edges, np.int64)
    if array.ndim != 1 or not array.size or not (np.diff(array) >= 0).all():
        raise ValueError("cell edges must be one ascending vector with at least one entry")
    return array


def _parameters(
    scale: ArrayLike, mean: ArrayLike | None, weight: ArrayLike | None
) -> tuple[NDArray[np.uint8], NDArray[np.int32], NDArray[np.int32]]:
    scales = _integers(scale, np.uint8)
    scales = scales[:, None] if scales.ndim == 1 else scales
    means = np.zeros(scales.shape, np.int32) if mean is None else _integers(mean, np.int32)
    if weight is None:
        weights = np.full(scales.shape, 1 << WEIGHT_BITS, np.int32)
    else:
        weights = _integers(weight, np.int32)
    means = means[:, None] if means.ndim == 1 else means
    weights = weights[:, None] if weights.ndim == 1 else weights
    if not (scales.ndim == 2 and scales.shape == means.shape == weights.shape):
        raise ValueError(
            f"scale {scales.shape}, mean {means.shape} and weight {weights.shape} must agree"
        )
    if scales.shape[1] == 0 or (weight is None and scales.shape[1] != 1):
        raise ValueError("a mixture of K > 1 components needs weights")
    return scales, means, weights


def _integers(values: ArrayLike, dtype: type[Any]) -> NDArray[Any]:
    array = np.asarray(values)
    if array.dtype.kind not in "iu":
        raise ValueError(f"the entropy coder takes integers, not {array.dtype}")
    if array.dtype.itemsize > np.dtype(dtype).itemsize and array.size:
        bounds = np.iinfo(dtype)
        if array.min() < bounds.min or array.max() > bounds.max:
            raise ValueError(f"values do not fit {bounds.dtype}")
    return np.ascontiguousarray(array, dtype)


def _raise_for(kernels: ModuleType, status: int) -> None:
    if status >= 0:
        return
    if status == kernels.UNDERRUN:
        raise BitstreamError("the coded stream ends too early")
    if status == kernels.BAD_ESCAPE:
        raise BitstreamError("the coded stream holds an impossible escape code")
    if status == kernels.BAD_SYMBOL:
        raise ValueError(f"a symbol is outside its alphabet or beyond ±{MAX_SYMBOL}")
    raise ValueError("weights must add up to 65536, means lie within ±4096·256, channels exist")


@lru_cache(maxsize=1)
def _load_kernels() -> ModuleType:
    """Import the compiled loops, saying so when numba really compiles rather than loads a cache."""
    from numba.core import event

    class _Announce(event.Listener):
        said = False

        def on_start(self, event: Any) -> None:
            if not self.said and event.data["dispatcher"].py_func.__module__ == kernels:
                self.said = True
                _LOG.warning("compiling the entropy coder (once, about 10 s) …")

        def on_end(self, event: Any) -> None:
            pass

    kernels = "tngexp.coding.kernels"
    event.register("numba:compile", _Announce())
    from tngexp.coding import kernels as module

    return module
