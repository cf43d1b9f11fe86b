"""A conventional codec with a network behind it, as one more anchor.

``jpeg+restore.ckpt`` is JPEG restored by that checkpoint, ``jpeg@2+restore.ckpt`` the same on
pictures of half the size, ``jpeg@1.5`` JPEG alone on smaller pictures, which are enlarged again,
``jpeg@any`` JPEG on pictures of each size.
The bytes are those of a standard file; what was done to the picture stands in a field that its
format has room for (:mod:`tngexp.hybrid.note`).
"""

from __future__ import annotations

import functools
import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self, final

import numpy as np
import torch

from tngexp.anchors import Anchor, AnchorError, anchor
from tngexp.anchors.base import Pixels, QualityParameter
from tngexp.hybrid.model import Hybrid, condition_of, load_hybrid
from tngexp.hybrid.note import Note, add_note, read_note
from tngexp.hybrid.origin import UnknownOriginError, read_origin
from tngexp.hybrid.scaling import FACTORS, enlarged, factor_between, smaller
from tngexp.metrics import ms_ssim, psnr
from tngexp.model.files import locate
from tngexp.types import ConfigError, TngexpError

__all__ = ["HybridCodec", "base_name", "codec_of", "codecs_by_name", "codecs_of", "digest_of"]

_ANY = "@any"
_SIMILAR = ("msssim", "mixed")  # objectives by which MS-SSIM decides what is worse


@final
@dataclass(frozen=True)
class HybridCodec(Anchor):
    """See the module; made by :func:`codec_of` or :meth:`made`.

    A restored picture that is worse than the decoded one is not shown: the encoder, which has the
    original, decodes and restores its own file and leaves a mark in it. What is worse the network's
    own objective says, PSNR or MS-SSIM. Nor is one of which the file does not tell how coarsely it
    was quantized, as a lossless one, which the finest setting of AVIF makes.
    """

    base: Anchor
    factor: float
    model: str | None  # name or file of the network
    name: str
    label: str
    extension: str
    parameter: QualityParameter
    network: Hybrid | None = field(default=None, compare=False, repr=False)  # in memory

    @classmethod
    def made(
        cls, base: Anchor, factor: float, network: Hybrid | None = None, model: str | None = None
    ) -> Self:
        """``base`` on smaller pictures, with a network.

        Args:
            base: writes and reads the files.
            factor: by how much pictures are made smaller.
            network: in memory, in evaluation mode; or
            model: the name of its file, by which the codec can go to other processes.
        """
        scale = "" if factor == 1 else f"@{factor:g}"
        restored = "" if model is None else f"+{model}"
        size = "" if factor == 1 else f", 1/{factor:g} of the size"
        shown = "" if model is None else f" + {_short(model)}"
        return cls(
            base,
            factor,
            model,
            f"{base.name}{scale}{restored}",
            f"{base.label}{size}{shown}",
            base.extension,
            base.parameter,
            network,
        )

    @property
    def how(self) -> str:
        parts = [self.base.how]
        if self.factor != 1:
            parts.append(f"of the picture made {self.factor:g} times smaller (Lanczos)")
        if self.model is not None:
            parts.append(f"restored by {self.model}")
        return "; ".join(parts)

    def missing(self) -> str | None:
        return self.base.missing()

    def version(self) -> str:
        version = self.base.version()
        if self.model is not None:
            version += f", network {digest_of(locate(self.model))}"
        return version

    def decode(self, data: bytes) -> Pixels:
        try:
            note = read_note(data)
        except UnknownOriginError as error:
            raise AnchorError(f"{self.label} cannot decode this image: {error}") from error
        rgb = _opened(self.base.decode(data), note)
        if self._network() is None or (note is not None and note.plain):
            return rgb
        restored = self._restored(data, rgb)
        return rgb if restored is None else restored

    def _encode(self, rgb: Pixels, setting: float) -> bytes:
        data = self.base.encode(np.ascontiguousarray(smaller(rgb, self.factor)), setting)
        height, width = rgb.shape[:2]
        if self.factor != 1:
            data = add_note(data, Note(width, height))
        if self._network() is None:
            return data
        plain = _opened(self.base.decode(data), read_note(data))
        restored = self._restored(data, plain)
        if restored is None or self._better(rgb, plain, restored):
            return add_note(data, Note(width, height, plain=True))
        return data

    def _better(self, original: Pixels, plain: Pixels, restored: Pixels) -> bool:
        """Whether the decoded picture is better than the restored one."""
        x, a, b = (_tensor(pixels) for pixels in (original, plain, restored))
        network = self._network()
        aim = network.objective if network is not None else None
        if aim is not None and aim.distortion in _SIMILAR:
            left, right = float(ms_ssim(x, a)), float(ms_ssim(x, b))
            if left == left:  # the picture is large enough for it
                return left > right
        return float(psnr(x, a)) > float(psnr(x, b))

    def _restored(self, data: bytes, rgb: Pixels) -> Pixels | None:
        """None where nothing is known of the file."""
        network = self._network()
        assert network is not None
        try:
            condition = condition_of(read_origin(data), self.factor)
        except UnknownOriginError:
            return None
        return network.restore(rgb, condition)

    def _network(self) -> Hybrid | None:
        return load_hybrid(self.model) if self.model is not None else self.network


def codec_of(name: str) -> Anchor:
    """The codec of a name: an anchor's, with ``@FACTOR`` for a smaller picture, ``+NETWORK``.

    Raises:
        ConfigError: for an unknown codec, factor or network.
    """
    whole, plus, model = name.partition("+")
    base, at, factor = whole.partition("@")
    if not at and not plus:
        return anchor(name)
    codec = anchor(base)
    number = _factor(factor, name) if at else 1.0
    if plus:
        if not model:
            raise ConfigError(f"anchors: '{name}' names no network behind the +")
        try:
            network = load_hybrid(model)
        except TngexpError as error:
            raise ConfigError(f"anchors: {name}: {error}") from error
        if base not in network.base:
            raise ConfigError(
                f"anchors: {name}: the network was trained for {', '.join(network.base)}, not for "
                f"{base}"
            )
    return HybridCodec.made(codec, number, model=model if plus else None)


def codecs_of(name: str) -> list[Anchor]:
    """The codecs of a name: one, or with ``@any`` one for each factor, all points of one curve.

    Which size is best depends on the rate; the upper hull of such a curve (``hull=true``) is what
    an encoder that tries them all reaches.

    Raises:
        ConfigError: as :func:`codec_of`.
    """
    base, plus, model = name.partition("+")
    if not base.endswith(_ANY):
        return [codec_of(name)]
    base = base.removesuffix(_ANY)
    codec_of(f"{base}{plus}{model}")  # what is wrong with it is told in these words
    factors = load_hybrid(model).factors if model else FACTORS
    found = []
    for factor in factors:
        scaled = codec_of(f"{base}@{factor:g}{plus}{model}")
        assert isinstance(scaled, HybridCodec)
        shown = f" + {_short(model)}" if model else ""
        found.append(replace(scaled, label=f"{anchor(base).label}, any size{shown}"))
    return [*found]


def codecs_by_name(names: Iterable[str]) -> dict[str, list[Anchor]]:
    """:func:`codecs_of` each name; where two are of one label, their networks' files are told.

    Raises:
        ConfigError: as :func:`codec_of`.
    """
    made = {name: codecs_of(name) for name in dict.fromkeys(names)}
    codecs = {(found[0].name, found[0].label) for found in made.values()}
    labels = Counter(label for _, label in codecs)
    return {
        name: [
            replace(codec, label=f"{codec.label} ({codec.model})")
            if isinstance(codec, HybridCodec) and codec.model and labels[codec.label] > 1
            else codec
            for codec in found
        ]
        for name, found in made.items()
    }


def base_name(name: str) -> str:
    """The anchor's part of a name that :func:`codec_of` takes."""
    return name.partition("+")[0].partition("@")[0]


def _factor(text: str, name: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if value not in FACTORS:
        allowed = ", ".join(f"{f:g}" for f in FACTORS)
        raise ConfigError(f"anchors: {name}: a picture is made smaller by {allowed}, not '{text}'")
    return value


def _opened(rgb: Pixels, note: Note | None) -> Pixels:
    """A decoded picture in the size that it had before, if the note is one of this picture."""
    if note is None or factor_between(rgb.shape, note.height, note.width) is None:
        return rgb
    return np.array(enlarged(rgb, note.height, note.width))


def _short(model: str) -> str:
    """What a network is called in a table: its run, or its name."""
    path = Path(model)
    if path.parent.name == "checkpoints":
        return path.parent.parent.name
    return path.stem


def digest_of(path: Path) -> str:
    """Sixteen hexadecimal digits of a file's SHA-256."""
    return _digest_of(path, path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=16)
def _digest_of(path: Path, _: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def _tensor(rgb: Pixels) -> torch.Tensor:
    return torch.from_numpy(np.array(rgb)).permute(2, 0, 1)[None].float() / 255
