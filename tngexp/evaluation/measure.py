"""One image, one codec, one quality: written, read back, compared."""

from __future__ import annotations

import hashlib
import math
import time
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from tngexp.codec import Codec
from tngexp.coding import index_to_quality, quality_to_index
from tngexp.metrics import ms_ssim, psnr

__all__ = ["Measurement", "measure"]


@dataclass(frozen=True)
class Measurement:
    """Figures of one decoded file; ``bpp`` counts the whole file, header included."""

    width: int
    height: int
    bytes: int
    bpp: float
    estimated_bpp: float  # of ``Codec.forward``: the training objective's rate, no overhead
    psnr_db: float | None  # None for a perfect reconstruction
    ms_ssim: float | None  # None where the image is too small to measure
    encode_s: float
    decode_s: float
    reconstruction_sha256: str  # of the decoded 8-bit RGB pixels, rows first


@torch.no_grad()
def measure(
    codec: Codec, rgb: NDArray[np.uint8], quality: float | None
) -> tuple[Measurement, bytes]:
    """Code an image (H, W, 3) and decode it again from the bytes; also returns those.

    Args:
        codec: in evaluation mode.
        rgb: 8-bit RGB.
        quality: 0 … 1 for a variable-rate codec, else None.

    Raises:
        ConfigError: for a quality the codec does not take.
    """
    started = time.perf_counter()
    data = codec.compress(Image.fromarray(rgb), quality)
    encoded = time.perf_counter()
    decoded = np.asarray(codec.decompress(data))
    finished = time.perf_counter()
    x, x_hat = (_tensor(pixels) for pixels in (rgb, decoded))
    coded = None
    if quality is not None:
        coded = torch.tensor([index_to_quality(quality_to_index(quality))])
    similarity, psnr_db = float(ms_ssim(x, x_hat)), float(psnr(x, x_hat))
    height, width = rgb.shape[:2]
    device = next(codec.parameters()).device
    return Measurement(
        width=width,
        height=height,
        bytes=len(data),
        bpp=8 * len(data) / (width * height),
        estimated_bpp=float(codec(x.to(device), coded).bpp()),
        psnr_db=psnr_db if math.isfinite(psnr_db) else None,
        ms_ssim=None if math.isnan(similarity) else similarity,
        encode_s=encoded - started,
        decode_s=finished - encoded,
        reconstruction_sha256=hashlib.sha256(decoded.tobytes()).hexdigest(),
    ), data


def _tensor(rgb: NDArray[np.uint8]) -> torch.Tensor:
    return torch.from_numpy(np.array(rgb)).permute(2, 0, 1).unsqueeze(0).float() / 255
