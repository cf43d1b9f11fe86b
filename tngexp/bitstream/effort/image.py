"""The search for the latents of a whole image, tile by tile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import torch

from tngexp.bitstream.analysis import Analysis, tiles_of
from tngexp.bitstream.effort.plans import Plan
from tngexp.bitstream.effort.refine import Progress, Region, check_side, refine
from tngexp.bitstream.effort.tuning import Tuning
from tngexp.bitstream.progress import Share, part
from tngexp.coding import index_to_quality
from tngexp.devices.hardware import multiplies_bf16
from tngexp.model.codec import Codec
from tngexp.types import Latents

__all__ = ["RefinedImage", "refine_image"]


class RefinedImage(NamedTuple):
    """What a search has found."""

    analysis: Analysis
    finished: bool  # False after an interruption


def refine_image(
    model: Codec,
    analysis: Analysis,
    tuning: Tuning,
    plan: Plan,
    *,
    seed: int = 0,
    tell: Callable[[Progress], None] | None = None,
    progress: Share | None = None,
) -> RefinedImage:
    """:func:`tngexp.bitstream.effort.refine` for every tile of an image.

    An interruption (KeyboardInterrupt) during a step ends the search with what it has.

    Args:
        model: in evaluation mode.
        analysis: of the image by ``model``, or what an earlier search made of it.
        tuning: what to minimise.
        plan: the schedule.
        seed: of the draws.
        tell: told after each step; counts the steps of each tile anew.
        progress: told which share of the work is done.

    Raises:
        ConfigError: for an image too small for the distortion, or an alphabet without a line.
    """
    rgb, unit = analysis.picture.rgb, model.transform.stride
    check_side(rgb, tuning)  # the whole: its last tile may be of any size
    rows, columns = (-(-s // model.stride) * model.stride // unit for s in rgb.shape[-2:])
    quality = None
    if analysis.quality is not None:
        device = next(model.parameters()).device
        quality = torch.tensor([index_to_quality(analysis.quality)], device=device)
    tiles: list[Latents] = []
    report = part(progress, 0, 1)

    def told(step: Progress) -> None:
        report((len(tiles) + step.step / step.steps) / len(analysis.tiles))
        if tell is not None:
            tell(step)

    for latents, (row, column) in zip(analysis.tiles, tiles_of(rows, columns), strict=True):
        pixels = rgb[
            :, row.start * unit : row.stop * unit, column.start * unit : column.stop * unit
        ]
        refined = refine(
            *(model, latents, Region(pixels, quality), tuning, plan),
            seed=seed,
            reduced=multiplies_bf16(),
            tell=told,
        )
        tiles.append(refined.latents)
        if not refined.finished:
            tiles += analysis.tiles[len(tiles) :]
            return RefinedImage(replace(analysis, tiles=tuple(tiles)), finished=False)
        report(len(tiles) / len(analysis.tiles))  # no step does, where nothing was searched
    return RefinedImage(replace(analysis, tiles=tuple(tiles)), finished=True)
