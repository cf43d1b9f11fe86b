"""Symbols ↔ bytes: a stack-like entropy coder (rANS) with a stateful encoder and decoder.

    encoder = Encoder()
    encoder.mixture(symbols, scale, mean, weight)
    data = encoder.finish()

    decoder = Decoder(data)
    symbols = decoder.mixture(scale, mean, weight)
    decoder.finish()

Both sides make the same calls in the same order; each call may depend on what earlier ones decoded.
rANS (Duda 2013) pops in the reverse of the order it pushed, so the encoder only notes intervals
and pushes them, last first, in ``finish``. Why rANS, and why our own:
``docs/reference/bitstream.md``.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from typing import Any, final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tngexp.coding.arguments import (
    check_edges,
    check_integers,
    check_parameters,
    check_symbols,
    check_zero,
)
from tngexp.coding.errors import BitstreamError
from tngexp.coding.families import find_family
from tngexp.coding.loading import load_compiled, raise_for
from tngexp.coding.probability import Tables

__all__ = ["Decoder", "Encoder", "symbols_checksum"]

_KERNELS = "tngexp.coding.kernels"
_STATE_START = 1 << 32
_STATE_BYTES = 8
_WORD_BYTES = 4
_NO_EDGES = np.empty(0, np.int64)
_NO_EDGES.flags.writeable = False
_ROUNDING = 128  # half-width, in 1/256, of the zero cell of plain rounding
_SPARE = 256  # intervals beyond one per symbol that a call allows for before it starts over


@final
class Encoder:
    """Collects what is to be coded; ``finish`` returns the bytes."""

    def __init__(self) -> None:
        self._kernels = load_compiled(_KERNELS)
        self._chunks: list[tuple[NDArray[np.uint32], NDArray[np.uint32]]] = []

    def mixture(
        self,
        symbols: ArrayLike,
        scale: ArrayLike,
        mean: ArrayLike | None = None,
        weight: ArrayLike | None = None,
        *,
        family: str = "gaussian",
        zero: int = _ROUNDING,
    ) -> None:
        """Code integer symbols (n,), each under its own mixture.

        Args:
            symbols: (n,) residuals s, |s| ≤ 2**20; the cell of s is s ± ½ (but see ``zero``).
            scale: (n, K) or (n,) scale indices 0 … 255.
            mean: like scale, in 1/256, |mean| ≤ 4096·256; None for zeros.
            weight: like scale, in 1/65536, adding up to 65536; None where K = 1.
            family: what the mixture is of, one of ``FAMILIES``.
            zero: half-width of the cell of symbol 0 in 1/256, 1 … 255; all others have width one.
        """
        zero = check_zero(zero)
        self._mixture(symbols, _NO_EDGES, zero, scale, mean, weight, family)

    def centers(
        self,
        symbols: ArrayLike,
        edges: ArrayLike,
        scale: ArrayLike,
        mean: ArrayLike | None = None,
        weight: ArrayLike | None = None,
        *,
        family: str = "gaussian",
    ) -> None:
        """Code symbols 0 … L−1 of a finite alphabet whose cells meet at ``edges`` (L−1,), in 1/256.

        The outer cells reach to ±∞. Parameters as in ``mixture``.
        """
        self._mixture(symbols, check_edges(edges), _ROUNDING, scale, mean, weight, family)

    def table(self, symbols: ArrayLike, channels: ArrayLike, tables: Tables) -> None:
        """Code integer symbols (n,), element i under the table of channel ``channels[i]``."""
        values = check_symbols(symbols)
        indices = check_integers(channels, np.int32)
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
        zero: int,
        scale: ArrayLike,
        mean: ArrayLike | None,
        weight: ArrayLike | None,
        family: str,
    ) -> None:
        values = check_symbols(symbols)
        parameters = check_parameters(scale, mean, weight)
        if len(parameters[0]) != values.size:
            raise ValueError(f"{values.size} symbols but {len(parameters[0])} distributions")
        args = (*parameters, edges, zero, *find_family(family))
        self._intervals(self._kernels.mixture_intervals, values, args)

    def _intervals(self, kernel: Any, symbols: NDArray[np.int32], args: tuple[Any, ...]) -> None:
        for capacity in (symbols.size + _SPARE, 3 * symbols.size + 2):
            starts = np.empty(capacity, np.uint32)
            freqs = np.empty(capacity, np.uint32)
            count = kernel(symbols, *args, starts, freqs)
            if count != self._kernels.NO_CAPACITY:
                break
        raise_for(self._kernels, count)
        self._chunks.append((starts[:count], freqs[:count]))


@final
class Decoder:
    """Reads symbols back; calls mirror the encoder's. Raises BitstreamError on damaged data."""

    def __init__(self, data: bytes) -> None:
        self._kernels = load_compiled(_KERNELS)
        head = _STATE_BYTES - (-len(data) % _WORD_BYTES)  # a state has 5 to 8 bytes
        state = int.from_bytes(data[:head], "little") if data else _STATE_START
        if state < _STATE_START:
            raise BitstreamError("the coded stream has no valid start")
        self._words = np.frombuffer(data[head:], "<u4").astype(np.uint32)
        self._cursor = np.array([state, 0], np.uint64)

    def mixture(
        self,
        scale: ArrayLike,
        mean: ArrayLike | None = None,
        weight: ArrayLike | None = None,
        *,
        family: str = "gaussian",
        zero: int = _ROUNDING,
    ) -> NDArray[np.int32]:
        """Return the next n symbols; parameters as in ``Encoder.mixture``."""
        return self._mixture(_NO_EDGES, check_zero(zero), scale, mean, weight, family)

    def centers(
        self,
        edges: ArrayLike,
        scale: ArrayLike,
        mean: ArrayLike | None = None,
        weight: ArrayLike | None = None,
        *,
        family: str = "gaussian",
    ) -> NDArray[np.int32]:
        """Return the next n symbols of a finite alphabet; parameters as in ``Encoder.centers``."""
        return self._mixture(check_edges(edges), _ROUNDING, scale, mean, weight, family)

    def table(self, channels: ArrayLike, tables: Tables) -> NDArray[np.int32]:
        """Return the next n symbols, element i under the table of channel ``channels[i]``."""
        indices = check_integers(channels, np.int32)
        symbols = np.empty(indices.size, np.int32)
        args = tables.check()
        status = self._kernels.decode_table(
            indices.reshape(-1), *args, self._words, self._cursor, symbols
        )
        raise_for(self._kernels, status)
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
        zero: int,
        scale: ArrayLike,
        mean: ArrayLike | None,
        weight: ArrayLike | None,
        family: str,
    ) -> NDArray[np.int32]:
        parameters = check_parameters(scale, mean, weight)
        symbols = np.empty(len(parameters[0]), np.int32)
        args = (*parameters, edges, zero, *find_family(family))
        guess = int(np.searchsorted(edges, 0))  # the center nearest to the location
        status = self._kernels.decode_mixture(*args, self._words, self._cursor, guess, symbols)
        raise_for(self._kernels, status)
        return symbols


def symbols_checksum(arrays: Iterable[NDArray[Any]]) -> int:
    """CRC-32 (low 16 bits) over all symbols as little-endian int32, in the order given."""
    crc = 0
    for array in arrays:
        crc = zlib.crc32(np.ascontiguousarray(array, "<i4").tobytes(), crc)
    return crc & 0xFFFF
