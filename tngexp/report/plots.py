"""Rate-distortion figures for papers: PNG, SVG and PDF."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tngexp.common.atomic import replacing
from tngexp.common.terminal import shown
from tngexp.metrics.comparison import series
from tngexp.metrics.curves import QUALITY_METRICS, Curve
from tngexp.report.style import LineStyle, curve_label, line_styles
from tngexp.types import ConfigError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["LOW_RATE_END", "save_plots"]

LOW_RATE_END = 0.6
"""Where the low-rate zoom ends, bpp."""

_FORMATS = ("png", "svg", "pdf")
_LONGEST_NAME = 40  # characters in a legend
_MARKERS = {
    "circle": "o",
    "square": "s",
    "diamond": "D",
    "up": "^",
    "down": "v",
    "hexagon": "h",
    "x": "x",
    "plus": "+",
}
_STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.labelsize": 9,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.edgecolor": "#8c8c8c",
    "axes.labelcolor": "#333333",
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.6,
    "xtick.color": "#8c8c8c",
    "ytick.color": "#8c8c8c",
    "xtick.labelcolor": "#333333",
    "ytick.labelcolor": "#333333",
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "lines.markersize": 4.5,
    "lines.scale_dashes": False,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "svg.hashsalt": "tngexp",  # ids in the file stay the same from run to run
    "pdf.fonttype": 42,  # letters stay letters, as journals ask
}
# A date in the file would make equal figures differ.
_METADATA: dict[str, dict[str, Any]] = {
    "png": {"Software": None},
    "svg": {"Date": None},
    "pdf": {"CreationDate": None},
}


def save_plots(
    curves: Sequence[Curve],
    folder: Path,
    title: str,
    formats: Sequence[str] = _FORMATS,
) -> list[Path]:
    """Draw quality against rate: ``rd`` with everything, and one figure for each of its panels.

    The panels are PSNR and MS-SSIM in dB, over all rates and up to 0.6 bpp (``rd_psnr``,
    ``rd_psnr_low``, ``rd_ms_ssim``, ``rd_ms_ssim_low``); a metric that no curve has is left out.
    The same curves give the same files.

    Args:
        curves: what to draw, in the order of the legend.
        folder: created when missing.
        title: the data set and the number of images.
        formats: of ``png``, ``svg`` and ``pdf``.

    Returns:
        The files, those of ``rd`` first.

    Raises:
        ConfigError: for another format.
    """
    import matplotlib as mpl

    # Embedding letters in a PDF, it tells at level INFO of every table of the font.
    logging.getLogger("fontTools").setLevel(logging.WARNING)
    if unknown := [ending for ending in formats if ending not in _FORMATS]:
        raise ConfigError(f"no plots in format {unknown[0]}; choose from {', '.join(_FORMATS)}")
    folder.mkdir(parents=True, exist_ok=True)
    # From matplotlib's defaults, not the user's: the same curves look the same everywhere.
    defaults: dict[Any, Any] = {
        k: v for k, v in mpl.rcParamsDefault.items() if not k.startswith("backend")
    }
    paths = []
    with mpl.rc_context({**defaults, **_STYLE}):
        for name, figure in _figures(curves, title):
            for ending in formats:
                path = folder / f"{name}.{ending}"
                with replacing(path) as temporary:
                    figure.savefig(temporary, format=ending, dpi=180, metadata=_METADATA[ending])
                paths.append(path)
    return paths


def _figures(curves: Sequence[Curve], title: str) -> Iterator[tuple[str, Figure]]:
    """Every figure with its name."""
    from matplotlib.figure import Figure

    metrics = [m for m in QUALITY_METRICS if any(series(curve, m)[0] for curve in curves)]
    if not metrics:
        return
    figure = Figure(figsize=(9.6, 3.6 * len(metrics) + 1.0), layout="constrained")
    figure.get_layout_engine().set(h_pad=0.09, w_pad=0.09)  # type: ignore[union-attr, call-arg]
    for row, metric in zip(figure.subplots(len(metrics), 2, squeeze=False), metrics, strict=True):
        for axes, low in zip(row, (False, True), strict=True):
            _draw(axes, curves, metric, low)
            axes.set_title(_panel_title(metric, low), color="#333333")
    _heading(figure, title)
    columns = 4 if len(curves) > 6 else min(len(curves), 3)
    _legend(figure, curves, loc="outside lower center", ncols=columns)
    yield "rd", figure

    for metric in metrics:
        for low in (False, True):
            figure = Figure(figsize=(5.8, 4.4 + 0.1 * len(curves)), layout="constrained")
            axes = figure.subplots()
            _draw(axes, curves, metric, low)
            _heading(figure, title)
            # Curves rise and flatten: a few names fit below them, on the right.
            if len(curves) <= 8 and not low:
                _legend(axes, curves, loc="lower right")
            else:
                _legend(figure, curves, loc="outside lower center", ncols=2)
            yield f"rd_{metric.removesuffix('_db')}{'_low' if low else ''}", figure


def _draw(axes: Axes, curves: Sequence[Curve], metric: str, low: bool) -> None:
    """One panel: every curve that has the metric, and the axes around them."""
    all_quoted = all(curve.kind == "published" for curve in curves)
    measured: list[tuple[float, float]] = []
    for curve, style in zip(curves, line_styles(curves), strict=True):
        rates, quality = series(curve, metric)
        axes.plot(rates, quality, **_line(style, single=len(curve.points) == 1))
        if curve.kind != "published" or all_quoted:
            measured += zip(rates, quality, strict=True)
    axes.set_xlabel("rate (bits per pixel)")
    axes.set_ylabel(QUALITY_METRICS[metric])
    axes.yaxis.get_major_locator().set_params(steps=[1, 2, 5, 10])  # type: ignore[call-arg]
    # Quoted curves often go on to rates that nobody here was measured at.
    end = LOW_RATE_END if low else 1.04 * max((rate for rate, _ in measured), default=1)
    inside = [quality for rate, quality in measured if rate <= end]
    axes.set_xlim(0, end)
    if inside:
        margin = 0.04 * (max(inside) - min(inside)) + 0.1
        axes.set_ylim(min(inside) - margin, max(inside) + margin)


def _line(style: LineStyle, single: bool) -> dict[str, Any]:
    """Matplotlib's words for a style; the only point of a curve is a larger marker and no line."""
    strong = not style.dashes
    size = 4.8 if strong else 4.2
    return {
        "color": style.light,
        "linewidth": style.width,
        "linestyle": "none" if single else (0, style.dashes or None),
        "marker": _MARKERS[style.marker],
        "markersize": size * 1.6 if single else size,
        # Full markers for codecs, hollow ones for what they are compared with.
        "markerfacecolor": style.light if strong else "white",
        "markeredgecolor": "white" if strong else style.light,
        "markeredgewidth": 0.7 if strong else 1.0,
        "zorder": 3 if strong else 2,
    }


def _panel_title(metric: str, low: bool) -> str:
    name = QUALITY_METRICS[metric].removesuffix(" (dB)")
    return f"{name}, up to {LOW_RATE_END:g} bpp" if low else f"{name}, all rates"


def _heading(figure: Figure, title: str) -> None:
    figure.suptitle(shown(title), fontsize=10.5, fontweight="bold", color="#1a1a1a").set_parse_math(
        False
    )  # a $ in the name of a folder is no formula


def _legend(owner: Axes | Figure, curves: Sequence[Curve], **options: Any) -> None:
    """Names beside samples; made by hand, since matplotlib hides names that begin with _."""
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], **_line(style, single=len(curve.points) == 1))
        for curve, style in zip(curves, line_styles(curves), strict=True)
    ]
    blank = [str(number) for number in range(len(curves))]
    legend = owner.legend(handles, blank, handlelength=3.2, columnspacing=1.8, **options)
    for text, curve in zip(legend.get_texts(), curves, strict=True):
        text.set_parse_math(False)
        text.set_text(_shortened(shown(curve_label(curve))))
        text.set_color("#1a1a1a")


def _shortened(label: str) -> str:
    """A name such as a run's, with all its overrides, must not crowd out the axes."""
    return label if len(label) <= _LONGEST_NAME else f"{label[: _LONGEST_NAME - 1]}…"
