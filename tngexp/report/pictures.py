"""What the report's viewer shows: originals and reconstructions with their figures.

Pictures stand inside of the report: lossless, each distinct one once.
"""

from __future__ import annotations

import base64
import hashlib
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tngexp.metrics.curves import to_db

__all__ = ["Pixels", "Reconstruction", "ViewerImage", "viewer_data"]

_WEBP_MAX_SIDE = 16383


@dataclass(frozen=True)
class Reconstruction:
    """An image as a codec gave it back from a real file."""

    curve: str  # key of its Curve
    setting: str  # setting of its RDPoint
    bytes: int
    bpp: float
    psnr_db: float | None
    ms_ssim: float | None
    rgb: NDArray[np.uint8]  # (H, W, 3)


@dataclass(frozen=True)
class ViewerImage:
    """An original and what the codecs made of it, several rates each."""

    name: str
    original: NDArray[np.uint8]  # (H, W, 3)
    versions: tuple[Reconstruction, ...]


class Pixels:
    """Pictures as data URIs for inert script elements, which cost nothing until they are shown."""

    def __init__(self) -> None:
        self.uris: dict[str, str] = {}  # by the id of a picture's element

    def add(self, rgb: NDArray[np.uint8]) -> str:
        """The id of a picture's element."""
        rgb = np.ascontiguousarray(rgb)
        digest = hashlib.sha256(repr(rgb.shape).encode() + rgb.tobytes()).hexdigest()
        key = f"pixels-{digest[:16]}"
        if key not in self.uris:
            self.uris[key] = _data_uri(rgb)
        return key


def viewer_data(image: ViewerImage, pixels: Pixels) -> dict[str, Any]:
    """An image for the viewer; its pictures go to ``pixels``."""
    height, width, _ = image.original.shape
    return {
        "name": image.name,
        "width": width,
        "height": height,
        "pixels": pixels.add(image.original),
        "versions": [_version(version, pixels) for version in image.versions],
    }


def _version(version: Reconstruction, pixels: Pixels) -> dict[str, Any]:
    return {
        "curve": version.curve,
        "setting": version.setting,
        "bytes": version.bytes,
        "bpp": version.bpp,
        "psnr_db": version.psnr_db,
        "ms_ssim": version.ms_ssim,
        "ms_ssim_db": None if version.ms_ssim is None else to_db(version.ms_ssim),
        "pixels": pixels.add(version.rgb),
    }


def _data_uri(rgb: NDArray[np.uint8]) -> str:
    """WebP, about 30 % smaller than PNG; PNG for sides that WebP does not know."""
    buffer = io.BytesIO()
    picture = Image.fromarray(rgb)
    if max(picture.size) > _WEBP_MAX_SIDE:
        kind = "png"
        picture.save(buffer, "PNG", optimize=True)
    else:
        kind = "webp"
        # Method 2 takes 0.15 s for 768×512; 6 takes 6 s and saves another 3 %.
        picture.save(buffer, "WEBP", lossless=True, method=2, quality=50)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
