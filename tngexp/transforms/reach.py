"""How far a transform looks that does not say so itself."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from tngexp.types import ConfigError, Transform

__all__ = ["measure_reach"]

_LENGTHS = 64, 160  # latent positions of the strips that gradients are taken on, in turn
_LIMIT = 64  # latent positions; a transform that sees further is not worth windows
_ROWS = 4  # latent positions across a strip; a square of its length would take much memory


def measure_reach(transform: Transform) -> int:
    """What ``transform.reach`` should say: latent positions seen per side, by gradient.

    The gradient of one latent position with respect to a strip of image, and of one cell of the
    image with respect to a strip of latent, is zero beyond the reach. It may be zero within, too:
    a branch may start from zero weights, which is why they are replaced, in a copy, by small
    random ones; a dilated layer may look past the end of a short strip; an operation may pass no
    gradient. So the result is tried as windows use it, against a longer strip, which also shows
    a transform that treats positions unequally (attention in fixed blocks, position codes).

    The copy runs on the CPU in float64, where what is not seen has a gradient of exactly zero.
    That takes seconds for light transforms and a minute or two for the heaviest.

    Raises:
        ConfigError: if the transform sees more than 64 positions away, cannot be differentiated,
            or gives another result in a window; names its class.
    """
    try:
        with torch.inference_mode(False), torch.enable_grad():
            return max(_measure(strip) for strip in _strips(_awake_copy(transform)))
    except (AssertionError, IndexError, RuntimeError, TypeError, ValueError) as error:
        name = type(transform).__name__
        raise ConfigError(f"{name}: its reach cannot be measured: {error}") from error


class _Strip(NamedTuple):
    """One half of a transform along one axis; positions lie along the last axis of tensors."""

    half: Callable[[Tensor], Tensor]
    source: Tensor
    target: Tensor  # half(source)
    size_in: int  # columns of the source that belong to a latent position: stride or 1
    size_out: int  # of the target: 1 or stride


def _awake_copy(transform: Transform) -> Transform:
    twin = copy.deepcopy(transform).to("cpu", torch.float64).eval()
    generator = torch.Generator().manual_seed(0)
    for parameter in twin.parameters():
        noise = 1e-3 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
        parameter.data = torch.where(parameter == 0, noise, parameter).detach()
    return twin


def _strips(twin: Transform) -> list[_Strip]:
    """Analysis and synthesis along the columns, then along the rows."""
    unit, strips = twin.stride, []
    generator = torch.Generator().manual_seed(0)
    size = (1, 3, _ROWS * unit, _LENGTHS[-1] * unit)
    x = torch.rand(size, generator=generator, dtype=torch.float64)
    for turn in (lambda t: t, lambda t: t.transpose(-1, -2).contiguous()):

        def analysis(x: Tensor, turn: Callable[[Tensor], Tensor] = turn) -> Tensor:
            return turn(twin.analysis(turn(x)))

        def synthesis(y: Tensor, turn: Callable[[Tensor], Tensor] = turn) -> Tensor:
            return turn(twin.synthesis(turn(y)))

        with torch.no_grad():
            y = analysis(x)
            x_hat = synthesis(y)
        strips += [_Strip(analysis, x, y, unit, 1), _Strip(synthesis, y, x_hat, 1, unit)]
    return strips


def _measure(strip: _Strip) -> int:
    reach = 0
    for length in _LENGTHS:
        reach = _seen(strip, length)
        ends_inside = reach < length // 2 - 1
        if ends_inside and reach <= _LIMIT and _windows_agree(strip, reach):
            return reach
    if reach > _LIMIT:
        raise ValueError(f"it sees more than {_LIMIT} latent positions away")
    raise ValueError(
        f"it sees {reach} latent positions away, but a window that ends there changes its result"
    )


def _seen(strip: _Strip, length: int) -> int:
    """Positions between the middle one of ``length`` and the farthest it has a gradient from."""
    middle = length // 2
    source = _positions(strip.source, 0, length, strip.size_in).requires_grad_()
    cell = _positions(strip.half(source), middle, middle + 1, strip.size_out)
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(cell.shape, generator=generator, dtype=cell.dtype)
    (gradient,) = torch.autograd.grad((cell * weight).sum(), source)
    columns = gradient.abs().amax((0, 1, 2))
    seen = columns.view(length, strip.size_in).amax(1).nonzero().flatten()
    if not len(seen):
        raise ValueError("its output has no gradient with respect to its input")
    return int((seen - middle).abs().max())


@torch.no_grad()
def _windows_agree(strip: _Strip, reach: int) -> bool:
    """Whether positions come out the same from windows that end ``reach`` away on one side.

    For two neighbours, because one window may start where a period of the transform does.
    """
    tolerance = 1e-5 * float(strip.target.abs().max())  # some transforms insist on float32
    middle = _LENGTHS[-1] // 2
    for place in (middle, middle + 1):
        expected = _positions(strip.target, place, place + 1, strip.size_out)
        for before, after in ((reach, reach + _ROWS), (reach + _ROWS, reach)):
            window = _positions(strip.source, place - before, place + after + 1, strip.size_in)
            found = _positions(strip.half(window), before, before + 1, strip.size_out)
            if not (found - expected).abs().max() <= tolerance:
                return False
    return True


def _positions(x: Tensor, start: int, stop: int, size: int) -> Tensor:
    return x[..., start * size : stop * size].clone(memory_format=torch.contiguous_format)
