"""Gradient descent on the latents of one image, window by window."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from tngexp.bitstream.effort.annealed import Annealed
from tngexp.bitstream.effort.plans import Plan
from tngexp.bitstream.effort.tuning import Tuning
from tngexp.model.codec import Codec
from tngexp.types import ConfigError, Latents

__all__ = ["Progress", "Refined", "Region", "check_side", "refine"]

_CORE = 48
"""Latent positions of a window's side that are kept: 768 pixels at stride 16."""

_MARGIN = 4
"""Latent positions around, which are searched too and thrown away; a multiple of every stride of a
hyper-latent."""


class Progress(NamedTuple):
    """Where a search is, after a step."""

    step: int  # from 1, over all windows
    steps: int
    bpp: float  # of the window, as drawn in this step
    distortion: float  # likewise


class Refined(NamedTuple):
    """What a search has found."""

    latents: Latents
    finished: bool  # False after an interruption


class Region(NamedTuple):
    """What a latent was made of."""

    rgb: Tensor  # (3, H, W), uint8; the latent's padding lies to the right and below
    quality: Tensor | None  # (1,)


class _Window(NamedTuple):
    rows: slice  # of the latent, margins included
    columns: slice
    keep_rows: slice  # of the latent, without them
    keep_columns: slice


def refine(
    model: Codec,
    latents: Latents,
    region: Region,
    tuning: Tuning,
    plan: Plan,
    *,
    seed: int = 0,
    reduced: bool = False,
    tell: Callable[[Progress], None] | None = None,
) -> Refined:
    """Latents that cost less of R + λ·D than those of the analysis transform, in most cases.

    Nothing is rounded: coding rounds to what the search has settled beside. The weights stay as
    they are, and nothing in the file or the decoder changes. Memory is bounded by windows of about
    900 pixels a side; those too small for the distortion, as the last of an image may be, keep
    their latents. An interruption (KeyboardInterrupt) ends the search with what it has.

    Args:
        model: in evaluation mode.
        latents: of one image, or of one tile of it.
        region: the pixels that they belong to.
        tuning: what to minimise.
        plan: the schedule of each window.
        seed: of the draws.
        reduced: compute networks in bfloat16.
        tell: told after each step.

    Raises:
        ConfigError: for an alphabet without a line.
    """
    frozen = [p for p in model.parameters() if p.requires_grad]
    for parameter in frozen:
        parameter.requires_grad_(False)
    try:
        # Whoever measures has gradients turned off.
        with torch.inference_mode(False), torch.enable_grad():
            return _refine(model, latents, region, tuning, plan, seed, reduced, tell)
    finally:
        for parameter in frozen:
            parameter.requires_grad_(True)


def check_side(rgb: Tensor, tuning: Tuning) -> None:
    """See that an image (3, H, W) is large enough to be searched.

    Raises:
        ConfigError: if it is too small for the distortion.
    """
    height, width = rgb.shape[-2:]
    if min(height, width) < tuning.min_side:
        raise ConfigError(
            f"an image of {width}×{height} pixels is too small to search for {tuning.name}, which "
            f"needs {tuning.min_side} a side: search for mse (--tune mse), or leave effort at 0"
        )


def _refine(
    model: Codec,
    latents: Latents,
    region: Region,
    tuning: Tuning,
    plan: Plan,
    seed: int,
    reduced: bool,
    tell: Callable[[Progress], None] | None,
) -> Refined:
    y, z = latents.y.clone(), None if latents.z is None else latents.z.clone()
    windows = [
        window
        for window in _windows(*y.shape[-2:])
        if min(_pixels(region, window, model).shape[-2:]) >= tuning.min_side
    ]
    generator = torch.Generator().manual_seed(seed)
    for number, window in enumerate(windows):
        search = _Search(model, Latents(y, z), region, tuning, window)
        finished = search.run(plan, generator, reduced, tell, number, len(windows))
        search.keep(Latents(y, z))
        if not finished:
            return Refined(Latents(y, z), finished=False)
    return Refined(Latents(y, z), finished=True)


class _Search:
    """One window: its variables, its pixels and its optimizer."""

    def __init__(
        self, model: Codec, latents: Latents, region: Region, tuning: Tuning, window: _Window
    ) -> None:
        self._model, self._tuning, self._window = model, tuning, window
        self._quality = region.quality
        self._stride = model.prior.stride
        device = next(model.parameters()).device
        self._x = _pixels(region, window, model).to(device).unsqueeze(0).float() / 255
        self._y = self._variable(latents.y, 1)
        self._z = None if latents.z is None else self._variable(latents.z, self._stride)

    def run(
        self,
        plan: Plan,
        generator: torch.Generator,
        reduced: bool,
        tell: Callable[[Progress], None] | None,
        number: int,
        windows: int,
    ) -> bool:
        """Take all steps; False when interrupted."""
        variables = [v for v in (self._y, self._z) if v is not None]
        optimizer = torch.optim.Adam(variables, lr=plan.rate)
        for taken, step in enumerate(plan.taken, start=1):
            done = step / plan.steps
            for group in optimizer.param_groups:
                group["lr"] = plan.rate * (0.1 + 0.45 * (1 + math.cos(math.pi * done)))
            temperature = plan.hot * (plan.cold / plan.hot) ** done
            try:
                bpp, distortion = self._cost(Annealed(temperature, generator), reduced)
                optimizer.zero_grad(set_to_none=True)
                (bpp + self._tuning.lmbda * distortion).backward()
                optimizer.step()
                if tell is not None:
                    count = number * len(plan.taken) + taken
                    figures = float(bpp.detach()), float(distortion.detach())
                    tell(Progress(count, windows * len(plan.taken), *figures))
            except KeyboardInterrupt:
                return False
        return True

    def keep(self, latents: Latents) -> None:
        """Write what was found into the latents of the whole, without the margins."""
        window = self._window
        for whole, variable, stride in (
            (latents.y, self._y, 1),
            (latents.z, self._z, self._stride),
        ):
            if whole is None or variable is None:
                continue
            rows, columns = window.rows, window.columns
            inner = (
                _less(window.keep_rows, rows.start, stride),
                _less(window.keep_columns, columns.start, stride),
            )
            outer = (_less(window.keep_rows, 0, stride), _less(window.keep_columns, 0, stride))
            whole[:, :, outer[0], outer[1]] = variable.detach()[:, :, inner[0], inner[1]].to(whole)

    def _variable(self, whole: Tensor, stride: int) -> Tensor:
        rows = _less(self._window.rows, 0, stride)
        columns = _less(self._window.columns, 0, stride)
        return whole[:, :, rows, columns].to(self._x.device).clone().requires_grad_()

    def _cost(self, port: Annealed, reduced: bool) -> tuple[Tensor, Tensor]:
        """Bits per pixel and distortion, scalars."""
        model, x = self._model, self._x
        with torch.autocast(x.device.type, torch.bfloat16, enabled=reduced):
            y_hat = model.prior.walk(
                port, Latents(self._y, self._z), model.quantizer, tuple(self._y.shape)
            )
            x_hat = model.reconstruct(
                y_hat.contiguous(memory_format=torch.channels_last), x.shape[-2:], self._quality
            )
        bits = torch.stack([spent.sum() for spent in port.bits.values()]).sum()
        pixels = x.shape[-2] * x.shape[-1]
        return bits / pixels, self._tuning.distortion(x, x_hat.float())[0]


def _windows(rows: int, columns: int) -> Iterator[_Window]:
    for keep_rows, all_rows in _spans(rows):
        for keep_columns, all_columns in _spans(columns):
            yield _Window(all_rows, all_columns, keep_rows, keep_columns)


def _spans(length: int) -> Iterator[tuple[slice, slice]]:
    """Parts of about equal size, and the same with their margins."""
    parts = -(-length // (_CORE + 2 * _MARGIN)) if length > _CORE + 2 * _MARGIN else 1
    step = -(-length // (parts * _MARGIN)) * _MARGIN
    for start in range(0, length, step):
        stop = min(start + step, length)
        yield slice(start, stop), slice(max(start - _MARGIN, 0), min(stop + _MARGIN, length))


def _pixels(region: Region, window: _Window, model: Codec) -> Tensor:
    """Those of a window, (3, H, W), margins included and padding not."""
    unit = model.transform.stride
    return region.rgb[:, _times(window.rows, unit), _times(window.columns, unit)]


def _times(part: slice, factor: int) -> slice:
    return slice(part.start * factor, part.stop * factor)


def _less(part: slice, start: int, stride: int) -> slice:
    return slice((part.start - start) // stride, (part.stop - start) // stride)
