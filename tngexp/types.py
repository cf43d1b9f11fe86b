"""What flows between the boxes of a codec: shapes, units and protocols.

Shapes use ``B`` images, ``M`` latent channels, ``h × w`` latent positions and ``*S`` for "any
trailing positions" (``h, w`` for a whole latent, ``n`` for a list of gathered positions).
Images are RGB in [0, 1] unless a docstring says otherwise. Rates are in bits; ``bpp`` is always
bits per pixel of the original image, padding included in the bits and excluded from the pixels.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from tngexp.errors import CheckpointError, ConfigError, TngexpError

__all__ = [
    "ACTIVATION_LIMIT",
    "MS_SSIM_MIN_SIDE",
    "POINT_GRID",
    "Alphabet",
    "Cells",
    "CheckpointError",
    "CodecOutput",
    "ConfigError",
    "Distribution",
    "EntropyModelOutput",
    "HyperTransform",
    "Latents",
    "MixtureForm",
    "Noise",
    "Pmf",
    "Quantizes",
    "Relaxed",
    "StaticForm",
    "TngexpError",
    "Transform",
    "lower_bound",
]


MS_SSIM_MIN_SIDE = 176
"""Shortest side MS-SSIM is measured on, in pixels: four halvings of an 11-pixel window."""

ACTIVATION_LIMIT = 2.0**11
"""Bound of what the networks that predict probabilities read, since they also run in exact
arithmetic; trained networks stay far below."""

POINT_GRID = 1024.0
"""Points and locations are multiples of 2⁻¹⁰, the grid on which files hold a decoded latent."""


class Latents(NamedTuple):
    """What an encoder is about to code: the latent, scaled by the gains, and its hyper-latent."""

    y: Tensor  # (B, M, h, w), float32
    z: Tensor | None  # (B, N, h/4, w/4), float32; None for a prior without a hyper-latent


class Cells(NamedTuple):
    """Quantization cells a prior integrates its density over, in the residual domain y − μ.

    With ``group`` = 0 the rate of an element is Σ_l weight_l · −log2(F(upper_l) − F(lower_l));
    without weights each element lies in exactly one cell.

    With ``group`` = g ≥ 1 the cells are the unit cubes around the L codewords of a vector
    quantizer, one codeword for every g channels. Codeword l has the probability P_l ∝ Π of the
    masses of its g sides, normalised over the codebook, and the rate of a group is
    Σ_l weight_l · −log2 P_l.
    """

    lower: Tensor  # (B, M, *S), or (L, B, M, *S) with weights, (L, 1, g, 1, …) with a codebook
    upper: Tensor  # like lower
    weight: Tensor | None = None  # (L, B, M, *S) or (L, B, M/group, *S), sums to 1 over L
    group: int = 0  # channels of a codeword; 0: the cells tile the line


class Relaxed(NamedTuple):
    """What a quantizer makes of a residual: the decoder's view and the rate's view."""

    decoded: Tensor  # (B, M, *S), what the decoder sees, still relative to the location
    cells: Cells  # what the rate is charged for


class Alphabet(Protocol):
    """The symbols of a hard quantizer as data: which point and which cell each stands for.

    Evaluation, coding and search all quantize with this, so that they cannot differ.
    """

    @property
    def group(self) -> int:
        """Channels that share a symbol."""

    @property
    def size(self) -> int | None:
        """L, where symbols are 0 … L − 1; None where they are all integers."""

    def quantize(self, residual: Tensor) -> Tensor:
        """Symbols (B, M/group, *S), int64, of residuals (B, M, *S)."""

    def dequantize(self, symbols: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """Points (B, M, *S), multiples of 2⁻¹⁰, of symbols (B, M/group, *S)."""

    def cells(self, symbols: Tensor) -> Cells:
        """The cell of each symbol."""

    def candidates(self, residual: Tensor) -> Tensor:
        """The symbols worth considering, nearest first: (C, B, M/group, *S)."""

    def state(self) -> dict[str, Tensor]:
        """What was learned, as tensors that travel with the weights."""

    def restored(self, state: Mapping[str, Tensor]) -> Alphabet:
        """This alphabet with what was learned taken from ``state``."""


class Quantizes(Protocol):
    """What a prior needs of a quantizer."""

    group: int  # channels that share a symbol

    def relax(self, residual: Tensor) -> Relaxed:
        """The differentiable stand-in that training sees, (B, M, *S)."""

    def hard(self, residual: Tensor) -> Relaxed:
        """Points and cells of evaluation, (B, M, *S)."""

    def alphabet(self) -> Alphabet:
        """The same as data."""


class MixtureForm(NamedTuple):
    """Σ_k w_k·F((y − μ_k)/s_k) as a network predicted it, in the network's own precision."""

    family: str  # of F: gaussian, laplace or logistic
    scale: Tensor  # (K, B, M, *S), not yet floored
    mean: Tensor  # (K, B, M, *S)
    logits: Tensor | None  # (K, B, M, *S), of the weights in nats; None for K = 1


class Pmf(NamedTuple):
    """Probabilities of a finite set of symbols for each channel (or group of channels)."""

    masses: list[Any]  # one float64 vector a channel
    first: Any  # (C,) int64, the symbol of each vector's first entry
    below: Any  # (C,) float64, probability of all smaller symbols; scalar 0 where there are none
    above: Any  # (C,) float64
    location: Any  # (channels,) float64, where residuals start, multiples of 2⁻¹⁰


class StaticForm(NamedTuple):
    """A learned density that depends on the channel alone: its integers are made once and kept."""

    density: nn.Module  # what the table depends on
    pmf: Callable[[Alphabet], Pmf]


@runtime_checkable
class Distribution(Protocol):
    """The distribution of one latent element, per element, relative to its own location.

    One that also has ``form() -> MixtureForm | StaticForm`` can be coded.
    """

    @property
    def location(self) -> Tensor:
        """Where residuals start, broadcastable to (B, M, *S)."""

    def likelihood(self, lower: Tensor, upper: Tensor) -> Tensor:
        """P(lower < y − location < upper) in float32, shape of ``lower``."""


class EntropyModelOutput(NamedTuple):
    """What a prior makes of a latent."""

    y_hat: Tensor  # (B, M, h, w), the latent the synthesis transform receives
    y_bits: Tensor  # (B, M, h, w), bits of each latent element
    z_bits: Tensor | None  # (B, N, h/4, w/4), bits of the hyper-latent; None without one


class CodecOutput(NamedTuple):
    """One forward pass: a reconstruction and what it costs."""

    x_hat: Tensor  # (B, 3, H, W), nominally in [0, 1] but not clamped
    y_bits: Tensor  # (B, M, h, w)
    z_bits: Tensor | None  # (B, N, h/4, w/4)
    y_hat: Tensor | None = None  # (B, M, h, w), what the decoder received, gains included

    def bits(self) -> Tensor:
        """Total bits of each image, shape (B,)."""
        bits = self.y_bits.flatten(1).sum(1)
        if self.z_bits is not None:
            bits = bits + self.z_bits.flatten(1).sum(1)
        return bits

    def bpp(self) -> Tensor:
        """Bits per pixel of each image, shape (B,)."""
        return self.bits() / (self.x_hat.shape[-2] * self.x_hat.shape[-1])


class Transform(nn.Module):
    """An analysis transform and its synthesis transform, chosen together as ``encoder=…``.

    Final subclasses set the two modules and the three numbers in ``__init__``.

    ``reach`` is how far the modules look, per side and axis, in latent positions rounded up: the
    largest distance from the stride × stride cell of a latent position to a pixel its analysis
    sees, and from such a cell to a latent position its synthesis sees. Padding at the border of
    an image adds nothing. Large images are coded in windows with a margin of ``reach``, which
    must therefore not be too small; the modules must also commute with shifts of whole latent
    positions. None leaves it to be measured when the first such image is coded.
    """

    analysis: nn.Module  # (B, 3, H, W) → (B, M, H/stride, W/stride)
    synthesis: nn.Module  # (B, M, H/stride, W/stride) → (B, 3, H, W)
    stride: int  # image pixels per latent position, per axis
    latent_channels: int  # M
    reach: int | None = None  # latent positions seen beyond one's own cell, per side


class Noise(nn.Module, ABC):
    """What a decoder adds to the latent it has decoded, of noise that it draws itself.

    Nothing of it is in a file but what the seed is made of, so all decoders add the same.
    """

    channels: int  # of the noise

    @abstractmethod
    def forward(self, y_hat: Tensor, field: Tensor | None = None) -> Tensor:
        """ŷ (B, M, h, w) with noise.

        Args:
            y_hat: as the quantizer left it, before the gains are undone.
            field: noise (B or 1, channels, h, w) of mean 0 and variance 1; None to draw it.
        """


class HyperTransform(nn.Module):
    """A hyper analysis transform and its synthesis transform (Ballé et al. 2018).

    Final subclasses set the two modules and the two numbers in ``__init__``.
    """

    analysis: nn.Module  # (B, M, h, w) → (B, N, h/stride, w/stride)
    synthesis: nn.Module  # (B, N, h/stride, w/stride) → (B, out_channels, h, w)
    stride: int  # latent positions per side-latent position, per axis
    side_channels: int  # N


def lower_bound(x: Tensor, bound: float) -> Tensor:
    """max(x, bound) whose gradient still passes where it pushes a clipped x back up.

    Ballé et al. 2018 (TensorFlow Compression's ``lower_bound``): a plain clamp would leave a
    clipped scale or likelihood without gradient for ever.
    """
    return _LowerBound.apply(x, bound)


class _LowerBound(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, bound: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.bound = bound
        return x.clamp(min=bound)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        return grad * ((x >= ctx.bound) | (grad < 0)), None
