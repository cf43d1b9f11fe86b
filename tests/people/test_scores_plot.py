"""The plot of scores: every codec has a row that says what is known of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from tngexp.people.plot import save_scores


def test_every_codec_has_its_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Figure] = []
    save = Figure.savefig

    def keep(figure: Figure, *words: Any, **options: Any) -> None:
        save(figure, *words, **options)
        drawn.append(figure)

    monkeypatch.setattr(Figure, "savefig", keep)
    scores = [
        ("best $x$", 0.8, 0.2, 1.5),
        ("base", 0.0, None, None),
        ("[b]caf\udce9[/b]", -0.5, -1.0, -0.1),
        ("beaten" * 20, None, None, -3.0),
        ("unknown", None, None, None),
    ]
    save_scores(scores, tmp_path / "scores.png", "200 votes", "base")
    assert (tmp_path / "scores.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    (axes,) = drawn[0].axes
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels[:2] == ["best $x$", "base"]
    assert labels[3].endswith("…")
    lines = {tuple(line.get_ydata()): tuple(line.get_xdata()) for line in axes.lines}
    assert lines[0, 0] == (0.2, 1.5)
    assert lines[2, 2] == (-1.0, -0.1)
    assert lines[3,] == (-3.0,)
    assert [text.get_text() for text in axes.texts] == ["", "n/a"]
    low, high = axes.get_xlim()
    assert low < -3.7
    assert high > 1.5
    assert axes.get_ylim()[0] > axes.get_ylim()[1]  # the first row stands above
