"""Scores with their intervals."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tngexp.common.atomic import replacing
from tngexp.common.terminal import shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes

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
        scores: label, score in ln of odds, and the ends of its interval; None where refused, or
            for an end without bound. The reference has a score and no interval.
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
            _draw_refused(axes, row, low, high)
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
    names = [shown(name) for name, *_ in scores]
    axes.set_yticks(
        range(len(names)),
        [n if len(n) <= _LONGEST_NAME else f"{n[: _LONGEST_NAME - 1]}…" for n in names],
        parse_math=False,  # a $ in a name is no formula
    )
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


def _draw_refused(axes: Axes, row: int, low: float | None, high: float | None) -> None:
    """No score: an arrow from the only bound, or words."""
    bound = high if low is None else low
    if bound is None:
        place: dict[str, Any] = {"xy": (0.02, row), "xycoords": ("axes fraction", "data")}
        axes.annotate("n/a", **place, va="center", color=_SOFT, fontsize=8)
        return
    axes.plot(bound, row, marker="|", color=_SOFT, markersize=9)
    axes.annotate(
        "",
        (bound + (-0.7 if low is None else 0.7), row),
        (bound, row),
        arrowprops={"arrowstyle": "->", "color": _SOFT, "linewidth": 1.4},
    )
    axes.update_datalim([(bound + (-0.8 if low is None else 0.8), row)])
    axes.autoscale_view()
