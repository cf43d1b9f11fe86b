"""How figures of a comparison are written, and which metrics it is made in."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from tngexp.metrics.curves import Curve
from tngexp.report.table import Cell

__all__ = [
    "METRICS",
    "Metric",
    "label_cell",
    "mean_sd",
    "not_applicable",
    "number",
    "quality_name",
    "range_cell",
    "refused",
    "signed",
    "yardsticks",
]


class Metric(NamedTuple):
    """A quality that curves are compared in."""

    attribute: str  # of RDPoint and ImagePoint, in dB
    key: str  # for table keys
    name: str  # for people
    targets: tuple[float, ...]  # qualities to read rates at, as people name them


METRICS = (
    Metric("psnr_db", "psnr", "PSNR", (28.0, 30.0, 32.0, 34.0)),
    Metric("ms_ssim_db", "ms-ssim", "MS-SSIM", (0.92, 0.94, 0.96, 0.98)),
)

_JPEG = r"(quoted-)?jpe?g(?!-?(2000|xl|ls))"  # not its namesakes
_BPG = r"(quoted-)?bpg"


def yardsticks(curves: Sequence[Curve], reference: Curve | None) -> list[Curve]:
    """Curves that others' bits are expressed in: the reference, BPG and JPEG where there are any.

    Measured ones come before quoted ones.
    """
    real = sorted((c for c in curves if c.kind != "codec"), key=lambda c: c.kind == "published")
    found = [next((c for c in real if re.match(p, c.key)), None) for p in (_BPG, _JPEG)]
    unique = {c.key: c for c in (reference, *found) if c is not None}
    return list(unique.values())


def label_cell(curve: Curve) -> Cell:
    """The name of a curve."""
    return Cell(curve.label, curve.label)


def quality_name(metric: Metric, target: float) -> str:
    """A target as people name it: "30 dB", "0.96"."""
    return f"{target:g} dB" if metric.key == "psnr" else f"{target:g}"


def number(value: float | None, digits: int, note: str = "", missing: str = "") -> Cell:
    """A figure; n/a where there is none, which ``missing`` explains."""
    return refused(missing or note) if value is None else Cell(f"{value:.{digits}f}", value, note)


def signed(value: float | None, note: str = "") -> Cell:
    """A difference in %, with its sign."""
    if value is None:
        return refused(note)
    text = f"{value:+.1f}".replace("-", "−")
    return Cell("0.0" if text in ("+0.0", "−0.0") else text, value, note)


def mean_sd(mean: float | None, sd: float | None, digits: int, note: str = "") -> Cell:
    """Mean ± standard deviation; without the latter where it is None."""
    if mean is None:
        return refused(note)
    spread = "" if sd is None else f" ± {sd:.{digits}f}"
    return Cell(f"{mean:.{digits}f}{spread}".replace("-", "−"), mean, note)


def range_cell(low: float, high: float, digits: int) -> Cell:
    """From–to; sorts by where it starts."""
    return Cell(f"{low:.{digits}f}–{high:.{digits}f}", low)


def refused(note: str) -> Cell:
    """A figure that cannot be given, and why."""
    return Cell("n/a", None, note)


def not_applicable() -> Cell:
    """A figure that nobody asked for or that is not known."""
    return Cell("–")
