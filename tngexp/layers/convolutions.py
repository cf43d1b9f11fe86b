"""Small layers the transforms share: strided convolutions, GDN and their initialisation."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from tngexp.types import ConfigError, lower_bound

__all__ = [
    "GDN",
    "conv",
    "deconv",
    "init_weights",
    "require_positive",
    "subpixel",
]


_CACHED = 2**17  # float32 numbers: half a mebibyte


class _Conv2d(nn.Conv2d):
    """A convolution whose weight gradient is computed in the faster memory format."""

    def forward(self, x: Tensor) -> Tensor:
        return _convolution(self, x) if _splits(self, x) else super().forward(x)


class _ConvTranspose2d(nn.ConvTranspose2d):
    """Likewise."""

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        if output_size is None and _splits(self, x):
            return _convolution(self, x)
        return super().forward(x, output_size)


def _splits(layer: nn.Conv2d | nn.ConvTranspose2d, x: Tensor) -> bool:
    """Whether the gradients of a layer want different memory formats.

    Without AVX-512 oneDNN has no fast weight gradient of float32 in channels_last: of 5×5 kernels
    with stride 2 it takes twice as long as in NCHW, while the gradient of the input takes half as
    long. (``benchmarks/train_step.py`` with ``ONEDNN_MAX_CPU_ISA=AVX2``.)
    """
    return (
        not torch.compiler.is_compiling()  # its graphs choose for themselves
        and torch.is_grad_enabled()
        and x.device.type == "cpu"
        and x.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
        and max(layer.kernel_size) > 1
        and x.is_contiguous(memory_format=torch.channels_last)
        and torch.backends.cpu.get_cpu_capability() == "AVX2"
    )


def _convolution(layer: nn.Conv2d | nn.ConvTranspose2d, x: Tensor) -> Tensor:
    options = (
        layer.stride,
        layer.padding,
        layer.dilation,
        isinstance(layer, nn.ConvTranspose2d),
        layer.output_padding,
        layer.groups,
    )
    out: Tensor = _Convolution.apply(x, layer.weight, layer.bias, options)
    return out


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, options: Any) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.sizes = None if bias is None else list(bias.shape)
        ctx.options = options
        return torch.convolution(x, weight, bias, *options)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor, Tensor | None, None]:
        x, weight = ctx.saved_tensors
        backward = torch.ops.aten.convolution_backward
        x_grad = None
        if ctx.needs_input_grad[0]:
            x_grad, _, _ = backward(
                grad, x, weight, ctx.sizes, *ctx.options, (True, False, False)
            )  # fmt: skip
        _, weight_grad, bias_grad = backward(
            _planar(grad), _planar(x), weight.contiguous(), ctx.sizes, *ctx.options,
            (False, True, ctx.sizes is not None),
        )  # fmt: skip
        return x_grad, weight_grad, bias_grad, None


def _planar(x: Tensor) -> Tensor:
    """``x`` in NCHW, copied in pieces that stay in a cache: five times as fast as at once."""
    channels, height, width = x.shape[1:]
    out = torch.empty_like(x, memory_format=torch.contiguous_format)
    rows = max(1, _CACHED // (channels * width))
    for image, target in zip(x, out, strict=True):
        for first in range(0, height, rows):
            target[:, first : first + rows] = image[:, first : first + rows]
    return out


def require_positive(owner: str, **dims: object) -> None:
    """Check dimensions that come from a configuration.

    Raises:
        ConfigError: if a value is not a positive ``int``; names ``owner`` and the option.
    """
    for name, value in dims.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ConfigError(
                f"{owner}: {name} must be a positive whole number, got {value!r}; "
                f"set {name}=… to one"
            )


def conv(in_channels: int, out_channels: int, kernel_size: int = 5, stride: int = 2) -> nn.Conv2d:
    """(B, in, H, W) → (B, out, ⌈H/stride⌉, ⌈W/stride⌉), for odd ``kernel_size``."""
    return _Conv2d(in_channels, out_channels, kernel_size, stride, padding=kernel_size // 2)


def deconv(
    in_channels: int, out_channels: int, kernel_size: int = 5, stride: int = 2
) -> nn.ConvTranspose2d:
    """(B, in, h, w) → (B, out, h·stride, w·stride), for odd ``kernel_size``."""
    return _ConvTranspose2d(
        in_channels,
        out_channels,
        kernel_size,
        stride,
        padding=kernel_size // 2,
        output_padding=stride - 1,
    )


def subpixel(
    in_channels: int, out_channels: int, factor: int = 2, kernel_size: int = 3
) -> nn.Sequential:
    """Sub-pixel convolution (Shi et al. 2016): (B, in, h, w) → (B, out, h·factor, w·factor)."""
    return nn.Sequential(
        conv(in_channels, out_channels * factor**2, kernel_size, stride=1),
        nn.PixelShuffle(factor),
    )


def init_weights(module: nn.Module, gain: float = math.sqrt(2)) -> None:
    """Draw every convolution in ``module`` so that it multiplies the rms by about ``gain``.

    √2 suits a layer that a rectifier or a GDN follows (He et al. 2015). PyTorch's default shrinks
    the signal by √3 per layer, which would leave a latent that rounds to zero everywhere.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            fan_in: float = layer.in_channels // layer.groups * math.prod(layer.kernel_size)
            if isinstance(layer, nn.ConvTranspose2d):
                fan_in = fan_in / math.prod(layer.stride)  # taps that reach one output pixel
            nn.init.normal_(layer.weight, std=gain / math.sqrt(fan_in))
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


class GDN(nn.Module):
    """Generalised divisive normalisation, or its inverse (Ballé et al. 2016, eq. 1; 2018).

    y_i = x_i / √(β_i + Σ_j γ_ij x_j²), with a product instead of the quotient when ``inverse``.

    β ≥ ``beta_min`` and γ ≥ 0 are kept by the reparametrisation of Ballé et al. 2018: what is
    stored is √(β + ε), ε = 2⁻³⁶, so that steps shrink as the value nears zero and the gradient
    does not vanish there. ``beta`` and ``gamma`` are stored in that form, which is also the form
    that CompressAI's state dicts use.

    Args:
        channels: C.
        inverse: multiply instead of divide (IGDN).
        beta_min: smallest β; keeps the denominator away from zero.
        gamma_init: initial diagonal of γ.
    """

    _OFFSET = 2.0**-18

    def __init__(
        self,
        channels: int,
        inverse: bool = False,
        beta_min: float = 1e-6,
        gamma_init: float = 0.1,
    ) -> None:
        super().__init__()
        self.inverse = inverse
        self._beta_bound = math.sqrt(beta_min + self._OFFSET**2)
        self.beta = nn.Parameter(torch.ones(channels).add(self._OFFSET**2).sqrt())
        self.gamma = nn.Parameter((gamma_init * torch.eye(channels)).add(self._OFFSET**2).sqrt())

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, C, H, W)."""
        beta = lower_bound(self.beta, self._beta_bound).square() - self._OFFSET**2
        gamma = lower_bound(self.gamma, self._OFFSET).square() - self._OFFSET**2
        # A backward of its own, because memory traffic, not arithmetic, is what GDN costs.
        result: Tensor = _Normalise.apply(x, beta, gamma, self.inverse)
        return result


class _Normalise(torch.autograd.Function):
    """x · p^∓½ with p = β + γ x², its backward in half the elementwise passes of autograd's.

    With n = p^∓½ and g the incoming gradient, ∂L/∂p = ∓½ g x n³ (GDN) or ½ g x / n (IGDN), which
    flows on into β, γ and x² through one 1×1 convolution.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, beta: Tensor, gamma: Tensor, inverse: bool) -> Tensor:
        squares = x * x  # unlike x**2 not promoted to float32 by CUDA's autocast
        power = F.conv2d(squares, gamma[:, :, None, None], beta)
        norm = (power.sqrt_() if inverse else power.rsqrt_()).to(x.dtype)
        ctx.save_for_backward(x, squares, norm, gamma)
        ctx.inverse = inverse
        return x * norm

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        x, squares, norm, gamma = ctx.saved_tensors
        slope = grad * x
        if ctx.inverse:
            slope = slope.div_(norm).mul_(0.5)
        else:
            slope = slope.mul_(norm).mul_(norm).mul_(norm).mul_(-0.5)
        weight = gamma[:, :, None, None].to(slope.dtype)
        through, gamma_grad, beta_grad = torch.ops.aten.convolution_backward(
            slope, squares, weight, [len(gamma)], [1, 1], [0, 0], [1, 1], False, [0, 0], 1,
            [True, True, True],
        )  # fmt: skip
        x_grad = torch.addcmul(grad * norm, through, x, value=2)
        return x_grad, beta_grad.to(gamma.dtype), gamma_grad[:, :, 0, 0].to(gamma.dtype), None
