"""How curves look, the same in figures for papers and in the report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tngexp.metrics.curves import Curve

__all__ = ["LineStyle", "curve_label", "line_styles"]


@dataclass(frozen=True)
class LineStyle:
    """Colours for light and for dark paper, dashes, marker and width of one curve."""

    light: str
    dark: str
    marker: str  # "circle", "square", "diamond", "up", "down", "hexagon", "x" or "plus"
    dashes: tuple[float, ...]  # on and off in points; empty for a solid line
    width: float  # points


# Okabe & Ito 2008: told apart with any colour vision. Yellows and pinks are darkened to keep a
# contrast of 3:1 on white; the colours for dark paper are lighter ones of the same hues.
_CODECS: tuple[tuple[str, str], ...] = (
    ("#0072b2", "#58aeea"),
    ("#d55e00", "#ff9a52"),
    ("#009e73", "#3fd0a4"),
    ("#b2558e", "#eaa3cf"),
    ("#b07d00", "#f3c04b"),
    ("#3a9bd6", "#a3dcff"),
)
# Greys with a tint: anchors are the background that codecs stand out from.
_OTHERS: tuple[tuple[str, str], ...] = (
    ("#4a5563", "#aeb9c7"),
    ("#8a6742", "#cfb08a"),
    ("#6f6290", "#b7abd6"),
    ("#4f7f7c", "#90c2be"),
    ("#9a5b66", "#d9a3ad"),
    ("#6f7440", "#bcc183"),
    ("#7d7d7d", "#c9c9c9"),
    ("#262626", "#ececec"),
)
_CODEC_MARKERS: tuple[str, ...] = ("circle", "square", "diamond", "up", "hexagon")
_OTHER_MARKERS: tuple[str, ...] = ("x", "plus", "down", "square", "up", "diamond", "circle")
_ANCHOR_DASHES: tuple[tuple[float, ...], ...] = (
    (6.0, 2.5),
    (9.0, 2.5),
    (6.0, 2.0, 1.5, 2.0),
    (3.5, 2.0),
)
_QUOTED_DASHES: tuple[float, ...] = (1.2, 2.4)


def line_styles(curves: Sequence[Curve]) -> list[LineStyle]:
    """Trained codecs solid and colourful, real codecs dashed and muted, quoted curves dotted."""
    styles = []
    seen: Counter[str] = Counter()
    for curve in curves:
        group = "codec" if curve.kind == "codec" else "other"
        number = seen[group]
        seen[group] += 1
        if group == "codec":
            colours, markers, width = _CODECS, _CODEC_MARKERS, 2.0
            dashes: tuple[float, ...] = ()
        else:
            quoted = curve.kind == "published"
            colours, markers, width = _OTHERS, _OTHER_MARKERS, 1.1 if quoted else 1.4
            dashes = _QUOTED_DASHES if quoted else _ANCHOR_DASHES[number % len(_ANCHOR_DASHES)]
        # Colours and markers have counts without a common factor: they repeat together late.
        light, dark = colours[number % len(colours)]
        styles.append(LineStyle(light, dark, markers[number % len(markers)], dashes, width))
    return styles


def curve_label(curve: Curve) -> str:
    """The label; says of a quoted curve that it is one."""
    if curve.kind == "published" and "quoted" not in curve.label:
        return f"{curve.label} (quoted)"
    return curve.label
