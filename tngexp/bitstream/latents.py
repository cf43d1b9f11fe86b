"""One latent ↔ one stream: the prior's walk, in exact arithmetic at both ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

import torch
from torch import Tensor

from tngexp.bitstream.exact import exact_copy
from tngexp.bitstream.ports import Choose, Decode, Encode
from tngexp.bitstream.tables import CodingTables, networks_of
from tngexp.coding import Decoder, Encoder, symbols_checksum
from tngexp.model.codec import Codec
from tngexp.priors import Site
from tngexp.types import Alphabet, Latents, TngexpError

__all__ = ["LatentCoder"]


@final
class LatentCoder:
    """Codes latents of one codec, whose weights must not change meanwhile.

    Args:
        codec: its prior's networks are copied into exact form.
        tables: integer tables of its densities and alphabets.

    Raises:
        ConfigError: for a prior whose networks have no exact form.
    """

    def __init__(self, codec: Codec, tables: CodingTables) -> None:
        self._prior, self._quantizer = codec.prior, codec.quantizer
        self._networks = {module: exact_copy(module) for module in networks_of(codec)}
        self._tables = tables

    @torch.no_grad()
    def encode(self, latents: Latents) -> tuple[bytes, int]:
        """The stream of one image's latents, and the checksum of its symbols.

        Raises:
            TngexpError: when a latent is not finite.
        """
        port = Encode(self._networks, self._tables, encoder := Encoder())
        self._walk(port, latents)
        return encoder.finish(), symbols_checksum(port.seen)

    @torch.no_grad()
    def decode(self, stream: bytes, size: tuple[int, int, int]) -> tuple[Tensor, int]:
        """ŷ (1, M, h, w) in float32 of a stream, and the checksum of its symbols.

        Args:
            stream: what :meth:`encode` returned.
            size: (M, h, w).

        Raises:
            BitstreamError: when the stream is damaged.
        """
        port = Decode(self._networks, self._tables, decoder := Decoder(stream))
        y_hat = self._prior.walk(port, None, self._quantizer, (1, *size))
        decoder.finish()
        return y_hat.float(), symbols_checksum(port.seen)

    @torch.no_grad()
    def settle(
        self,
        latents: Latents,
        choose: Callable[[Site, Alphabet, Tensor], Tensor] | None = None,
    ) -> Latents:
        """Latents that lie on the points they will be decoded to.

        Args:
            latents: of one image.
            choose: which symbols to take, see :class:`tngexp.bitstream.ports.Choose`.
        """
        port = Choose(self._networks, self._tables, choose)
        self._walk(port, latents)
        z = port.points.get("z")
        return Latents(port.points["y"].float(), None if z is None else z.float())

    def _walk(self, port: Encode | Choose, latents: Latents) -> Tensor:
        finite = all(bool(torch.isfinite(t).all()) for t in latents if t is not None)
        if not finite:
            raise TngexpError("the analysis transform gave values that are not finite")
        y, z = (None if t is None else t.detach().cpu().double() for t in latents)
        assert y is not None
        return self._prior.walk(port, Latents(y, z), self._quantizer, tuple(y.shape))
