"""The plot of a screening: everything on it can be read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from tngexp.studies.screen_analysis import Curves
from tngexp.studies.screen_plot import save_plot


def test_long_names_stay_inside_the_figure_and_off_the_curves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = "+".join(f"scheduler.option_{k}=0.{k}" for k in range(9))
    curves = {
        "base" if k == 0 else f"{long}+k={k}": Curves(
            [10, 20], {str(seed): [5.0 + k / 9 + seed / 50, 3.0] for seed in range(2)}
        )
        for k in range(10)
    }
    drawn: list[Figure] = []
    save = Figure.savefig

    def keep(figure: Figure, *words: Any, **options: Any) -> None:
        save(figure, *words, **options)
        drawn.append(figure)

    monkeypatch.setattr(Figure, "savefig", keep)
    save_plot(curves, tmp_path / "screen.png", f"tng+{long} and $x$, 20 steps", 0.95)
    (figure,) = drawn
    figure.draw_without_rendering()
    axes, inked = figure.axes[0], figure.get_tightbbox()  # inches
    width, height = figure.get_size_inches()
    assert inked.x0 >= 0
    assert inked.y0 >= 0
    assert inked.x1 <= width
    assert inked.y1 <= height
    below = axes.get_tightbbox()
    assert below is not None
    assert figure.legends[0].get_window_extent().y1 < below.y0
    looks = {(line.get_color(), line.get_linestyle()) for line in axes.lines}
    assert len(looks) == len(curves)
    ticks = [t.get_text() for t in axes.yaxis.get_ticklabels(which="both") if t.get_text()]
    assert len(ticks) >= 2
    assert all(float(text) > 0 for text in ticks)
