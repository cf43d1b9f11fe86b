"""Images ↔ ``.tng`` bytes with one codec."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import torch
from PIL import Image
from torch import Tensor

from tngexp.bitstream import images
from tngexp.bitstream.latents import LatentCoder
from tngexp.bitstream.streaming import analyse, synthesise
from tngexp.bitstream.tables import CodingTables, derive_tables
from tngexp.coding import (
    BitstreamError,
    Container,
    fingerprint,
    index_to_quality,
    quality_to_index,
    read,
    symbols_checksum,
    write,
)
from tngexp.types import ConfigError

if TYPE_CHECKING:
    from tngexp.codec import Codec

__all__ = ["ImageCoder"]

_TILE = 128
"""Latent positions of a tile's side: larger latents are coded as independent tiles, which bounds
the memory of the exact networks. Only the prior sees tiles; the transforms see the whole image."""


@final
class ImageCoder:
    """Codes images with ``codec``, whose weights must not change meanwhile.

    Args:
        codec: the codec, in evaluation mode.
        tables: its integer tables; derived from the weights when None.

    Raises:
        ConfigError: for a codec that has no bitstream form.
    """

    def __init__(self, codec: Codec, tables: CodingTables | None) -> None:
        self._codec = codec
        self.tables = tables or derive_tables(codec.prior, codec.quantizer)
        self._latents = LatentCoder(codec.prior, self.tables)
        arrays = {
            name: tensor.detach().cpu().numpy()
            for name, tensor in {
                **codec.state_dict(),
                **{f"coding.{name}": t for name, t in self.tables.to_state().items()},
            }.items()
        }
        self.fingerprint = fingerprint(arrays)

    @torch.no_grad()
    def compress(self, image: Image.Image | Tensor, quality: float | None) -> bytes:
        """See :meth:`tngexp.codec.Codec.compress`."""
        codec = self._codec
        index = self._quality_index(quality)
        picture = (
            images.from_tensor(image) if isinstance(image, Tensor) else images.from_pillow(image)
        )
        y = analyse(
            codec.transform, codec.rate, picture.rgb, codec.stride, self._quality_tensor(index)
        )
        streams, checksum = [], 0
        device = next(codec.parameters()).device
        for rows, columns in _tiles(y.shape[-2], y.shape[-1]):
            stream, tile_checksum = self._latents.encode(y[:, :, rows, columns].to(device))
            streams.append(stream)
            checksum = _combine(checksum, tile_checksum)
        if picture.alpha is not None:
            streams.append(images.pack_alpha(picture.alpha))
            checksum = _combine(checksum, symbols_checksum([picture.alpha]))
        return write(
            Container(
                width=picture.rgb.shape[-1],
                height=picture.rgb.shape[-2],
                mode=picture.mode,
                model=self.fingerprint,
                streams=tuple(streams),
                symbols_checksum=checksum,
                quality=index,
                icc=picture.icc,
                orientation=picture.orientation,
            )
        )

    @torch.no_grad()
    def decompress(self, data: bytes) -> Image.Image:
        """See :meth:`tngexp.codec.Codec.decompress`."""
        codec, file = self._codec, read(data)
        if file.model != self.fingerprint:
            raise BitstreamError(
                f"the file was coded with model {file.model.hex()}, this is model "
                f"{self.fingerprint.hex()}; give the checkpoint it was coded with"
            )
        if (file.quality is not None) != codec.rate.variable:
            raise BitstreamError("the file's quality does not go with this model")
        height, width = (-(-s // codec.stride) * codec.stride for s in (file.height, file.width))
        rows, columns = height // codec.transform.stride, width // codec.transform.stride
        tiles = _tiles(rows, columns)
        has_alpha = file.mode.endswith("A")
        if len(file.streams) != len(tiles) + has_alpha or file.tile:
            raise BitstreamError(
                f"the file has {len(file.streams)} streams where an image of its size and mode "
                f"has {len(tiles) + has_alpha}"
            )
        # Decoded before the image: a bad alpha plane should not cost a synthesis first.
        alpha = None
        if has_alpha:
            alpha = images.unpack_alpha(file.streams[-1], file.width, file.height)
        channels, checksum, parts = codec.transform.latent_channels, 0, []
        # Whole-image memory is taken only after every stream has proved sound.
        for stream, (row, column) in zip(file.streams, tiles, strict=False):
            size = (row.stop - row.start, column.stop - column.start)
            part, tile_checksum = self._latents.decode(stream, channels, *size)
            parts.append(part)
            checksum = _combine(checksum, tile_checksum)
        if alpha is not None:
            checksum = _combine(checksum, symbols_checksum([alpha]))
        if checksum != file.symbols_checksum:
            raise BitstreamError(
                "the decoded symbols do not match their checksum: the file is damaged, or was "
                "written by a program that computes otherwise"
            )
        y_hat = torch.empty(1, channels, rows, columns)
        for part, (row, column) in zip(parts, tiles, strict=True):
            y_hat[:, :, row, column] = part
        del parts
        rgb = synthesise(
            codec.transform,
            codec.rate,
            y_hat,
            file.height,
            file.width,
            self._quality_tensor(file.quality),
        )
        return images.to_pillow(images.Picture(rgb, file.mode, alpha, file.icc, file.orientation))

    def _quality_index(self, quality: float | None) -> int | None:
        if not self._codec.rate.variable:
            if quality is not None:
                raise ConfigError("this codec has one fixed rate and takes no quality")
            return None
        quality = 0.5 if quality is None else quality
        if not 0 <= quality <= 1:
            raise ConfigError(f"quality must lie in 0 … 1, not {quality}")
        return quality_to_index(quality)

    def _quality_tensor(self, index: int | None) -> Tensor | None:
        if index is None:
            return None
        device = next(self._codec.parameters()).device
        return torch.tensor([index_to_quality(index)], device=device)


def _tiles(rows: int, columns: int) -> list[tuple[slice, slice]]:
    """Tiles of a latent in raster order; sides are multiples of every prior's stride."""
    return [
        (slice(r, min(r + _TILE, rows)), slice(c, min(c + _TILE, columns)))
        for r in range(0, rows, _TILE)
        for c in range(0, columns, _TILE)
    ]


def _combine(checksum: int, tile: int) -> int:
    """Order-dependent sum of tile checksums; a single tile's is its own."""
    return (checksum * 257 + tile) & 0xFFFF
