"""Images ↔ ``.tng`` bytes with one codec."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import final

import torch
from PIL import Image
from torch import Tensor, nn

from tngexp import zoo
from tngexp.bitstream import images
from tngexp.bitstream.analysis import Analysis, tiles_of
from tngexp.bitstream.effort import (
    Progress,
    Tuning,
    check_side,
    plan_of,
    refine_image,
    tuning_of,
)
from tngexp.bitstream.latents import LatentCoder
from tngexp.bitstream.looks import Look, check_look
from tngexp.bitstream.painting import Painters, drawn_field
from tngexp.bitstream.progress import Share, part
from tngexp.bitstream.streaming import analyse, synthesise
from tngexp.bitstream.tables import CodingTables, derive_tables, tables_digest
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
from tngexp.coding.container import check_size
from tngexp.model.codec import Codec
from tngexp.pixels import Picture, Source, to_picture
from tngexp.types import CodecOutput, ConfigError

__all__ = ["Analysis", "ImageCodec"]


@final
class _Prepared:
    """What coding needs of the weights as they are now."""

    def __init__(self, model: Codec, tables: CodingTables, look: Look | Path | None) -> None:
        self.tables = tables
        self.latents = LatentCoder(model, tables)
        coding = {f"coding.{name}": tensor for name, tensor in tables.to_state().items()}
        state = {**model.state_dict(), **coding}
        self.fingerprint = fingerprint(
            {name: tensor.detach().cpu().numpy() for name, tensor in state.items()}
        )
        self.painters = Painters(model, self.fingerprint, look)


@final
class ImageCodec(nn.Module):
    """Codes images with a model: what :func:`tngexp.load` returns.

    It stands above the model, which knows nothing of files. Integer tables and exact networks are
    made of the weights when something is first coded, and again when the weights have changed.

    Args:
        model: the codec to code with.
        tables: its integer tables, as they were stored with these very weights; derived when None.
        look: a second synthesis for its files, or the file of one, read when it is first wanted.
    """

    def __init__(
        self,
        model: Codec,
        tables: CodingTables | None = None,
        look: Look | Path | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self._look = look
        self._stored = None if tables is None else (tables_digest(model), tables)
        self._prepared: tuple[tuple[int, ...], _Prepared] | None = None

    def forward(self, x: Tensor, quality: Tensor | None = None) -> CodecOutput:
        """Reconstruct images and count their bits: :meth:`tngexp.model.codec.Codec.forward`."""
        output: CodecOutput = self.model(x, quality)
        return output

    def prepare(self) -> _Prepared:
        """Make what coding needs, so that a model that cannot code is found out at once.

        Raises:
            ConfigError: for a component that has no bitstream form, or a model in training mode.
        """
        model = self.model
        if model.training:
            raise ConfigError("a codec codes in evaluation mode: call codec.eval() first")
        state = tuple(n for t in model.state_dict().values() for n in (t.data_ptr(), t._version))
        if self._prepared is None or self._prepared[0] != state:
            self._prepared = (state, _Prepared(model, self._tables(), self._look))
        return self._prepared[1]

    def fingerprint(self) -> bytes:
        """The four bytes by which a ``.tng`` file names the model it was coded with."""
        return self.prepare().fingerprint

    def tables(self) -> CodingTables:
        """The integer tables that go with the weights as they are now."""
        return self.prepare().tables

    def look(self) -> Look | None:
        """The second synthesis for its files, checked (CheckpointError); None without one."""
        return self.prepare().painters.look()

    def compress(
        self,
        image: Source,
        quality: float | None = None,
        effort: int = 0,
        *,
        tune: str | None = None,
        seed: int = 0,
        tell: Callable[[Progress], None] | None = None,
        exact: bool = False,
        progress: Share | None = None,
    ) -> bytes:
        """The bytes of a ``.tng`` file.

        Args:
            image: a Pillow image of any mode; a tensor (3, H, W) or (1, H, W); an array (H, W) or
                (H, W, 1 … 4); any size from 1×1. Numbers are uint8, uint16, or floats in 0 … 1.
                ``docs/how-to/code-files.md`` tells what becomes of grey, transparent and 16-bit
                images.
            quality: 0 … 1 for a variable-rate codec, where None means 0.5.
            effort: 0 … 9. Above 0 a search by gradient looks for a file that costs less of
                R + λ·D than that of effort 0; the better of the two is returned. Each effort takes
                about twice as long as the one before.
            tune: the distortion D to search for: mse, msssim or mixed; None for the codec's own.
            seed: of the search, whose result is the same for the same seed on one machine.
            tell: told after each step of the search. An interruption (KeyboardInterrupt) ends a
                search, not this call: it goes on with what has been found.
            exact: keep the colours that alpha hides, at their price.
            progress: told which share of the work is done, window by window.

        Raises:
            ConfigError: for a quality or an effort that the codec does not take, an image that is
                too small for the distortion or larger than a file may say, a codec in training
                mode, or pixels without a defined white.
        """
        plan = plan_of(effort)
        if plan is None:
            analysis = self.analyse(image, quality, exact=exact, progress=part(progress, 0, 0.5))
            return self.write(analysis, progress=part(progress, 0.5, 1))
        picture, index = to_picture(image, exact), self._quality_index(quality)
        value = None if index is None else index_to_quality(index)
        tuning = tuning_of(self.model.objective, value, tune)
        check_side(picture.rgb, tuning)
        analysis = self.analyse(picture, quality)
        found = refine_image(
            *(self.model, analysis, tuning, plan),
            seed=seed,
            tell=tell,
            progress=part(progress, 0, 1),
        )
        files = [self.write(analysis), self.write(found.analysis)]
        return min(files, key=lambda data: self._cost(data, analysis.picture.rgb, tuning))

    @torch.no_grad()
    def analyse(
        self,
        image: Source,
        quality: float | None = None,
        *,
        exact: bool = False,
        progress: Share | None = None,
    ) -> Analysis:
        """The first half of :meth:`compress`: what is to be coded, not yet quantized.

        A search for better symbols goes between the halves, see ``tngexp.bitstream.search``.

        Raises:
            ConfigError: as :meth:`compress`.
        """
        model, index = self.model, self._quality_index(quality)
        self.prepare()
        picture = to_picture(image, exact)
        try:
            check_size(picture.rgb.shape[-1], picture.rgb.shape[-2])
        except ValueError as error:
            raise ConfigError(f"{error}: scale it down, or cut it into several") from error
        y = analyse(
            model.transform,
            model.rate,
            picture.rgb,
            model.stride,
            self._quality_tensor(index),
            progress,
        )
        device = next(model.parameters()).device
        tiles = [
            model.prior.latents(y[:, :, rows, columns].to(device))
            for rows, columns in tiles_of(y.shape[-2], y.shape[-1])
        ]
        return Analysis(tuple(tiles), index, picture)

    @torch.no_grad()
    def write(self, analysis: Analysis, *, progress: Share | None = None) -> bytes:
        """The second half of :meth:`compress`: the bytes of a file that holds these latents."""
        prepared, picture = self.prepare(), analysis.picture
        streams, checksum, report = [], 0, part(progress, 0, 1)
        for latents in analysis.tiles:
            stream, tile_checksum = prepared.latents.encode(latents)
            streams.append(stream)
            checksum = _combine(checksum, tile_checksum)
            report(len(streams) / len(analysis.tiles))
        if picture.alpha is not None:
            streams.append(images.pack_alpha(picture.alpha))
            checksum = _combine(checksum, symbols_checksum([picture.alpha]))
        return write(
            Container(
                width=picture.rgb.shape[-1],
                height=picture.rgb.shape[-2],
                mode=picture.mode,
                model=prepared.fingerprint,
                streams=tuple(streams),
                symbols_checksum=checksum,
                quality=analysis.quality,
                icc=picture.icc,
                cicp=picture.cicp,
                orientation=picture.orientation,
            )
        )

    @torch.no_grad()
    def _cost(self, data: bytes, rgb: Tensor, tuning: Tuning) -> float:
        """R + λ·D of a file, as it is decoded."""
        x, x_hat = (
            image.unsqueeze(0).float() / 255 for image in (rgb, self._decode(data, None).rgb)
        )
        bpp = 8 * len(data) / (rgb.shape[-2] * rgb.shape[-1])
        return bpp + tuning.lmbda * float(tuning.distortion(x, x_hat))

    def decompress(
        self, data: bytes, *, look: float = 0.0, progress: Share | None = None
    ) -> Image.Image:
        """The image of a ``.tng`` file, in its original size and mode.

        Args:
            data: the whole file.
            look: 0 for the codec's own picture, 1 for that of its look, or between the two.
            progress: told which share of the work is done.

        Raises:
            BitstreamError: when the file is damaged, foreign, or of another model; never shows a
                wrong image instead.
            ConfigError: for a look outside of 0 … 1, or above 0 where the codec has none.
            CheckpointError: for the look of another model, or an unusable file.
        """
        return images.to_pillow(self._decode(data, progress, look))

    @torch.no_grad()
    def _decode(self, data: bytes, progress: Share | None, look: float = 0.0) -> Picture:
        look = check_look(look)
        model, prepared, file = self.model, self.prepare(), read(data)
        if file.model != prepared.fingerprint:
            shipped = zoo.name_of(file.model)
            raise BitstreamError(
                f"the file was coded with model {zoo.called(file.model)}, this is model "
                f"{zoo.called(prepared.fingerprint)}; give "
                f"{shipped or 'the checkpoint it was coded with'}"
            )
        # Not before: whose file it is goes before what this model lacks.
        painter = prepared.painters.at(look)
        if (file.quality is not None) != model.rate.variable:
            raise BitstreamError("the file's quality does not go with this model")
        height, width = (-(-s // model.stride) * model.stride for s in (file.height, file.width))
        rows, columns = height // model.transform.stride, width // model.transform.stride
        tiles = tiles_of(rows, columns)
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
        channels, checksum, parts = model.transform.latent_channels, 0, []
        report = part(progress, 0, 0.5)
        # Whole-image memory is taken only after every stream has proved sound.
        for stream, (row, column) in zip(file.streams, tiles, strict=False):
            size = (channels, row.stop - row.start, column.stop - column.start)
            decoded, tile_checksum = prepared.latents.decode(stream, size)
            parts.append(decoded)
            checksum = _combine(checksum, tile_checksum)
            report(len(parts) / len(tiles))
        if alpha is not None:
            checksum = _combine(checksum, symbols_checksum([alpha]))
        if checksum != file.symbols_checksum:
            raise BitstreamError(
                "the decoded symbols do not match their checksum: the file is damaged, or was "
                "written by a program that computes otherwise"
            )
        y_hat = torch.empty(1, channels, rows, columns)
        for decoded, (row, column) in zip(parts, tiles, strict=True):
            y_hat[:, :, row, column] = decoded
        del parts
        field = drawn_field(painter.noise, file.streams[: len(tiles)], (rows, columns))
        rgb = synthesise(
            model.transform,
            model.rate,
            y_hat,
            file.height,
            file.width,
            self._quality_tensor(file.quality),
            part(progress, 0.5, 1),
            painter=painter,
            field=field,
        )
        return Picture(rgb, file.mode, alpha, file.icc, file.cicp, file.orientation)

    def _tables(self) -> CodingTables:
        """The stored tables where the weights are still those they were made of."""
        if self._stored is not None and self._stored[0] == tables_digest(self.model):
            return self._stored[1]
        return derive_tables(self.model)

    def _quality_index(self, quality: float | None) -> int | None:
        if not self.model.rate.variable:
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
        device = next(self.model.parameters()).device
        return torch.tensor([index_to_quality(index)], device=device)


def _combine(checksum: int, tile: int) -> int:
    """Order-dependent sum of tile checksums; a single tile's is its own."""
    return (checksum * 257 + tile) & 0xFFFF
