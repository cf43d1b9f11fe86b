"""Plots show every curve that has the metric, and the same curves give the same files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib import rcParams
from matplotlib.colors import to_rgb
from PIL import Image

from tngexp.metrics.curves import Curve, RDPoint
from tngexp.report.plots import save_plots
from tngexp.report.style import curve_label, line_styles
from tngexp.types import ConfigError


def curve(label: str, kind: str, rates: tuple[float, ...], gain: float = 0.0) -> Curve:
    points = tuple(
        RDPoint(
            f"q={rate}",
            quoted_bpp=rate,
            quoted_psnr_db=30 + 6 * np.log2(rate) + gain,
            quoted_ms_ssim=1 - 0.02 / rate,
        )
        for rate in rates
    )
    return Curve(label.lower().split()[0], label, kind, points, "a test")  # type: ignore[arg-type]


def psnr_only(point: RDPoint) -> RDPoint:
    return replace(point, quoted_ms_ssim=None)


CURVES = [
    curve("JPEG", "anchor", (0.2, 0.4, 0.8, 1.6)),
    curve("ours & more at $5", "codec", (0.1, 0.2, 0.4, 0.8), 2),
    curve("_single", "codec", (0.3,), 1),
    curve("VTM", "published", (0.1, 0.5, 3.0), 3),
]
NAMES = ["rd", "rd_psnr", "rd_psnr_low", "rd_ms_ssim", "rd_ms_ssim_low"]


def test_every_curve_is_drawn_and_named(tmp_path: Path) -> None:
    paths = save_plots(CURVES, tmp_path / "new", "Kodak, $24$ images", formats=("svg",))
    assert [path.stem for path in paths] == NAMES
    for path in paths:
        text = path.read_text(encoding="utf-8")
        # Letters are outlines; matplotlib keeps what they say in comments.
        for words in ("JPEG", "ours &amp; more at $5", "_single", "VTM (quoted)", "$24$ images"):
            assert words in text.replace("\\$", "$")
        assert ("PSNR (dB)" in text) == ("ms_ssim" not in path.stem)
        assert ("MS-SSIM (dB)" in text) == ("psnr" not in path.stem)
        for style in line_styles(CURVES):
            assert style.light in text.lower()
    # Two metrics at all rates and at low ones.
    assert paths[0].read_text(encoding="utf-8").count('<g id="axes_') == 4
    assert {path.name for path in (tmp_path / "new").iterdir()} == {path.name for path in paths}


def test_the_same_curves_give_the_same_files_whatever_the_user_prefers(tmp_path: Path) -> None:
    curves = [replace(c, points=tuple(psnr_only(p) for p in c.points)) for c in CURVES[:2]]
    first = save_plots(curves, tmp_path / "a", "title")
    before = rcParams["font.size"], rcParams["axes.grid"]
    try:
        rcParams["font.size"], rcParams["axes.grid"] = 30, False
        second = save_plots(curves, tmp_path / "b", "title")
        assert rcParams["font.size"] == 30  # nor does drawing change what the user prefers
    finally:
        rcParams["font.size"], rcParams["axes.grid"] = before
    assert [path.name for path in first[:3]] == ["rd.png", "rd.svg", "rd.pdf"]
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes(), one.name


def test_a_picture_has_the_ink_of_its_curves(tmp_path: Path) -> None:
    curves = [replace(c, points=tuple(psnr_only(p) for p in c.points)) for c in CURVES]
    (path, *_) = save_plots(curves, tmp_path, "title", formats=("png",))
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB")).reshape(-1, 3).astype(int)
    for style in line_styles(CURVES):
        colour = np.array(to_rgb(style.light)) * 255
        assert (np.abs(pixels - colour).sum(1) < 30).sum() > 50


def test_a_metric_that_nobody_has_gets_no_plot(tmp_path: Path) -> None:
    small = Curve("a", "a", "codec", (RDPoint("", (), 0.5, 30.0, None),), "images too small")
    names = [path.stem for path in save_plots([small], tmp_path, "title", formats=("png",))]
    assert names == ["rd", "rd_psnr", "rd_psnr_low"]


def test_a_long_name_leaves_room_for_the_axes(tmp_path: Path) -> None:
    long = replace(CURVES[1], label="gmm-mse-" + "scheduler.warmup=1-" * 12)
    (path, *_) = save_plots([long], tmp_path, "title", formats=("svg",))
    assert "gmm-mse-" in path.read_text(encoding="utf-8")  # and no warning, an error here


def test_nothing_to_draw_is_no_file(tmp_path: Path) -> None:
    assert save_plots([], tmp_path, "title") == []


def test_an_unknown_format_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="gif"):
        save_plots(CURVES, tmp_path, "title", formats=("gif",))


def test_kinds_look_different_and_long_lists_do_not_repeat() -> None:
    codec, single, anchor, quoted = (line_styles(CURVES)[index] for index in (1, 2, 0, 3))
    assert codec.dashes == single.dashes == ()
    assert anchor.dashes != quoted.dashes
    assert codec.width > anchor.width > quoted.width
    for kind in ("codec", "anchor"):
        many = line_styles([curve(str(n), kind, (1.0,)) for n in range(24)])
        assert len({(style.light, style.marker) for style in many}) == 24


def test_a_quoted_curve_says_so_once() -> None:
    assert curve_label(curve("VTM", "published", ())) == "VTM (quoted)"
    assert curve_label(curve("VTM (quoted)", "published", ())) == "VTM (quoted)"
    assert curve_label(curve("VTM", "anchor", ())) == "VTM"
