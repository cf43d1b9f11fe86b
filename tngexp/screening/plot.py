"""RD loss against steps, with confidence bands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tngexp.screening.runs import Trace
from tngexp.screening.verdict import band

__all__ = ["save_plot"]

# Okabe & Ito 2008: told apart with any colour vision; the base is black.
_COLOURS = ("#000000", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f")


def save_plot(
    traces: Mapping[str, Sequence[Trace]], path: Path, title: str, confidence: float
) -> None:
    """Draw the mean loss of each variant over its seeds, and the mean's confidence band.

    Args:
        traces: variant → one trace a seed; the base first.
        path: a PNG; replaced whole.
        title: above the axes.
        confidence: of the bands.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.6), layout="constrained")
    axes = figure.subplots()
    for number, (variant, seeds) in enumerate(traces.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        steps = seeds[0].steps
        columns = zip(*(trace.losses for trace in seeds), strict=True)
        points = [band(losses, confidence) for losses in columns]
        means = [mean for mean, _ in points]
        axes.plot(steps, means, color=colour, label=variant, marker="o", markersize=3)
        if len(seeds) > 1:
            low = [mean - (half or 0.0) for mean, half in points]
            high = [mean + (half or 0.0) for mean, half in points]
            axes.fill_between(steps, low, high, color=colour, alpha=0.15, linewidth=0)
    axes.set_yscale("log")
    axes.set_xlabel("optimizer steps")
    axes.set_ylabel("validation loss, R + λD (log scale)")
    axes.set_title(title, loc="left", fontsize=10)
    axes.grid(color="#e4e4e4", linewidth=0.6, which="both")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    FigureCanvasAgg(figure)
    beside = path.with_name(f".{path.name}.partial")
    figure.savefig(beside, format="png", dpi=150, metadata={"Software": None})
    beside.replace(path)
