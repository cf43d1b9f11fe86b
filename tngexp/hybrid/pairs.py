"""Training pairs: a crop, and what is left of it after a codec at a random setting."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from tngexp.anchors import Anchor, AnchorError, anchor
from tngexp.common.atomic import replacing
from tngexp.hybrid.model import condition_of
from tngexp.hybrid.origin import Origin, read_origin
from tngexp.hybrid.scaling import enlarged, smaller
from tngexp.types import ConfigError

__all__ = ["Pair", "PairMaker", "coded", "setting_at"]

SLOW = frozenset({"avif", "bpg", "hevc"})
"""Codecs that take longer to code a crop than a network takes to learn from it."""

POOL = 8192
"""Samples after which the crops of slow codecs repeat."""

_PIPED = frozenset({"bpg", "hevc"})  # decoded by a program of its own, which takes long to start

_UNKNOWN = 0.1  # share of pairs whose origin the network is not told
_CACHE_VERSION = b"1"


class Pair(NamedTuple):
    """One sample, or a batch of them with an axis in front."""

    original: Tensor  # (3, H, W), uint8
    decoded: Tensor  # (3, H, W), uint8, enlarged where it was coded smaller
    condition: Tensor  # (FEATURES,)
    bpp: Tensor  # (), of the file


class Coded(NamedTuple):
    """A picture as a codec leaves it."""

    decoded: NDArray[np.uint8]  # (H, W, 3)
    origin: Origin
    nbytes: int


class PairMaker:
    """Makes a :class:`Pair` of a crop and its number; everything random follows from the number.

    A slow codec sees the crops, settings and factors of ``pool`` numbers over and over. Its files
    are kept on disk under a hash of what they depend on: they are coded once, whatever the number
    of steps, and not again by a further run with another network or loss. Can be pickled.

    Args:
        base: names of codecs, each as often as the others.
        factors: by how much crops are made smaller, each as often as the others.
        seed: non-negative.
        cache: a folder for files of slow codecs; None to keep none, and repeat none.
        pool: numbers after which slow codecs begin again.

    Raises:
        ConfigError: when a codec is missing on this machine.
    """

    def __init__(
        self,
        base: Sequence[str],
        factors: Sequence[float] = (1.0,),
        seed: int = 0,
        cache: Path | None = None,
        pool: int = POOL,
    ) -> None:
        self.codecs = [anchor(name) for name in base]
        for codec in self.codecs:
            if line := codec.missing():
                raise ConfigError(f"base={codec.name}: {line}")
        self.versions = {c.name: f"{c.how}\n{c.version()}" for c in self.codecs}
        self.factors = tuple(factors)
        self.seed = seed
        self.cache = cache
        self.pool = pool

    def crop_number(self, number: int) -> int:
        """The number of the crop that sample ``number`` is made of."""
        codec, _ = self._drawn(number)
        return number % self.pool if self._repeats(codec) else number

    def __call__(self, crop: Tensor, number: int) -> Pair:
        """A pair of a crop (3, H, W) uint8.

        Raises:
            AnchorError: when the codec fails.
        """
        codec, told = self._drawn(number)
        rng = np.random.default_rng([self.seed, self.crop_number(number), 3])
        factor = self.factors[int(rng.integers(len(self.factors)))]
        setting = setting_at(codec, float(rng.random()))
        rgb = crop.permute(1, 2, 0).numpy()
        made = coded(codec, rgb, setting, factor, self.cache, self.versions[codec.name])
        return Pair(
            crop,
            torch.from_numpy(made.decoded.copy()).permute(2, 0, 1).contiguous(),
            condition_of(made.origin if told else None, factor),
            torch.tensor(8.0 * made.nbytes / (rgb.shape[0] * rgb.shape[1])),
        )

    def _drawn(self, number: int) -> tuple[Anchor, bool]:
        """The codec of a sample, and whether the network is told of it."""
        # The trailing 2 and 3 keep these streams apart from that of the crops.
        rng = np.random.default_rng([self.seed, number, 2])
        codec = self.codecs[int(rng.integers(len(self.codecs)))]
        return codec, float(rng.random()) >= _UNKNOWN

    def _repeats(self, codec: Anchor) -> bool:
        return self.cache is not None and codec.name in SLOW


def coded(
    codec: Anchor,
    rgb: NDArray[np.uint8],
    setting: float,
    factor: float = 1.0,
    cache: Path | None = None,
    version: str = "",
) -> Coded:
    """A picture (H, W, 3) made smaller, coded, decoded and enlarged again.

    Args:
        codec: of ``BASES``.
        rgb: the original.
        setting: of the codec.
        factor: by how much it is made smaller, per axis.
        cache: where files of slow codecs are kept.
        version: of the codec, part of the key there.

    Raises:
        AnchorError: when the codec fails.
    """
    small = np.ascontiguousarray(smaller(rgb, factor))
    if cache is None or codec.name not in SLOW:
        data = codec.encode(small, setting)
        decoded = codec.decode(data)
    else:
        data, decoded = _cached(codec, small, setting, cache, version)
    return Coded(enlarged(decoded, *rgb.shape[:2]), read_origin(data), len(data))


def _cached(
    codec: Anchor, rgb: NDArray[np.uint8], setting: float, cache: Path, version: str
) -> tuple[bytes, NDArray[np.uint8]]:
    """The file of a picture and what it decodes to."""
    what = f"{rgb.shape} {codec.name} {setting:g} {version}".encode()
    digest = hashlib.sha256(_CACHE_VERSION + what + rgb.tobytes()).hexdigest()
    path = cache / codec.name / digest[:2] / f"{digest}{codec.extension}"
    pixels = path.with_suffix(".png")
    # Whatever was damaged, by a full disk perhaps, is made anew.
    with contextlib.suppress(OSError, SyntaxError, ValueError, AnchorError):
        data = path.read_bytes()
        if codec.name not in _PIPED:
            return data, codec.decode(data)
        with Image.open(pixels) as image:
            return data, np.array(image)
    data = codec.encode(rgb, setting)
    decoded = codec.decode(data)
    path.parent.mkdir(parents=True, exist_ok=True)
    if codec.name in _PIPED:
        with replacing(pixels) as temporary:
            Image.fromarray(decoded).save(temporary, "PNG", compress_level=1)
    with replacing(path) as temporary:
        temporary.write_bytes(data)
    return data, decoded


def setting_at(codec: Anchor, place: float) -> float:
    """The setting at ``place`` in 0 … 1 of a codec's range, by rising rate.

    Even steps are even steps of log rate: the settings of its curve are spaced so. The range
    reaches beyond the last of them, half-way to the finest there is, since photos that people
    have lie there.
    """
    settings = codec.settings
    finest = max(codec.parameter.lowest, codec.parameter.highest, key=lambda s: _rank(settings, s))
    known = [*settings, (settings[-1] + finest) / 2]
    at = place * (len(known) - 1)
    low = min(int(at), len(known) - 2)
    value = known[low] + (at - low) * (known[low + 1] - known[low])
    return float(round(value)) if codec.parameter.whole else value


def _rank(settings: Sequence[float], setting: float) -> float:
    return setting if settings[-1] > settings[0] else -setting
