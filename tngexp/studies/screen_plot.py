"""RD loss against steps, with confidence bands."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tngexp.common.atomic import replacing
from tngexp.studies.screen_analysis import Curves, band

__all__ = ["save_plot"]

# Okabe & Ito 2008: told apart with any colour vision; the base is black.
_COLOURS = ("#000000", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f")
_DASHES = ("-", "--", ":", "-.")  # for those beyond the colours
_LINE = 95  # characters of the title and of a name that fit into the figure's width


def save_plot(curves: Mapping[str, Curves], path: Path, title: str, confidence: float) -> None:
    """Draw the mean loss of each variant over its runs, and the mean's confidence band.

    Args:
        curves: variant → losses of its runs; the base first.
        path: a PNG; replaced whole.
        title: above the axes.
        confidence: of the bands.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogFormatter

    names = {variant: _wrapped(variant) for variant in curves}
    rows = sum(name.count("\n") + 1 for name in names.values())
    figure = Figure(figsize=(7, 4.2 + 0.17 * rows), layout="constrained")
    axes = figure.subplots()
    for number, (variant, (steps, losses)) in enumerate(curves.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        dashes = _DASHES[number // len(_COLOURS) % len(_DASHES)]
        points = [band(column, confidence) for column in zip(*losses.values(), strict=True)]
        means = [mean for mean, _ in points]
        axes.plot(
            steps, means, dashes, color=colour, label=names[variant], marker="o", markersize=3
        )
        if len(losses) > 1:
            low = [mean - (half or 0.0) for mean, half in points]
            high = [mean + (half or 0.0) for mean, half in points]
            axes.fill_between(steps, low, high, color=colour, alpha=0.15, linewidth=0)
    axes.set_yscale("log")
    for part in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
        part(LogFormatter(labelOnlyBase=False, minor_thresholds=(1, 0.5)))
    axes.set_xlabel("optimizer steps")
    axes.set_ylabel("validation loss, R + λD (log scale)")
    axes.set_title(_wrapped(title), loc="left", fontsize=9)
    axes.grid(color="#e4e4e4", linewidth=0.6, which="both")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower left", frameon=False, fontsize=8)
    FigureCanvasAgg(figure)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150, metadata={"Software": None})


def _wrapped(text: str) -> str:
    """Lines that fit, broken after a ``+`` or a space where there is one, and no formulas."""
    pieces = text.replace("$", r"\$").replace("+", "+\0").replace(" ", " \0").split("\0")
    lines = [""]
    for piece in pieces:
        if lines[-1] and len(lines[-1]) + len(piece) > _LINE:
            lines.append("")
        lines[-1] += piece
    return "\n".join(lines)
