"""Records to rate-distortion curves."""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from tngexp.metrics.curves import Curve, ImagePoint, RDPoint
from tngexp.metrics.records import CodecKey, ImageRecord, Kind

__all__ = ["curve_key", "to_curves"]


def to_curves(
    records: Iterable[ImageRecord], details: Mapping[str, Mapping[str, Any]] | None = None
) -> list[Curve]:
    """One curve for each ``codec`` label in ``records``, in the order of their first record.

    Args:
        records: of codecs or anchors, of one data set.
        details: complexity of some of the trained codecs, by label.
    """
    grouped: dict[tuple[Kind, str], dict[tuple[CodecKey, float | None], list[ImageRecord]]] = {}
    for record in records:
        settings = grouped.setdefault((record.curve_kind, record.codec), {})
        settings.setdefault((record.codec_key, record.quality), []).append(record)
    curves: list[Curve] = []
    for (kind, label), settings in grouped.items():
        first = next(iter(settings.values()))[0]
        taken = {curve.key for curve in curves}
        curves.append(
            Curve(
                key=curve_key(label, taken),
                label=label,
                kind=kind,
                points=Curve.sorted(
                    [
                        RDPoint(rows[0].setting, tuple(_image(row) for row in rows))
                        for rows in settings.values()
                    ]
                ),
                source=_source(first),
                details=(details or {}).get(label, {}) if kind == "codec" else {},
            )
        )
    return curves


def curve_key(label: str, taken: Collection[str] = ()) -> str:
    """``label`` as a file name and HTML id, which is none of those ``taken``."""
    key = re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-") or "curve"
    candidates = itertools.chain([key], (f"{key}-{number}" for number in itertools.count(2)))
    return next(candidate for candidate in candidates if candidate not in taken)


def _image(record: ImageRecord) -> ImagePoint:
    measured = record.measured
    return ImagePoint(
        image=record.image,
        width=measured.width,
        height=measured.height,
        bytes=measured.bytes,
        bpp=measured.bpp,
        psnr_db=measured.psnr_db,
        ms_ssim=measured.ms_ssim,
        encode_s=measured.encode_s,
        decode_s=measured.decode_s,
        metrics={k: v for k, v in measured.metrics.items() if v is not None},
    )


def _source(record: ImageRecord) -> str:
    """Where the figures are from, for people."""
    date = (record.date or "")[:10]
    parts: tuple[str | None, ...]
    if record.kind == "anchor":
        parts = (record.how, record.versions.get("codec"), date)
    else:
        weights = (record.weights_sha256 or "")[:12]
        parts = (
            record.checkpoint,
            f"weights {weights}" if weights else "",
            ", ".join(f"{name} {version}" for name, version in record.versions.items() if version),
            f"{record.device}, {record.threads} threads",
            date,
        )
    return "; ".join(part for part in parts if part)
