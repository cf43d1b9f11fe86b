"""The codec: analysis transform, quantizer, prior and synthesis transform wired together once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, final

import torch.nn.functional as F
from torch import Tensor, nn

from tngexp.build import build
from tngexp.legacy import modernise
from tngexp.priors.base import Prior
from tngexp.quantizers.base import Quantizer
from tngexp.rate.base import Rate
from tngexp.types import CodecOutput, ConfigError, EntropyModelOutput, Transform

if TYPE_CHECKING:
    from PIL import Image

    from tngexp.bitstream import CodingTables, ImageCoder

__all__ = ["Codec"]

_PARTS = ("transform", "quantizer", "prior", "rate")


@final
class Codec(nn.Module):
    """An autoencoder codec (Ballé et al. 2017/2018; the pipeline of ``docs/design.md``).

    x → analysis → ·gain → quantizer ⇄ prior → ·gain⁻¹ → synthesis → x̂

    Args:
        transform: analysis and synthesis transform.
        quantizer: latent to symbols and back.
        prior: bits of the symbols.
        rate: gains for a quality.

    Attributes:
        stride: pixels per position of the coarsest latent; sizes are padded to multiples of it.
    """

    def __init__(
        self, transform: Transform, quantizer: Quantizer, prior: Prior, rate: Rate
    ) -> None:
        super().__init__()
        self.transform = transform
        self.quantizer = quantizer
        self.prior = prior
        self.rate = rate
        self.stride = transform.stride * prior.stride
        self.config: dict[str, Any] | None = None
        self.tables: CodingTables | None = None  # as stored with the weights
        self._coder: tuple[tuple[int, ...], ImageCoder] | None = None

    @classmethod
    def from_config(cls, config: Mapping[str, Any], *, trusted: bool = False) -> Self:
        """Build a codec from the descriptions of its four parts (see :func:`tngexp.build.build`).

        Raises:
            ConfigError: when a part is missing, unknown, or refuses its arguments.
        """
        config = modernise(config)
        missing = [part for part in _PARTS if part not in config]
        if missing:
            raise ConfigError(f"the codec's configuration lacks {', '.join(missing)}")
        codec = cls(**{part: build(config[part], trusted=trusted) for part in _PARTS})
        codec.config = {part: dict(config[part]) for part in _PARTS}
        return codec

    def forward(self, x: Tensor, quality: Tensor | None = None) -> CodecOutput:
        """Reconstruct images and count their bits.

        In evaluation mode symbols are hard, so the bits are what a bitstream would carry up to
        its overhead; in training mode they are differentiable.

        Args:
            x: (B, 3, H, W) in [0, 1], any size: padding to the stride repeats the border.
            quality: (B,) in [0, 1] for a variable-rate codec; None means 0.5.
        """
        height, width = x.shape[-2:]
        y_hat, y_bits, z_bits = self._encode(x, quality)
        x_hat = self.transform.synthesis(self.rate.unscale(y_hat, quality))
        return CodecOutput(x_hat[..., :height, :width], y_bits, z_bits)

    def estimate_bpp(self, x: Tensor, quality: Tensor | None = None) -> Tensor:
        """The rate of :meth:`forward`, in bits per pixel, without reconstructing."""
        _, y_bits, z_bits = self._encode(x, quality)
        return CodecOutput(x, y_bits, z_bits).bpp()

    def compress(self, image: Image.Image | Tensor, quality: float | None = None) -> bytes:
        """The bytes of a ``.tng`` file.

        Args:
            image: a Pillow image of any mode, or a tensor (3, H, W) or (1, H, W), uint8 or float
                in [0, 1]; any size from 1×1. ``docs/coding.md`` tells what becomes of grey,
                transparent and 16-bit images.
            quality: 0 … 1 for a variable-rate codec, where None means 0.5.

        Raises:
            ConfigError: for a quality the codec does not take, or a codec in training mode.
        """
        return self.coder().compress(image, quality)

    def decompress(self, data: bytes) -> Image.Image:
        """The image of a ``.tng`` file, in its original size and mode.

        Raises:
            BitstreamError: when the file is damaged, foreign, or of another model; never shows a
                wrong image instead.
        """
        return self.coder().decompress(data)

    def fingerprint(self) -> bytes:
        """The four bytes by which a ``.tng`` file names the model it was coded with."""
        return self.coder().fingerprint

    def coder(self) -> ImageCoder:
        """What :meth:`compress` and :meth:`decompress` work with, made when first needed."""
        # The coding libraries take a second to import, which training should not pay for.
        from tngexp.bitstream import ImageCoder

        if self.training:
            raise ConfigError("a codec codes in evaluation mode: call codec.eval() first")
        state = tuple(
            number for t in self.state_dict().values() for number in (t.data_ptr(), t._version)
        )
        if self._coder is None or self._coder[0] != state:
            # Stored tables belong to the weights they came with.
            tables = self.tables if self._coder is None else None
            self._coder = (state, ImageCoder(self, tables))
        return self._coder[1]

    def _encode(self, x: Tensor, quality: Tensor | None) -> EntropyModelOutput:
        y = self.rate.scale(self.transform.analysis(self._pad(x)), quality)
        return self.prior(y, self.quantizer)

    def _pad(self, x: Tensor) -> Tensor:
        bottom, right = (-x.shape[-2] % self.stride, -x.shape[-1] % self.stride)
        return F.pad(x, (0, right, 0, bottom), mode="replicate") if bottom or right else x
