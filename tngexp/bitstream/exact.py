"""Networks in arithmetic without rounding: the same result on every machine.

The networks that predict coding probabilities must give the decoder the very numbers they gave the
encoder; one differing last bit desynchronises the stream. Floating-point sums depend on their
order, which threads, vector widths and batch sizes change. Here activations lie on a grid of
2⁻¹⁰ within ±2¹¹ and weights on a power-of-two grid of at least 15 bits, so that every product and
every partial sum of a layer is an integer multiple of one grid below 2⁵³ of it: float64 holds them
all exactly, and any order gives the same sum. Where a CPU has 8-bit units, 1×1 layers come to the
same numbers through these (``digits.py``). What lies between the layers (rounding to the grid,
leaky rectifiers) works on single elements, where IEEE 754 leaves no freedom.
"""

from __future__ import annotations

import copy
import math
from itertools import pairwise
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tngexp.bitstream.digits import digit_matrix
from tngexp.coding.loading import load_compiled
from tngexp.layers.depthwise import grouped, grouped_weights
from tngexp.types import ACTIVATION_LIMIT, ConfigError

__all__ = ["ACTIVATION_BITS", "exact_copy", "to_grid"]

ACTIVATION_BITS = 10
"""Activations are multiples of 2⁻¹⁰."""

_WEIGHT_BITS = 15
_FEW_THREADS = 3  # more share a product in float64, while digits are split and joined by one
_KERNELS = "tngexp.bitstream.exact_kernels"
_ELEMENTWISE = (nn.LeakyReLU, nn.ReLU, nn.PixelShuffle, nn.Identity)
_Convolution = nn.Conv2d | nn.ConvTranspose2d


def to_grid(x: Tensor) -> Tensor:
    """``x`` in float64, rounded (half to even) to multiples of 2⁻¹⁰ and clamped to ±2048."""
    x = x.double()
    if not x.is_contiguous(memory_format=torch.channels_last):
        x = x.contiguous()
    out = torch.empty_like(x)  # in the same order in memory
    source, target = (t.as_strided((t.numel(),), (1,)).numpy() for t in (x, out))
    load_compiled(_KERNELS).round_to_grid(source, 2.0**ACTIVATION_BITS, ACTIVATION_LIMIT, target)
    return out


def exact_copy(module: nn.Module) -> nn.Module:
    """A copy of ``module`` on the CPU whose convolutions run without rounding.

    Its inputs and outputs are float64. Anything but convolutions, rectifiers, pixel shuffles and
    modules that only hold those is refused.

    Raises:
        ConfigError: naming the layer that has no exact form.
    """
    duplicate = copy.deepcopy(module).cpu().eval().requires_grad_(False)
    return _convert(duplicate)


def _convert(module: nn.Module) -> nn.Module:
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        return ExactConvolution(module)
    for name, child in module.named_children():
        setattr(module, name, _convert(child))
    if isinstance(module, nn.Sequential):
        for place, (before, layer) in enumerate(pairwise(list(module)), 1):
            fresh = isinstance(before, ExactConvolution | nn.PixelShuffle)
            if fresh and isinstance(layer, nn.LeakyReLU | nn.ReLU):
                # Nothing else sees what it reads. The same rectifier may stand elsewhere, too.
                module[place] = rectifier = copy.copy(layer)
                rectifier.inplace = True
    if isinstance(module, _ELEMENTWISE):
        return module
    own = [name for name, _ in module.named_parameters(recurse=False)]
    leaf = next(module.children(), None) is None
    if own or (leaf and not type(module).__module__.startswith("tngexp.")):
        raise ConfigError(
            f"a bitstream needs exact arithmetic, which {type(module).__name__} does not have; "
            "build hyper synthesis and context networks from Conv2d, ConvTranspose2d, ReLU, "
            "LeakyReLU and PixelShuffle"
        )
    return module


@final
class ExactConvolution(nn.Module):
    """A convolution, transposed or not, on grids (see the module's text)."""

    weight: Tensor
    bias: Tensor

    def __init__(self, layer: _Convolution) -> None:
        super().__init__()
        if layer.padding_mode != "zeros" or isinstance(layer.padding, str):
            raise ConfigError(f"exact arithmetic needs zero padding given in numbers: {layer}")
        self._layer = layer
        transposed = isinstance(layer, nn.ConvTranspose2d)
        weight = layer.weight.double()
        bias = weight.new_zeros(layer.out_channels) if layer.bias is None else layer.bias.double()
        bits = _weight_bits(weight, bias, transposed, layer.groups)
        self.register_buffer("weight", torch.round(weight * 2.0**bits) / 2.0**bits)
        fine = 2.0 ** (bits + ACTIVATION_BITS)
        self.register_buffer("bias", torch.round(bias * fine) / fine)
        self._step = 1 / fine
        self._products: dict[tuple[int, int], _Product] = {}
        plain = not transposed and layer.stride == layer.dilation == (1, 1)
        self._by_channel = plain and layer.groups == layer.in_channels == layer.out_channels
        self._by_position = (
            plain and layer.groups == 1 == max(layer.kernel_size) and not any(layer.padding)
        )
        layer.weight, layer.bias = None, None  # type: ignore[assignment]

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) → (B, O, …); 1×1 and depthwise layers leave channels innermost in memory."""
        layer = self._layer
        if self._by_position:
            rows = x.permute(0, 2, 3, 1)
            out = self.grouped(rows.reshape(1, -1, x.shape[1]), 1)
            return out.view(*rows.shape[:3], -1).permute(0, 3, 1, 2)
        x = to_grid(x)
        if isinstance(layer, nn.ConvTranspose2d):
            return F.conv_transpose2d(
                x,
                self.weight,
                self.bias,
                layer.stride,
                layer.padding,  # type: ignore[arg-type]
                layer.output_padding,
                layer.groups,
                layer.dilation,
            )
        if self._by_channel:
            return self._depthwise(x)
        return F.conv2d(
            x, self.weight, self.bias, layer.stride, layer.padding, layer.dilation, layer.groups
        )

    def grouped(self, x: Tensor, parameters: int) -> Tensor:
        """Some output channels at some positions, see :func:`tngexp.layers.depthwise.grouped`."""
        key = len(x), parameters
        if key not in self._products:  # made once: as dear as the product itself
            weights = grouped_weights(self.weight, self.bias, *key)
            self._products[key] = _Product(*weights, self._step)
        return self._products[key](x)

    def _depthwise(self, x: Tensor) -> Tensor:
        # In float64 torch runs a depthwise convolution a channel at a time.
        vertical, horizontal = (int(p) for p in self._layer.padding)
        batch, channels, height, width = x.shape
        rows, columns = self.weight.shape[-2:]
        out = x.new_empty(
            batch, height + 2 * vertical - rows + 1, width + 2 * horizontal - columns + 1, channels
        )
        arrays = (
            x.permute(0, 2, 3, 1).contiguous().numpy(),
            self.weight[:, 0].permute(1, 2, 0).contiguous().numpy(),
            self.bias.numpy(),
            out.numpy(),
        )
        load_compiled(_KERNELS).depthwise(*arrays)
        return out.permute(0, 3, 1, 2)


@final
class _Product:
    """A 1×1 layer's groups of output channels, each at positions of its own.

    Args:
        matrix: (G, C, O), see :func:`tngexp.layers.depthwise.grouped_weights`.
        shift: (G, 1, O), likewise.
        step: the grid of the output.
    """

    def __init__(self, matrix: Tensor, shift: Tensor, step: float) -> None:
        self._matrix, self._shift = matrix, shift
        given = step, 2.0**ACTIVATION_BITS, ACTIVATION_LIMIT
        digits = [digit_matrix(m, s[0], *given) for m, s in zip(matrix, shift, strict=True)]
        self._digits = [d for d in digits if d is not None]

    def __call__(self, x: Tensor) -> Tensor:
        """(G, n, C) → (G, n, O)."""
        few = torch.get_num_threads() <= _FEW_THREADS
        if not few or len(self._digits) < len(self._matrix):
            return grouped(to_grid(x), self._matrix, self._shift)
        out = x.new_empty(*x.shape[:2], self._matrix.shape[2], dtype=torch.float64)
        for digits, rows, target in zip(self._digits, x.double(), out, strict=True):
            digits(rows, target)
        return out


def _weight_bits(weight: Tensor, bias: Tensor, transposed: bool, groups: int) -> int:
    """The finest grid 2⁻ᵇ, b ≤ 15 below the largest weight, at which no sum can leave 2⁵³."""
    largest = float(weight.abs().max())
    if not math.isfinite(largest) or not bool(torch.isfinite(bias).all()):
        raise ConfigError("the prior's weights are not finite: the training has diverged")
    bits = _WEIGHT_BITS - math.frexp(largest)[1] if largest > 0 else 0
    if transposed:  # (in, out / groups, …): every output channel sums over its group's inputs
        norms = weight.abs().unflatten(0, (groups, -1)).sum((1, 3, 4)).flatten()
    else:
        norms = weight.abs().flatten(1).sum(1)
    while True:
        # Half a step of rounding on each weight is covered by the margin of two.
        bound = (norms * ACTIVATION_LIMIT + bias.abs()).max() * 2.0 ** (bits + ACTIVATION_BITS)
        if float(bound) < 2.0**52:
            return bits
        bits -= 1
