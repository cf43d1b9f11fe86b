"""Scores with their intervals."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tngexp.common.atomic import replacing
from tngexp.common.terminal import shown

__all__ = ["save_scores"]

_INK, _SOFT, _BLUE = "#1a1a1a", "#6b6b6b", "#0072b2"
_LONGEST_NAME = 40  # characters


def save_scores(
    scores: Sequence[tuple[str, float | None, float | None, float | None]],
    path: Path,
    title: str,
    reference: str,
) -> None:
    """Draw a row for each codec: its score and the interval, or that there is none.

    Args:
        scores: label, score in ln of odds, and the ends of its interval; None where refused. The
            reference has a score and no interval.
        path: a PNG; replaced whole.
        title: above the axes.
        reference: label of the codec at 0.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 1.5 + 0.36 * len(scores)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.axvline(0, color="#c9c9c9", linewidth=1, zorder=1)
    for row, (_, score, low, high) in enumerate(scores):
        if score is None:
            axes.annotate(
                "n/a",
                (0.02, row),
                xycoords=("axes fraction", "data"),
                va="center",
                color=_SOFT,
                fontsize=8,
            )
            continue
        if low is not None and high is not None:
            axes.plot([low, high], [row, row], color=_BLUE, linewidth=2, solid_capstyle="butt")
        full = low is not None
        axes.plot(
            score,
            row,
            "o",
            color=_BLUE,
            markersize=6,
            markerfacecolor=_BLUE if full else "white",
            zorder=3,
        )
    axes.set_yticks(range(len(scores)), [""] * len(scores))
    for label, (name, *_) in zip(axes.get_yticklabels(), scores, strict=True):
        label.set_parse_math(False)  # a $ in a name is no formula
        text = shown(name)
        label.set_text(text if len(text) <= _LONGEST_NAME else f"{text[: _LONGEST_NAME - 1]}…")
    axes.set_yticks(range(len(scores)), [label.get_text() for label in axes.get_yticklabels()])
    axes.set_ylim(len(scores) - 0.4, -0.6)
    heading = axes.set_title(title, loc="left", fontsize=9, color=_INK)
    heading.set_parse_math(False)
    where = axes.set_xlabel(f"ln of the odds against {shown(reference)}, 95 % interval", fontsize=9)
    where.set_parse_math(False)
    axes.grid(axis="x", color="#e6e6e6", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150, metadata={"Software": None})
