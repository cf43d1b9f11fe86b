"""One image, one coder: written, read back, compared."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Sequence
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from tngexp.bitstream import ImageCodec
from tngexp.coding import index_to_quality, quality_to_index
from tngexp.evaluation.memory import PeakMemory
from tngexp.metrics import ms_ssim, psnr
from tngexp.metrics.extra import extra_metrics
from tngexp.metrics.records import Measurement

__all__ = ["MEASUREMENT_VERSION", "measure", "measure_coder"]

MEASUREMENT_VERSION = 1
"""Part of the key of all kept figures; to be raised when measuring or a metric's definition
changes."""

_WARM: WeakKeyDictionary[ImageCodec, set[float]] = WeakKeyDictionary()
"""Looks at which codecs have coded in this process."""


def measure_coder(
    rgb: NDArray[np.uint8],
    encode: Callable[[], bytes],
    decode: Callable[[bytes], NDArray[np.uint8]],
    metrics: Sequence[str] = (),
    estimate: Callable[[], float] | None = None,
    memory: PeakMemory | None = None,
) -> tuple[Measurement, bytes]:
    """Code an image (H, W, 3) and decode it again from the bytes; also returns those.

    Codecs and anchors are measured by this one function.

    Args:
        rgb: the original, 8-bit RGB.
        encode: the whole file of ``rgb``.
        decode: a file's pixels, 8-bit RGB.
        metrics: names of further metrics, see :func:`tngexp.metrics.extra.extra_metrics`.
        estimate: the rate that a model estimates, in bpp; not part of the timing.
        memory: watches the coding, from now on.
    """
    started = time.perf_counter()
    data = encode()
    encoded = time.perf_counter()
    decoded = decode(data)
    finished = time.perf_counter()
    peak = None if memory is None else memory.mib()
    x, x_hat = (_tensor(pixels) for pixels in (rgb, decoded))
    with torch.no_grad():
        similarity, psnr_db = float(ms_ssim(x, x_hat)), float(psnr(x, x_hat))
        further = extra_metrics(x, x_hat, metrics)
    height, width = rgb.shape[:2]
    return Measurement(
        width=width,
        height=height,
        bytes=len(data),
        bpp=8 * len(data) / (width * height),
        estimated_bpp=None if estimate is None else estimate(),
        psnr_db=psnr_db if math.isfinite(psnr_db) else None,
        ms_ssim=None if math.isnan(similarity) else similarity,
        encode_s=encoded - started,
        decode_s=finished - encoded,
        reconstruction_sha256=hashlib.sha256(np.ascontiguousarray(decoded).tobytes()).hexdigest(),
        metrics=further,
        peak_memory_mib=peak,
    ), data


@torch.no_grad()
def measure(
    codec: ImageCodec,
    rgb: NDArray[np.uint8],
    quality: float | None,
    metrics: Sequence[str] = (),
    effort: int = 0,
    tune: str | None = None,
    look: float = 0.0,
) -> tuple[Measurement, bytes]:
    """:func:`measure_coder` of a codec in evaluation mode.

    Args:
        codec: in evaluation mode.
        rgb: 8-bit RGB, (H, W, 3).
        quality: 0 … 1 for a variable-rate codec, else None.
        metrics: names of further metrics.
        effort: of the encoder, 0 … 9.
        tune: what it searches for.
        look: of the decoder, 0 … 1.

    Raises:
        ConfigError: for a quality, an effort or a look that the codec does not take.
    """
    coded = None
    if quality is not None:
        coded = torch.tensor([index_to_quality(quality_to_index(quality))])
    device = next(codec.parameters()).device
    _warm_up(codec, look)
    return measure_coder(
        rgb,
        lambda: codec.compress(Image.fromarray(rgb), quality, effort, tune=tune),
        lambda data: np.asarray(codec.decompress(data, look=look)),
        metrics,
        lambda: float(codec.model.estimate_bpp(_tensor(rgb).to(device), coded)),
        PeakMemory(device),
    )


def _warm_up(codec: ImageCodec, look: float) -> None:
    """Have made and loaded what all files need, so that it is not timed with the first one."""
    looks = _WARM.setdefault(codec, set())
    if look not in looks:
        # Compiled loops are loaded, or even compiled, by what first calls them.
        codec.decompress(codec.compress(Image.new("RGB", (1, 1))), look=look)
        looks.add(look)


def _tensor(rgb: NDArray[np.uint8]) -> torch.Tensor:
    return torch.from_numpy(np.array(rgb)).permute(2, 0, 1).unsqueeze(0).float() / 255
