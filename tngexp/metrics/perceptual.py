"""Metrics that other packages compute and that model seeing, or were fitted to what people said.

Neither packages nor weights need be there. What a metric lacks is said by the function beside it,
before anything is measured; nothing is downloaded.
"""

from __future__ import annotations

import functools
import importlib.util
import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = [
    "CVVDP_DISPLAY",
    "cvvdp",
    "dists",
    "lacks_package",
    "lacks_weights",
    "lpips",
    "ssimulacra2",
]

CVVDP_DISPLAY = "standard_4k"
"""What ColorVideoVDP takes pictures to be shown on: its default, a screen of 75 pixels a degree."""

_MIN_SIDE = 8  # SSIMULACRA 2 measures no smaller pictures
_SCALES = 6
_SIGMA, _RADIUS = 1.5, 5  # of its blur
_VGG_STRIDE = 32  # of its last layer, which piq computes, too


def lacks_package(module: str) -> str | None:
    """How to get a module of the extra ``perceptual``; None where it is installed."""
    if importlib.util.find_spec(module) is not None:
        return None
    return f"needs the package {module}: pip install 'tngexp[perceptual]'"


def lacks_weights(name: str) -> str | None:
    """How to get the weights of piq's ``LPIPS`` or ``DISTS``; None where they are.

    Those are a network for classification, as torchvision publishes it, and what was fitted to
    people on top of it. piq looks for both in the cache of torch.hub, and downloads unasked what is
    not there.
    """
    import piq
    from torchvision.models import VGG16_Weights

    folder = Path(torch.hub.get_dir()) / "checkpoints"
    urls = (VGG16_Weights.IMAGENET1K_V1.url, getattr(piq, name)._weights_url)
    missing = [url for url in urls if not (folder / url.rpartition("/")[2]).is_file()]
    if not missing:
        return None
    return f"needs weights; download {' and '.join(missing)} into {folder}"


def ssimulacra2(x: Tensor, x_hat: Tensor) -> Tensor:
    """SSIMULACRA 2 (Sneyers 2022) of one pair (1, 3, H, W) in [0, 1]; 100 is best.

    Colours, maps and weights are those of the package ``ssimulacra2``. The loop over the scales
    and the blur are not: at the borders, and in how many scales a small picture has, the package
    (0.3.0) differs from the original program, by some tenths of a point for good photos and several
    points for bad ones. The blur here takes what lies outside for zero, as the program does.

    NaN where a side is under 8 pixels. Under 113 pixels there are fewer scales than the weights
    were fitted with.
    """
    if min(x.shape[-2:]) < _MIN_SIDE:
        return x.new_tensor(math.nan)
    from ssimulacra2 import ssimulacra2 as package

    # (H, W, 3), of light and no longer of its code in sRGB
    linear = [package.srgb_to_linear(_bytes(v)[0].permute(1, 2, 0).numpy()) for v in (x, x_hat)]
    score = package.Msssim()
    for scale in range(_SCALES):
        if min(linear[0].shape[:2]) < _MIN_SIDE:
            break
        if scale:
            linear = [package.downsample(image, 2, 2) for image in linear]
        a, b = (package.make_positive_xyb(package.linear_rgb_to_xyb(v)) for v in linear)
        mean_a, mean_b = _blurred(a), _blurred(b)
        maps = package.MsssimScale()
        maps.avg_ssim = package.ssim_map(
            *(mean_a, mean_b), _blurred(a * a), _blurred(b * b), _blurred(a * b)
        )
        maps.avg_edgediff = package.edge_diff_map(a, mean_a, b, mean_b)
        score.scales.append(maps)
    return x.new_tensor(score.score())


def cvvdp(x: Tensor, x_hat: Tensor) -> Tensor:
    """ColorVideoVDP (Mantiuk et al. 2024) of one pair (1, 3, H, W) in [0, 1]; 10 is best.

    In just-objectionable differences (JOD), as seen on :data:`CVVDP_DISPLAY`.
    """
    value, _ = _cvvdp().predict(_bytes(x_hat), _bytes(x), dim_order="BCHW")
    return x.new_tensor(float(value))


def lpips(x: Tensor, x_hat: Tensor) -> Tensor:
    """Learned perceptual image patch similarity (Zhang et al. 2018) with VGG-16; 0 is best.

    NaN where a side is under 32 pixels, of which the network's last layer sees none.
    """
    return _of_network("LPIPS", x, x_hat)


def dists(x: Tensor, x_hat: Tensor) -> Tensor:
    """Deep image structure and texture similarity (Ding et al. 2020); 0 is best.

    NaN where a side is under 32 pixels.
    """
    return _of_network("DISTS", x, x_hat)


def _of_network(name: str, x: Tensor, x_hat: Tensor) -> Tensor:
    if min(x.shape[-2:]) < _VGG_STRIDE:
        return x.new_tensor(math.nan)
    return _network(name)(x_hat, x)


@functools.cache
def _cvvdp() -> Any:
    import pycvvdp

    return pycvvdp.cvvdp(display_name=CVVDP_DISPLAY, device=torch.device("cpu"), quiet=True)


@functools.cache
def _network(name: str) -> Callable[[Tensor, Tensor], Tensor]:
    import piq

    with warnings.catch_warnings():  # it asks torchvision for weights in a way that is deprecated
        warnings.simplefilter("ignore")
        network: Callable[[Tensor, Tensor], Tensor] = getattr(piq, name)()
    return network


def _bytes(x: Tensor) -> Tensor:
    return (x.cpu() * 255).round().byte()


def _blurred(image: NDArray[np.float64]) -> NDArray[np.float64]:
    from scipy.ndimage import gaussian_filter  # type: ignore[import-untyped]

    blurred: NDArray[np.float64] = gaussian_filter(
        image, _SIGMA, radius=_RADIUS, mode="constant", axes=(0, 1)
    )
    return blurred
