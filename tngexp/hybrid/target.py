"""A standard file of a wanted size or quality: ``tng compress --via jpeg``."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
import torch

from tngexp.anchors import Anchor
from tngexp.anchors.base import Pixels
from tngexp.errors import ConfigError
from tngexp.hybrid.codec import HybridCodec
from tngexp.hybrid.model import Hybrid
from tngexp.metrics import check_ms_ssim_side, ms_ssim, psnr

__all__ = ["Coded", "Target", "code_to"]

Target = Literal["bpp", "psnr", "ms_ssim"]


class Coded(NamedTuple):
    """A file and what becomes of it."""

    data: bytes
    factor: float
    setting: float
    bpp: float
    quality: float  # of the restored picture, in the measure that decided


def code_to(
    base: Anchor,
    network: Hybrid | None,
    rgb: Pixels,
    target: Target,
    value: float,
    progress: Callable[[float], object] = lambda share: None,
) -> Coded:
    """The best file of at most ``value`` bits per pixel, or the smallest of at least that quality.

    Each factor that the network was trained for is tried, and of each the settings that bisection
    leads to. Quality is that of the restored picture: PSNR, or MS-SSIM where the network was
    trained for it or a target asks for it. PSNR also chooses the best file of a size where a
    picture is too small for MS-SSIM.

    Args:
        base: writes the file.
        network: restores it; None compares decoded pictures.
        rgb: (H, W, 3), the original.
        target: what ``value`` is.
        value: bits per pixel, dB, or MS-SSIM.
        progress: called with the share that is done.

    Raises:
        ConfigError: when no setting reaches the target, or the picture is too small for MS-SSIM as
            a target.
        AnchorError: when the codec is missing or fails.
    """
    if target == "ms_ssim":
        check_ms_ssim_side(*rgb.shape[:2])
    similar = target == "ms_ssim" or (target == "bpp" and _trained_for_similarity(network))
    found: list[Coded] = []
    factors = (1.0,) if network is None else network.factors
    for number, factor in enumerate(factors):
        codec = base if network is None and factor == 1 else HybridCodec.made(base, factor, network)

        @functools.cache
        def at(index: int, codec: Anchor = codec, factor: float = factor) -> Coded:
            setting = _settings(base)[index]
            data = codec.encode(rgb, setting)
            bpp = 8 * len(data) / (rgb.shape[0] * rgb.shape[1])
            return Coded(data, factor, setting, bpp, _quality(rgb, codec.decode(data), similar))

        best = _bisect(at, len(_settings(base)), target, value)
        if best is not None:
            found.append(best)
        progress((number + 1) / len(factors))
    if not found:
        extreme = "its smallest file" if target == "bpp" else "its best file"
        raise ConfigError(
            f"{base.label} does not reach --target-{target.replace('_', '')} {value:g} with "
            f"{extreme}"
        )
    if target == "bpp":
        return max(found, key=lambda coded: coded.quality)
    return min(found, key=lambda coded: coded.bpp)


def _bisect(at: Callable[[int], Coded], count: int, target: Target, value: float) -> Coded | None:
    """The finest setting within a rate, or the coarsest of a quality; settings by rising rate."""
    low, high = 0, count - 1
    best: Coded | None = None
    while low <= high:
        middle = (low + high) // 2
        coded = at(middle)
        if target == "bpp":
            fits = coded.bpp <= value
            best = coded if fits else best
            low, high = (middle + 1, high) if fits else (low, middle - 1)
        else:
            fits = coded.quality >= value
            best = coded if fits else best
            low, high = (low, middle - 1) if fits else (middle + 1, high)
    return best


def _settings(base: Anchor) -> list[float]:
    """All whole settings, by rising rate."""
    parameter = base.parameter
    every = [float(s) for s in range(int(parameter.lowest), int(parameter.highest) + 1)]
    return every if base.settings[-1] > base.settings[0] else every[::-1]


def _trained_for_similarity(network: Hybrid | None) -> bool:
    aim = None if network is None else network.objective
    return aim is not None and aim.distortion == "msssim"


def _quality(original: Pixels, decoded: Pixels, similar: bool) -> float:
    x, x_hat = (
        torch.from_numpy(np.array(pixels)).permute(2, 0, 1)[None].float() / 255
        for pixels in (original, decoded)
    )
    if similar:
        value = float(ms_ssim(x, x_hat))
        if value == value:
            return value
    return float(psnr(x, x_hat))
