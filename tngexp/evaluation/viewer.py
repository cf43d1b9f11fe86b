"""Choosing what the report's viewer shows: few images, and of each codec the points near a rate."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tngexp.datasets.images import Photo
from tngexp.evaluation.photos import pixels_of
from tngexp.metrics.curves import Curve
from tngexp.metrics.records import ImageRecord
from tngexp.report.pictures import Reconstruction, ViewerImage
from tngexp.types import ConfigError

__all__ = ["choose_photos", "viewer_images"]


def choose_photos(
    photos: Sequence[Photo], wanted: Any, option: str = "viewer.images", least: int = 0
) -> list[Photo]:
    """So many photos, evenly spread over the set, or those named (with or without extension).

    One that is named twice is chosen once.

    Args:
        photos: of the set.
        wanted: how many, a name, or a list of names.
        option: what messages call ``wanted``.
        least: how many there must be.

    Raises:
        ConfigError: for a name that is not in the set, neither numbers nor names, or too few.
    """
    wanted = [wanted] if isinstance(wanted, str) else wanted
    number = isinstance(wanted, int) and not isinstance(wanted, bool) and wanted >= 0
    if not number and not (isinstance(wanted, list) and all(isinstance(w, str) for w in wanted)):
        raise ConfigError(f"{option}={wanted!r} must say how many images, or be a list of names")
    if (wanted if number else len(wanted)) < least:
        raise ConfigError(f"{option}={wanted!r} leaves no photo; {option}=8 takes eight")
    if number:
        count = max(0, min(wanted, len(photos)))
        return [photos[(2 * i + 1) * len(photos) // (2 * count)] for i in range(count)]
    chosen = {}
    for name in wanted:
        found = [p for p in photos if name in (p.name, p.name.rpartition(".")[0])]
        if not found:
            raise ConfigError(
                f"{option}: there is no image called {name}; the set has "
                f"{', '.join(p.name for p in photos[:5])}, …"
            )
        chosen[found[0].name] = found[0]
    return [*chosen.values()]


def viewer_images(
    photos: Sequence[Photo],
    curves: Sequence[Curve],
    records: Sequence[ImageRecord],
    targets: Sequence[float],
    pixels: Callable[[ImageRecord], NDArray[np.uint8]],
) -> list[ViewerImage]:
    """For every photo and curve the reconstruction nearest to each target rate.

    Args:
        photos: what to show.
        curves: of the measured codecs and anchors.
        records: the measurements the curves are made of.
        targets: rates in bpp; a point that is nearest to several is shown once.
        pixels: decodes the file of a record, (H, W, 3).
    """
    # A trained codec may be called as an anchor is.
    keys = {(curve.kind, curve.label): curve.key for curve in curves}
    images = []
    for photo in photos:
        versions = []
        for called, key in keys.items():
            rows = [
                r for r in records if (r.curve_kind, r.codec) == called and r.image == photo.name
            ]
            nearest = {
                id(row): row
                for target in targets
                if rows
                for row in [min(rows, key=lambda r: abs(math.log(r.measured.bpp / target)))]
            }
            versions += [
                Reconstruction(
                    curve=key,
                    setting=row.setting,
                    bytes=row.measured.bytes,
                    bpp=row.measured.bpp,
                    psnr_db=row.measured.psnr_db,
                    ms_ssim=row.measured.ms_ssim,
                    rgb=pixels(row),
                )
                for row in sorted(nearest.values(), key=lambda r: r.measured.bpp)
            ]
        images.append(ViewerImage(photo.name, pixels_of(photo), tuple(versions)))
    return images
