"""What was measured of one image at one quality by one codec, as it is kept in JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, NamedTuple

from tngexp.types import TngexpError

__all__ = ["RECORD_VERSION", "CodecKey", "ImageRecord", "Kind", "Measurement", "RecordKey"]

RECORD_VERSION = 4
Kind = Literal["codec", "anchor"]
# Fields that the records of one kind of codec have and those of the other do not.
_OF_ONE_KIND: dict[Kind, set[str]] = {
    "codec": {
        *("checkpoint", "weights_sha256", "config_sha256", "effort", "tune", "objective"),
        *("look", "look_sha256"),
        *("original", "measurement", "threads", "processor", "command"),
    },
    "anchor": {"how"},
}


@dataclass(frozen=True)
class Measurement:
    """Figures of one decoded file; ``bpp`` counts the whole file, header included."""

    width: int
    height: int
    bytes: int
    bpp: float
    estimated_bpp: float | None  # of ``Codec.forward``: the training objective's rate
    psnr_db: float | None  # None for a perfect reconstruction
    ms_ssim: float | None  # None where the image is too small to measure
    encode_s: float
    decode_s: float
    reconstruction_sha256: str  # of the decoded 8-bit RGB pixels, rows first
    metrics: Mapping[str, float | None] = field(default_factory=dict)  # further ones, by name
    peak_memory_mib: float | None = None  # while coding; None where unknown

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Measurement:
        """What ``asdict`` made; fields that came later may be missing, and others be there.

        Raises:
            TypeError: for a field that is missing.
        """
        return cls(**_known(cls, content))


class CodecKey(NamedTuple):
    """All of a trained codec that figures depend on."""

    model: str  # the fingerprint that its files carry
    weights_sha256: str | None
    config_sha256: str | None
    effort: int = 0  # of its encoder, 0 … 9
    tune: str | None = None  # what an effort above 0 searches for; None: the codec's own distortion
    objective: str | None = None  # what the codec was trained for, as JSON; None without a search
    look: float = 0.0  # of its decoder, 0 … 1
    look_sha256: str | None = None  # of the look's file; None for the codec's own picture


class RecordKey(NamedTuple):
    """All that figures depend on. Data set and image are names, which others may have, too."""

    codec: CodecKey
    original: str | None  # size and SHA-256 of the pixels, see tngexp.evaluation.photos.digest
    quality: float | None
    measurement: int | None  # tngexp.evaluation.measure.MEASUREMENT_VERSION


@dataclass(frozen=True, kw_only=True)
class ImageRecord:
    """One image at one quality by one codec: what it is called, and what was measured.

    Trained codecs and anchors have this one record. What only one kind has is None for the other,
    as is what records of earlier versions did not note: version 1 the weights, and up to version 2
    the pixels (``original``) and the file. Up to version 3 there were no looks.
    """

    kind: Kind
    codec: str  # label of the curve
    setting: str  # the point of the curve, for people: "q=0.5", "quality 30"
    dataset: str
    image: str
    checkpoint: str | None = None
    model: str  # fingerprint of a trained codec, name of an anchor
    weights_sha256: str | None = None
    config_sha256: str | None = None
    effort: int = 0
    tune: str | None = None
    objective: str | None = None
    look: float = 0.0
    look_sha256: str | None = None
    original: str | None = None
    quality: float | None  # 0 … 1; None at a fixed rate; of an anchor its setting
    measurement: int | None = None  # version of how it was measured
    measured: Measurement
    file: str | None = None  # path of the coded file in the folder of kept ones
    file_sha256: str | None = None
    device: str | None = None
    threads: int | None = None
    processor: str | None = None
    versions: Mapping[str, str | None] = field(default_factory=dict)  # of libraries, by name
    how: str | None = None  # an anchor's options
    command: str | None = None
    date: str | None = None  # ISO 8601, UTC

    @property
    def curve_kind(self) -> Kind:
        """The kind of its curve: a network behind an anchor makes a trained codec of it."""
        return "codec" if self.kind == "anchor" and "+" in self.model else self.kind

    @property
    def codec_key(self) -> CodecKey:
        """The codec by its content."""
        return CodecKey(
            *(self.model, self.weights_sha256, self.config_sha256),
            *(self.effort, self.tune, self.objective),
            *(self.look, self.look_sha256),
        )

    @property
    def key(self) -> RecordKey:
        """What the record is found by."""
        return RecordKey(self.codec_key, self.original, self.quality, self.measurement)

    def file_in(self, folder: Path) -> Path:
        """Where in the ``folder`` of kept files the coded one lies.

        Raises:
            TngexpError: for a record of an earlier version, which does not name its file.
        """
        if self.file is None:
            raise TngexpError(f"the record of {self.image} does not name its file; measure it anew")
        return folder / self.file

    def to_json(self) -> dict[str, Any]:
        """Plain data, the figures among the other fields, of :data:`RECORD_VERSION`."""
        foreign = _OF_ONE_KIND["anchor" if self.kind == "codec" else "codec"]
        content: dict[str, Any] = {"version": RECORD_VERSION}
        for name, value in asdict(self).items():
            if name == "measured":
                content |= value
            elif name not in foreign:
                content[name] = value
        return content

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> ImageRecord:
        """What :meth:`to_json` made, of this version or an earlier one.

        Raises:
            KeyError: for a field that is missing.
            TypeError: likewise, or for something else than an object.
            ValueError: for a version that is no number.
        """
        content = _upgraded(content, int(content["version"]))
        return cls(measured=Measurement.from_json(content), **_known(cls, content))


def _known(kind: type[Any], content: Mapping[str, Any]) -> dict[str, Any]:
    names = [f.name for f in fields(kind)]
    return {name: content[name] for name in names if name in content}


def _upgraded(content: Mapping[str, Any], version: int) -> Mapping[str, Any]:
    """``content`` with the fields that a record must have today; defaults stand for the others."""
    if version > 1:
        return content
    quality = content["quality"]  # 0.1: codecs only, versions at the top level
    return {
        **content,
        "kind": "codec",
        "codec": Path(content["checkpoint"]).stem,
        "setting": "" if quality is None else f"q={quality:g}",
        "versions": {name: content.get(name) for name in ("tngexp", "torch")},
    }
