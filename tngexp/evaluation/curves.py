"""Records to rate-distortion curves."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping
from typing import Any

from tngexp.metrics.curves import Curve, ImagePoint, RDPoint

__all__ = ["curve_key", "to_curves"]


def to_curves(
    records: Iterable[Mapping[str, Any]], details: Mapping[str, Mapping[str, Any]] | None = None
) -> list[Curve]:
    """One curve for each ``codec`` label in ``records``, in the order of their first record.

    Args:
        records: of codecs or anchors, of one data set.
        details: complexity of some of the trained codecs, by label.
    """
    grouped: dict[tuple[Any, str], dict[tuple[Any, ...], list[Mapping[str, Any]]]] = {}
    for record in records:
        # The fingerprint of a trained codec has only four bytes.
        setting = (
            *(record.get(name) for name in ("model", "weights_sha256", "config_sha256")),
            record["quality"],
        )
        grouped.setdefault((record["kind"], record["codec"]), {}).setdefault(setting, []).append(
            record
        )
    curves: list[Curve] = []
    for (kind, label), settings in grouped.items():
        first = next(iter(settings.values()))[0]
        taken = {curve.key for curve in curves}
        curves.append(
            Curve(
                key=_unique(curve_key(label), taken),
                label=label,
                kind=kind,
                points=Curve.sorted(
                    [
                        RDPoint(rows[0]["setting"], tuple(_image(row) for row in rows))
                        for rows in settings.values()
                    ]
                ),
                source=_source(first),
                details=(details or {}).get(label, {}) if kind == "codec" else {},
            )
        )
    return curves


def curve_key(label: str) -> str:
    """``label`` as a file name and HTML id."""
    return re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-") or "curve"


def _unique(key: str, taken: set[str]) -> str:
    candidates = itertools.chain([key], (f"{key}-{number}" for number in itertools.count(2)))
    return next(candidate for candidate in candidates if candidate not in taken)


def _image(record: Mapping[str, Any]) -> ImagePoint:
    return ImagePoint(
        image=record["image"],
        width=record["width"],
        height=record["height"],
        bytes=record["bytes"],
        bpp=record["bpp"],
        psnr_db=record["psnr_db"],
        ms_ssim=record["ms_ssim"],
        encode_s=record["encode_s"],
        decode_s=record["decode_s"],
        metrics={k: v for k, v in record["metrics"].items() if v is not None},
    )


def _source(record: Mapping[str, Any]) -> str:
    """Where the figures are from, for people."""
    versions = ", ".join(f"{k} {v}" for k, v in (record.get("versions") or {}).items() if v)
    date = str(record.get("date") or "")[:10]
    if record["kind"] == "anchor":
        version = (record.get("versions") or {}).get("codec", "")
        return "; ".join(part for part in (record.get("how", ""), version, date) if part)
    weights = (record.get("weights_sha256") or "")[:12]
    parts = (
        f"{record.get('checkpoint', '')}",
        f"weights {weights}" if weights else "",
        versions,
        f"{record.get('device')}, {record.get('threads')} threads",
        date,
    )
    return "; ".join(part for part in parts if part)
