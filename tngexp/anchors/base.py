"""What a conventional codec looks like to the rest: pixels → the bytes of a file → pixels."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tngexp.types import ConfigError, TngexpError

__all__ = ["Anchor", "AnchorError", "Pixels", "QualityParameter"]

Pixels = NDArray[np.uint8]  # (H, W, 3), RGB


class AnchorError(TngexpError):
    """A codec that is missing or failed; the message names it and says how to get it, or why."""


@dataclass(frozen=True)
class QualityParameter:
    """The one setting that trades rate for quality."""

    name: str  # for people: "quality", "QP"
    lowest: float
    highest: float
    settings: tuple[float, ...]  # by default, by rising rate
    whole: bool = True  # whether only whole numbers will do

    def check(self, setting: float, codec: str) -> None:
        """Raises ConfigError for a setting that ``codec`` does not take."""
        number = isinstance(setting, int | float) and not isinstance(setting, bool)
        in_range = number and self.lowest <= setting <= self.highest  # NaN is in no range
        if not in_range or (self.whole and setting != int(setting)):
            kind = "a whole number" if self.whole else "a number"
            raise ConfigError(
                f"{codec}: {self.name} must be {kind} in {self.lowest:g} … {self.highest:g}, "
                f"not {setting!r}"
            )


class Anchor(ABC):
    """A codec to compare with. Anchors can be pickled and hold no state.

    ``how`` and :meth:`version` together determine what a codec does: whoever keeps results uses
    both as part of the key. Codecs keep to one thread or two, so that many can run side by side.
    """

    name: str  # short and unique: "jpeg"
    label: str  # for people: "JPEG 4:2:0"
    extension: str  # of its files: ".jpg"
    parameter: QualityParameter

    @property
    def settings(self) -> tuple[float, ...]:
        """Settings that make a curve of about 0.05 to 1.5 bpp on photos, by rising rate."""
        return self.parameter.settings

    def describe(self, setting: float) -> str:
        """A setting for people: "quality 30"."""
        return f"{self.parameter.name} {setting:g}"

    @property
    @abstractmethod
    def how(self) -> str:
        """Program and options, so that a figure says where it came from; Q is the setting."""

    @abstractmethod
    def missing(self) -> str | None:
        """None if the codec can run, else one line that says how to get it."""

    @abstractmethod
    def version(self) -> str:
        """Exact versions of the libraries and programs that code.

        Raises:
            AnchorError: when the codec is missing.
        """

    def encode(self, rgb: Pixels, setting: float) -> bytes:
        """The file of an image (H, W, 3) of at least one pixel; every byte in it counts.

        Raises:
            ConfigError: for a setting that the codec does not take.
            AnchorError: when the codec is missing or fails.
        """
        self.parameter.check(setting, self.name)
        if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3 or not rgb.size:
            raise TypeError(f"expected uint8 pixels (H, W, 3), not {rgb.dtype} {rgb.shape}")
        return self._encode(np.ascontiguousarray(rgb), setting)

    @abstractmethod
    def decode(self, data: bytes) -> Pixels:
        """The pixels of a file that :meth:`encode` wrote; its bytes alone determine them.

        Raises:
            AnchorError: when the codec is missing or cannot read the file.
        """

    @abstractmethod
    def _encode(self, rgb: Pixels, setting: float) -> bytes:
        """:meth:`encode` of contiguous, checked arguments."""
