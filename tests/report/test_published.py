"""CompressAI's JSON layout: read as quoted, written so that CompressAI's own script draws it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tngexp.metrics.comparison import curve_bd_rate
from tngexp.metrics.curves import Curve, ImagePoint, RDPoint, to_db
from tngexp.report.published import read_published, to_compressai
from tngexp.types import TngexpError

RESULTS = {
    "psnr-rgb": [30.0, 27.0, 33.0],
    "ms-ssim-rgb": [0.95, 0.9, 0.98],
    "bpp": [0.4, 0.2, 0.8],
    "encoding_time": [1.0, 1.0, 1.0],
}


def write(folder: Path, content, name="vtm.json") -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def measured() -> Curve:
    points = [
        RDPoint(f"q{i}", (ImagePoint("a", 192, 192, 9, 0.1 * (i + 1), 30.0 + i, s, 0.5, 0.25),))
        for i, s in enumerate((0.9, 0.95, 0.99))
    ]
    return Curve("mine", "mine", "codec", tuple(points), "weights 0123")


def test_a_curve_is_quoted_with_its_source_and_sorted(tmp_path) -> None:
    path = write(tmp_path, {"name": "VTM", "description": "VTM 9.1", "results": RESULTS})
    curve = read_published(path)
    assert curve.key == "quoted-vtm"  # not the key of a measured codec
    assert (curve.label, curve.kind) == ("VTM (quoted)", "published")
    assert curve.source == "quoted from vtm.json: VTM 9.1"
    assert [p.bpp for p in curve.points] == [0.2, 0.4, 0.8]
    assert [p.psnr_db for p in curve.points] == [27, 30, 33]
    assert [p.ms_ssim for p in curve.points] == [0.9, 0.95, 0.98]
    assert not any(p.images for p in curve.points)


@pytest.mark.parametrize("suffix", ["", "-rgb"])
def test_old_and_new_names_of_metrics(tmp_path, suffix) -> None:
    results = {"bpp": [0.2], f"psnr{suffix}": [27.0], f"ms-ssim{suffix}": [0.9]}
    for content in ({"results": results}, results):  # older files have no outer level
        point = read_published(write(tmp_path, content)).points[0]
        assert (point.psnr_db, point.ms_ssim) == (27, 0.9)


def test_one_metric_is_enough(tmp_path) -> None:
    curve = read_published(write(tmp_path, {"results": {"bpp": [1], "ms-ssim": [0.9]}}))
    assert curve.points[0].psnr_db is None


def test_ms_ssim_in_decibels_is_recognised(tmp_path) -> None:
    results = {"bpp": [0.2, 0.4], "ms-ssim-rgb": [10.0, 20.0]}
    curve = read_published(write(tmp_path, {"results": results}))
    assert [p.ms_ssim for p in curve.points] == pytest.approx([0.9, 0.99])


def test_file_names_tell_what_a_model_was_trained_for(tmp_path) -> None:
    content = {"name": "mbt2018", "results": RESULTS}
    files = ("compressai-mbt2018_ms-ssim_cuda.json", "compressai-mbt2018-mse.json")
    labels = [read_published(write(tmp_path, content, file)).label for file in files]
    assert labels == ["mbt2018, MS-SSIM (quoted)", "mbt2018, MSE (quoted)"]
    named = write(tmp_path, {**content, "name": "mbt2018-mse"}, files[1])
    assert read_published(named).label == "mbt2018-mse (quoted)"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[1]", "a curve is a JSON object, not a list"),
        ({"results": [1]}, '"results" must hold lists'),
        ({"results": {}}, "found: nothing"),
        ({"results": {"bpp": [1], "vmaf": [90]}}, "found: bpp, vmaf"),
        ({"results": {"bpp": [], "psnr": []}}, 'a curve needs "bpp"'),
        ({"results": {"psnr": [30]}}, 'a curve needs "bpp"'),
        ({"results": {"bpp": [1, 2], "psnr": [30]}}, "2 values of bpp, but 1 of PSNR"),
        ({"results": {"bpp": [1], "ms-ssim": [0.9, 0.8]}}, "1 values of bpp, but 2 of MS-SSIM"),
        ({"results": {"bpp": ["1"], "psnr": [30]}}, '"bpp" must be a list of finite numbers'),
        ({"results": {"bpp": 1, "psnr": [30]}}, '"bpp" must be a list of finite numbers'),
        ('{"results": {"bpp": [NaN], "psnr": [30]}}', '"bpp" must be a list of finite numbers'),
        ({"results": {"bpp": [0], "psnr": [30]}}, "bpp must be positive, not 0"),
        ({"results": {"bpp": [1], "ms-ssim": [-0.5]}}, "MS-SSIM must lie in 0..1"),
    ],
)
def test_files_that_hold_no_curve_are_explained(tmp_path, content, message) -> None:
    path = write(tmp_path, content)
    with pytest.raises(TngexpError, match=r"vtm\.json") as error:
        read_published(path)
    assert message in str(error.value)


def test_missing_files_and_folders_are_explained(tmp_path) -> None:
    with pytest.raises(TngexpError, match="there is no such file"):
        read_published(tmp_path / "none.json")
    with pytest.raises(TngexpError, match="cannot be read"):
        read_published(tmp_path)


def test_what_is_written_is_read_again(tmp_path) -> None:
    curve = measured()
    again = read_published(write(tmp_path, to_compressai(curve)))
    for figure in ("bpp", "psnr_db", "ms_ssim"):
        before, after = ([getattr(p, figure) for p in c.points] for c in (curve, again))
        assert before == after


def test_a_figure_that_a_point_lacks_is_left_out() -> None:
    curve = measured()
    lacking = RDPoint("q", (ImagePoint("a", 64, 64, 9, 0.5, 34.0, None),))
    results = to_compressai(Curve("m", "m", "codec", (*curve.points, lacking), ""))["results"]
    assert results.keys() == {"psnr-rgb", "bpp"}


def test_quality_is_of_the_images_that_the_rate_is_of(tmp_path) -> None:
    def curve(**other: float | None) -> Curve:
        small = ImagePoint("b", 150, 150, 9, 0.4, 28.0, 0.5)
        points = [
            RDPoint(
                f"q{i}",
                (
                    ImagePoint("a", 192, 192, 9, 0.1 * 2**i, 30.0 + i, 1 - 0.1 / 2**i),
                    replace(
                        small,
                        **{"bpp": 0.4 * 2**i, "psnr_db": 28.0 + i, **(other if i else {})},
                    ),
                ),
            )
            for i in range(5)
        ]
        return Curve("m", "m", "codec", tuple(points), "weights 0123")

    for name, kept, measured in (
        ("ms-ssim-rgb", "psnr_db", curve(ms_ssim=None)),
        ("psnr-rgb", "ms_ssim_db", curve(psnr_db=None)),
    ):
        content = to_compressai(measured)
        again = read_published(write(tmp_path, content))
        assert curve_bd_rate(again, measured, kept).value == pytest.approx(0)
        assert name not in content["results"]
        assert content["description"] == (
            f"weights 0123; {name} is left out, as not every image has one"
        )


@pytest.fixture
def plot(monkeypatch) -> Iterator:
    """CompressAI's plot script, with the paths it would have when run as a module."""
    monkeypatch.setenv("MPLBACKEND", "agg")
    script = pytest.importorskip("compressai.utils.plot.__main__")
    import matplotlib.pyplot as plt

    plt.switch_backend("agg")
    yield script
    plt.close("all")


def test_compressais_own_script_draws_it(tmp_path, plot) -> None:
    curve = measured()
    path = write(tmp_path, to_compressai(curve), "mine.json")
    psnr, ms_ssim = (plot.parse_json_file(path, metric) for metric in ("psnr", "ms-ssim"))
    assert psnr["name"] == "mine"
    assert list(psnr["xs"]) == pytest.approx([0.1, 0.2, 0.3])
    assert list(psnr["ys"]) == [30, 31, 32]
    assert list(ms_ssim["ys"]) == pytest.approx([to_db(s) for s in (0.9, 0.95, 0.99)])
    for metric in ("psnr", "ms-ssim"):
        picture = tmp_path / f"{metric}.png"
        plot.main(["-f", str(path), "-m", metric, "-o", str(picture)])
        assert picture.read_bytes()[:4] == b"\x89PNG"
