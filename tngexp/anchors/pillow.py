"""Codecs that come with Pillow, and JPEG XL through a plugin for it."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np
import PIL
from PIL import Image, features

from tngexp.anchors.base import Anchor, AnchorError, Pixels, QualityParameter

__all__ = ["PillowAnchor", "avif", "jpeg", "jpeg444", "jpeg2000", "jxl", "webp"]

_JXL = "pillow-jxl-plugin"


@final
@dataclass(frozen=True)
class PillowAnchor(Anchor):
    """``Image.save`` with fixed options and one that the setting goes to."""

    name: str
    label: str
    extension: str
    parameter: QualityParameter
    format: str  # Pillow's name of the format
    feature: str  # Pillow's name of the library that codes
    options: Mapping[str, Any] = field(default_factory=dict)
    threads: Mapping[str, int] = field(default_factory=dict)  # options that do not change the file

    @property
    def how(self) -> str:
        return f"Pillow, format={self.format}, " + ", ".join(
            f"{name}={value}" for name, value in {**self._setting("Q"), **self.options}.items()
        )

    def missing(self) -> str | None:
        if self.format == "JXL":
            found = importlib.util.find_spec("pillow_jxl") is not None
            return None if found else f"{self.label} is missing: pip install {_JXL}"
        if features.check(self.feature):
            return None
        return f"{self.label} is missing in this Pillow: pip install --upgrade pillow"

    def version(self) -> str:
        self._require()
        return f"Pillow {PIL.__version__}, {self._library()}"

    def decode(self, data: bytes) -> Pixels:
        self._require()
        with self._explained("decode"), Image.open(io.BytesIO(data), formats=[self.format]) as file:
            return np.array(file.convert("RGB"))

    def _encode(self, rgb: Pixels, setting: float) -> bytes:
        self._require()
        options = {**self._setting(setting), **self.options, **self.threads}
        file = io.BytesIO()
        with self._explained("encode"):
            Image.fromarray(rgb).save(file, format=self.format, **options)
        return file.getvalue()

    def _setting(self, setting: Any) -> dict[str, Any]:
        """The option of ``Image.save`` that trades rate for quality."""
        if self.format == "JPEG2000":
            return {"quality_layers": [setting]}
        return {"quality": setting if setting == "Q" else int(setting)}

    def _library(self) -> str:
        if self.format == "JXL":
            return f"{_JXL} {importlib.metadata.version(_JXL)}"
        version = features.version(self.feature)
        if self.format == "JPEG":
            turbo = features.version_feature("libjpeg_turbo")
            return f"libjpeg-turbo {turbo}" if turbo else f"libjpeg {version}"
        if self.format == "AVIF":
            from PIL import _avif  # absent where Pillow was built without it

            return f"libavif {version} ({_avif.codec_versions()})"
        return f"{({'jpg_2000': 'OpenJPEG', 'webp': 'libwebp'})[self.feature]} {version}"

    def _require(self) -> None:
        if line := self.missing():
            raise AnchorError(line)
        if self.format == "JXL":
            # Importing registers the format.
            plugin: Any = importlib.import_module("pillow_jxl.JpegXLImagePlugin")
            plugin.DECODE_THREADS = 0

    @contextmanager
    def _explained(self, task: str) -> Iterator[None]:
        """Turns what Pillow and its plugins throw into one message."""
        try:
            yield
        except (MemoryError, AnchorError):
            raise
        except Exception as error:  # OSError, SyntaxError, ValueError, RuntimeError …
            raise AnchorError(f"{self.label} cannot {task} this image: {error}") from error


def jpeg() -> PillowAnchor:
    """JPEG as it is found everywhere, with the smallest Huffman tables."""
    return _jpeg("jpeg", "4:2:0", (2, 5, 8, 12, 18, 25, 35, 50, 65, 80))


def jpeg444() -> PillowAnchor:
    """JPEG that keeps the resolution of chroma."""
    return _jpeg("jpeg444", "4:4:4", (2, 5, 8, 12, 18, 25, 35, 50, 65, 75))


def _jpeg(name: str, subsampling: str, settings: tuple[float, ...]) -> PillowAnchor:
    return PillowAnchor(
        name,
        f"JPEG {subsampling}",
        ".jpg",
        # Pillow replaces 0 by its default; above 95 files grow without getting better.
        QualityParameter("quality", 1, 95, settings),
        "JPEG",
        "jpg",
        {"subsampling": subsampling, "optimize": True},
    )


def jpeg2000() -> PillowAnchor:
    """JPEG 2000, one layer with the 9/7 wavelet. Its setting is a factor of compression."""
    settings = (480, 320, 200, 140, 100, 70, 48, 34, 24, 16)
    return PillowAnchor(
        "jpeg2000",
        "JPEG 2000",
        ".jp2",
        QualityParameter("rate 1 :", 1, 10_000, settings, whole=False),
        "JPEG2000",
        "jpg_2000",
        {"quality_mode": "rates", "irreversible": True, "mct": 1},
    )


def webp() -> PillowAnchor:
    """Lossy WebP at its slowest."""
    settings = (0, 2, 5, 10, 20, 30, 45, 60, 75, 85)
    parameter = QualityParameter("quality", 0, 100, settings)
    return PillowAnchor("webp", "WebP", ".webp", parameter, "WEBP", "webp", {"method": 6})


def avif() -> PillowAnchor:
    """AVIF, coded by libaom with its default tuning."""
    return PillowAnchor(
        "avif",
        "AVIF 4:4:4",
        ".avif",
        QualityParameter("quality", 0, 100, (2, 5, 12, 20, 28, 36, 45, 55, 65, 75)),
        "AVIF",
        "avif",
        # libaom codes alike on 2, 3, … threads, slightly differently on one.
        {"subsampling": "4:4:4", "codec": "aom", "speed": 4, "max_threads": 2},
    )


def jxl() -> PillowAnchor:
    """JPEG XL (VarDCT) at the encoder's default effort."""
    return PillowAnchor(
        "jxl",
        "JPEG XL",
        ".jxl",
        QualityParameter(
            "quality", 0, 99, (2, 5, 12, 20, 30, 40, 50, 60, 70, 80)
        ),  # 100 means lossless
        "JXL",
        "jxl",
        {"effort": 7},
        threads={"num_threads": 0},
    )
