"""The codec: analysis transform, quantizer, prior and synthesis transform wired together once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tngexp.model.build import build
from tngexp.model.legacy import modernise
from tngexp.priors.base import Prior
from tngexp.quantizers.base import Quantizer
from tngexp.rate.base import Rate
from tngexp.types import (
    CodecOutput,
    ConfigError,
    EntropyModelOutput,
    Latents,
    Noise,
    Transform,
)

__all__ = ["Codec"]

_PARTS = ("transform", "quantizer", "prior", "rate")
_FURTHER = ("noise",)  # parts that a codec may lack
_OPTIONS = {"transform": "encoder"}  # where the command line has another name


@final
class Codec(nn.Module):
    """An autoencoder codec (Ballé et al. 2017/2018); ``docs/explanation/design.md`` draws it.

    x → analysis → ·gain → quantizer ⇄ prior (→ + noise) → ·gain⁻¹ → synthesis → x̂

    A codec is a model: it knows nothing of files. What codes them with it is
    :class:`tngexp.bitstream.ImageCodec`.

    Args:
        transform: analysis and synthesis transform.
        quantizer: latent to symbols and back.
        prior: bits of the symbols.
        rate: gains for a quality.
        noise: what the decoder adds to ŷ; None for nothing.

    Attributes:
        stride: pixels per position of the coarsest latent; sizes are padded to multiples of it.

    Raises:
        ConfigError: when the quantizer's symbols span more channels than the prior codes together.
    """

    def __init__(
        self,
        transform: Transform,
        quantizer: Quantizer,
        prior: Prior,
        rate: Rate,
        noise: Noise | None = None,
    ) -> None:
        super().__init__()
        if prior.chunk % quantizer.group:
            raise ConfigError(
                f"quantizer.group={quantizer.group} channels share a symbol, but this prior codes "
                f"{prior.chunk} neighbouring channels together: choose a divisor of {prior.chunk}, "
                "or another encoder.M"
            )
        self.transform = transform
        self.quantizer = quantizer
        self.prior = prior
        self.rate = rate
        self.noise = noise
        self.stride = transform.stride * prior.stride
        self.config: dict[str, Any] | None = None
        self.objective: dict[str, Any] | None = None  # what it was trained for, for the record

    @classmethod
    def from_config(cls, config: Mapping[str, Any], *, trusted: bool = False) -> Self:
        """Build a codec from the descriptions of its parts (see :mod:`tngexp.model.build`).

        Raises:
            ConfigError: when a part is missing, unknown, or refuses its arguments.
        """
        config = modernise(config)
        missing = [part for part in _PARTS if part not in config]
        if missing:
            raise ConfigError(f"the codec's configuration lacks {', '.join(missing)}")
        named = [*_PARTS, *(part for part in _FURTHER if config.get(part) is not None)]
        parts = {
            part: build(config[part], trusted=trusted, option=_OPTIONS.get(part, part))
            for part in named
        }
        codec = cls(**parts)
        codec.config = {part: dict(config[part]) for part in named}
        return codec

    def train(self, mode: bool = True) -> Self:
        """Training mode, or evaluation mode.

        Where all that decides over the symbols is frozen (analysis, quantizer, prior and rate), it
        stays in evaluation mode: a synthesis that is trained alone sees the latents that files
        hold, whatever the quantizer does to train an encoder.
        """
        super().train(mode)
        coding = (self.transform.analysis, self.quantizer, self.prior, self.rate)
        if mode and not any(p.requires_grad for part in coding for p in part.parameters()):
            for part in coding:
                part.eval()
        return self

    def forward(self, x: Tensor, quality: Tensor | None = None) -> CodecOutput:
        """Reconstruct images and count their bits.

        In evaluation mode symbols are hard, so the bits are what a bitstream would carry up to
        its overhead; in training mode they are differentiable.

        Args:
            x: (B, 3, H, W) in [0, 1], any size: padding to the stride repeats the border.
            quality: (B,) in [0, 1] for a variable-rate codec; None means 0.5.
        """
        y_hat, y_bits, z_bits = self._code(x, quality)
        return CodecOutput(self.reconstruct(y_hat, x.shape[-2:], quality), y_bits, z_bits, y_hat)

    def estimate_bpp(self, x: Tensor, quality: Tensor | None = None) -> Tensor:
        """The rate of :meth:`forward`, in bits per pixel, without reconstructing."""
        _, y_bits, z_bits = self._code(x, quality)
        return CodecOutput(x, y_bits, z_bits).bpp()

    def analyse(self, x: Tensor, quality: Tensor | None = None) -> Latents:
        """What is to be coded of images (B, 3, H, W): the scaled latent and its hyper-latent."""
        return self.prior.latents(self._scaled(x, quality))

    def reconstruct(
        self, y_hat: Tensor, size: tuple[int, int] | torch.Size, quality: Tensor | None = None
    ) -> Tensor:
        """The images (B, 3, *size) of a decoded latent (B, M, h, w), not clamped."""
        noisy = y_hat if self.noise is None else self.noise(y_hat)
        x_hat: Tensor = self.transform.synthesis(self.rate.unscale(noisy, quality))
        return x_hat[..., : size[0], : size[1]]

    def _code(self, x: Tensor, quality: Tensor | None) -> EntropyModelOutput:
        output: EntropyModelOutput = self.prior(self._scaled(x, quality), self.quantizer)
        return output

    def _scaled(self, x: Tensor, quality: Tensor | None) -> Tensor:
        return self.rate.scale(self.transform.analysis(self._pad(x)), quality)

    def _pad(self, x: Tensor) -> Tensor:
        bottom, right = (-x.shape[-2] % self.stride, -x.shape[-1] % self.stride)
        return F.pad(x, (0, right, 0, bottom), mode="replicate") if bottom or right else x
