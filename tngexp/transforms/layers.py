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
    return nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding=kernel_size // 2)


def deconv(
    in_channels: int, out_channels: int, kernel_size: int = 5, stride: int = 2
) -> nn.ConvTranspose2d:
    """(B, in, h, w) → (B, out, h·stride, w·stride), for odd ``kernel_size``."""
    return nn.ConvTranspose2d(
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
    """Generalized divisive normalization, or its inverse (Ballé et al. 2016, eq. 1; 2018).

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
        result: Tensor = _Normalize.apply(x, beta, gamma, self.inverse)
        return result


class _Normalize(torch.autograd.Function):
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
