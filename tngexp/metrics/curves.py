"""Rate-distortion data: what measuring produces and comparing, plotting and reporting consume."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["QUALITY_METRICS", "Curve", "ImagePoint", "RDPoint", "to_db"]

QUALITY_METRICS = {"psnr_db": "PSNR (dB)", "ms_ssim_db": "MS-SSIM (dB)"}
"""Metrics every curve can be drawn and compared in: attribute of :class:`RDPoint` → label."""


def to_db(similarity: float) -> float:
    """−10·log10(1 − s): MS-SSIM spread out where it saturates; infinite for s = 1."""
    return -10 * math.log10(1 - similarity) if similarity < 1 else math.inf


@dataclass(frozen=True)
class ImagePoint:
    """One image coded at one setting."""

    image: str
    width: int
    height: int
    bytes: int  # of the whole file
    bpp: float  # bits of the whole file per pixel
    psnr_db: float | None  # None for a perfect reconstruction
    ms_ssim: float | None  # None where the image is too small to measure
    encode_s: float | None = None
    decode_s: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)  # further ones, by name

    @property
    def ms_ssim_db(self) -> float | None:
        """MS-SSIM of this image in dB; None where unmeasurable or perfect."""
        if self.ms_ssim is None or self.ms_ssim >= 1:
            return None
        return to_db(self.ms_ssim)


@dataclass(frozen=True)
class RDPoint:
    """One setting of a codec over a set of images.

    A curve quoted from elsewhere may know the means only: then ``images`` is empty and the
    ``quoted_*`` fields hold them.
    """

    setting: str  # for people, e.g. "quality 30", "q=0.5", "λ=0.013"
    images: tuple[ImagePoint, ...] = ()
    quoted_bpp: float | None = None
    quoted_psnr_db: float | None = None
    quoted_ms_ssim: float | None = None

    @property
    def bpp(self) -> float:
        """Mean over images of bits per pixel."""
        if not self.images:
            return math.nan if self.quoted_bpp is None else self.quoted_bpp
        return statistics.fmean(image.bpp for image in self.images)

    @property
    def psnr_db(self) -> float | None:
        """Mean over images of PSNR; None where no image has one."""
        return self._mean("psnr_db", self.quoted_psnr_db)

    @property
    def ms_ssim(self) -> float | None:
        """Mean over images of MS-SSIM; None where no image has one."""
        return self._mean("ms_ssim", self.quoted_ms_ssim)

    @property
    def ms_ssim_db(self) -> float | None:
        """The mean MS-SSIM, then in dB: −10·log10(1 − mean)."""
        mean = self.ms_ssim
        return None if mean is None or mean >= 1 else to_db(mean)

    @property
    def encode_s(self) -> float | None:
        """Mean seconds to encode an image."""
        return self._mean("encode_s", None)

    @property
    def decode_s(self) -> float | None:
        """Mean seconds to decode an image."""
        return self._mean("decode_s", None)

    def _mean(self, name: str, quoted: float | None) -> float | None:
        if not self.images:
            return quoted
        values = [v for image in self.images if (v := getattr(image, name)) is not None]
        return statistics.fmean(values) if values else None


@dataclass(frozen=True)
class Curve:
    """A codec's points, by rising rate."""

    key: str  # short, unique in a comparison, fit for a file name or HTML id: "gmm-msssim", "jpeg"
    label: str  # for people: "gmm, MS-SSIM", "BPG (x265 stand-in)"
    kind: Literal["codec", "anchor", "published"]
    points: tuple[RDPoint, ...]
    source: str  # how the figures came about: command or citation, version, date
    details: Mapping[str, Any] = field(default_factory=dict)  # e.g. parameters, kmac_per_pixel

    @staticmethod
    def sorted(points: Sequence[RDPoint]) -> tuple[RDPoint, ...]:
        """Points by rising mean rate, the order :class:`Curve` wants."""
        return tuple(sorted(points, key=lambda point: point.bpp))
