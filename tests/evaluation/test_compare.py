"""From checkpoints to a report, with real files on both sides."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from support import checkpoint, photo, wandb_records

from tngexp import compare as entry
from tngexp.common.configuration import CONF_DIR
from tngexp.evaluation import photos_to_measure
from tngexp.evaluation.compare import _label_of
from tngexp.evaluation.tsv import read_tsv
from tngexp.evaluation.viewer import choose_photos
from tngexp.metrics.comparison import curve_bd_rate
from tngexp.metrics.curves import Curve
from tngexp.model.codec import Codec
from tngexp.report.table import signed
from tngexp.types import ConfigError


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for index, size in enumerate([(200, 180), (192, 240)]):
        photo(*size).save(folder / f"photo{index}.png")
    return folder


@pytest.fixture
def codecs(tmp_path: Path, make_codec: Callable[..., Codec]) -> dict[str, Path]:
    paths = {}
    for name, options in {
        "fixed": {"prior": "gmm"},
        "variable": {"rate": "variable"},
    }.items():
        torch.manual_seed(len(name))
        codec = make_codec(**options).eval()
        with torch.no_grad():  # latents of an untrained codec are all zero otherwise
            convs = [
                m for m in codec.transform.analysis.modules() if isinstance(m, torch.nn.Conv2d)
            ]
            convs[-1].weight.mul_(100)
        paths[name] = checkpoint(codec, tmp_path / f"{name}.ckpt")
    return paths


@pytest.fixture
def words(photos: Path, codecs: dict[str, Path], tmp_path: Path) -> list[str]:
    return [
        f"runs=[{','.join(map(str, codecs.values()))}]",
        "data=folder",
        f"data.root={photos}",
        "anchors=[jpeg,webp]",
        "qualities=[0,0.3,0.6,1]",
        "viewer.images=1",
        "workers=1",
        f"out={tmp_path / 'out'}",
        f"cache={tmp_path / 'cache'}",
        "logger=none",
    ]


def test_one_command_leaves_everything(
    words: list[str], tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert entry.main(words) == 0
    out = tmp_path / "out"
    shown = capsys.readouterr().out
    for text in ("BD-rate against JPEG 4:2:0", "Bits needed", "Complexity", "variable", "fixed"):
        assert text in shown
    assert f"report in {out / 'report.html'}" in shown
    assert "Measured points" not in shown  # long; it is in the files
    report = (out / "report.html").read_text(encoding="utf-8")
    for text in ("JPEG 4:2:0", "WebP", "fixed", "variable", "photo1.png"):
        assert text in report
    assert {p.suffix for p in out.glob("rd.*")} == {".png", ".svg", ".pdf"}
    tables = (out / "tables.txt").read_text(encoding="utf-8")
    assert "± " in tables
    assert "quality 30" in tables or "q=0.3" in tables
    kept = {curve.label: curve for curve in read_tsv(out / "images.tsv")}
    assert kept.keys() == {"fixed", "variable", "JPEG 4:2:0", "WebP"}
    saved = curve_bd_rate(kept["WebP"], kept["JPEG 4:2:0"], "psnr_db").value
    assert saved is not None
    assert signed(saved).text in tables
    curve = json.loads((out / "curves" / "variable.json").read_text())["results"]
    records = [json.loads(line) for line in (out / "records.jsonl").read_text().splitlines()]
    assert len(records) == 2 * 5  # two images; one point and four
    sizes = [r["bpp"] for r in records if r["quality"] == 1]
    assert max(curve["bpp"]) == pytest.approx(sum(sizes) / 2)
    files = list((out / "files").rglob("*.tng"))
    assert sorted(f.stat().st_size for f in files) == sorted(r["bytes"] for r in records)

    # Again: nothing is coded, neither by codecs nor by anchors, and the report is the same.
    def refuse(*_: Any) -> None:
        raise AssertionError("coded twice")

    monkeypatch.setattr("tngexp.evaluation.codecs.measure", refuse)
    monkeypatch.setattr("tngexp.anchors.pillow.PillowAnchor.encode", refuse)
    assert entry.main(words) == 0
    assert (out / "records.jsonl").read_text().count("\n") == 10


@pytest.mark.parametrize("name", ["webp", "WebP", "variable"])
def test_the_reference_is_called_as_in_the_options_or_as_its_curve(
    name: str, words: list[str], tmp_path: Path, capsys: Any
) -> None:
    shown = "WebP" if name == "webp" else name
    assert entry.main([*words, f"reference={name}"]) == 0
    assert f"BD-rate against {shown}, PSNR" in capsys.readouterr().out


def test_a_codec_that_is_called_as_an_anchor_has_a_key_of_its_own() -> None:
    assert _label_of("webp-2", {"webp": "WebP"}, ["WebP", "WebP", "b"]) == "webp-2"
    with pytest.raises(ConfigError, match=r"none of the curves: webp, webp-2, b$"):
        _label_of("webp-3", {"webp": "WebP"}, ["WebP", "WebP", "b"])


@pytest.mark.parametrize("name", ["quoted-vtm", "VTM"])
def test_a_quoted_curve_can_be_the_reference(name: str) -> None:
    quoted = Curve("quoted-vtm", "VTM", "published", (), "")
    assert _label_of(name, {"webp": "WebP"}, ["b"], [quoted]) == name


def test_an_unknown_reference_is_told_before_anything_is_measured(
    words: list[str], tmp_path: Path, capsys: Any
) -> None:
    assert entry.main([*words, "reference=vvc"]) == 2
    error = capsys.readouterr().err
    assert "reference=vvc is none of the curves: jpeg, webp, fixed, variable" in error
    assert not (tmp_path / "out" / "records.jsonl").exists()
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("name", ["webp", "WebP"])
def test_a_reference_that_is_missing_is_told_with_the_way_to_get_it(name: str) -> None:
    anchors, lines = {"jpeg": "JPEG 4:2:0", "webp": "WebP"}, {"webp": "WebP is missing: pip"}
    with pytest.raises(ConfigError, match=f"^reference={name}: WebP is missing: pip$"):
        _label_of(name, anchors, ["b"], (), lines)
    assert _label_of("WebP", anchors, ["WebP"], (), lines) == "WebP"  # a codec called so
    assert _label_of("jpeg", anchors, ["b"], (), lines) == "JPEG 4:2:0"


def test_nothing_to_measure_is_one_line_that_says_why(
    words: list[str], capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tngexp.anchors.pillow.PillowAnchor.missing", lambda self: "pip install x")
    kept = [word for word in words if word.partition("=")[0] not in ("runs", "anchors")]
    assert entry.main([*kept, "runs=[]", "anchors=[webp]"]) == 2
    assert capsys.readouterr().err == "error: nothing was measured: pip install x\n"


def test_an_image_that_is_named_twice_is_measured_once(photos: Path) -> None:
    _, found = photos_to_measure(
        {"_target_": "tngexp.datasets.folder.FolderDataModule", "root": photos, "val_root": None}
    )
    chosen = choose_photos(found, ["photo1", "photo0.png", "photo1.png"], "images", 1)
    assert [one.name for one in chosen] == ["photo1.png", "photo0.png"]


def test_two_quoted_curves_of_one_name_are_told_before_anything_is_measured(
    words: list[str], tmp_path: Path, capsys: Any
) -> None:
    paths = [tmp_path / name / "r.json" for name in ("a", "b")]
    for path in paths:
        path.parent.mkdir()
        path.write_text(json.dumps({"bpp": [0.2], "psnr": [28]}))
    assert entry.main([*words, f"published=[{paths[0]},{paths[1]}]"]) == 2
    error = capsys.readouterr().err
    assert f"{paths[0]} and {paths[1]} would both be called quoted-r" in error
    assert not (tmp_path / "cache").exists()


def test_a_missing_anchor_is_left_out_with_a_line(
    words: list[str], capsys: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(
        "tngexp.anchors.pillow.PillowAnchor.missing",
        lambda self: "pip install something" if self.name == "webp" else None,
    )
    assert entry.main(words) == 0
    shown = capsys.readouterr().out
    assert "pip install something" in shown
    assert "pip install something" in (tmp_path / "out" / "report.html").read_text("utf-8")


def test_wandb_gets_a_run_for_the_whole_and_one_for_each_codec(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert entry.main([*words[:-1], "logger=wandb", "logger.system_metrics=false"]) == 0
    runs = sorted((tmp_path / "out" / "wandb").glob("offline-run-*"))
    started, summaries = [], []
    for run in runs:
        records = wandb_records(run)
        started.append(next(r.run for r in records if r.HasField("run")))
        items = [i for r in records if r.HasField("summary") for i in r.summary.update]
        summaries.append({item.key or "/".join(item.nested_key) for item in items})
    jobs = {run.job_type: run for run in started}
    assert sorted(run.job_type for run in started) == ["compare", "curve", "curve"]
    assert {run.run_group for run in started} == {"out"}
    assert jobs["compare"].display_name == "out"
    names = {run.display_name for run in started}
    assert names == {"out", "fixed", "variable"}
    for run, summary in zip(started, summaries, strict=True):
        if run.job_type == "curve":
            assert {"bpp", "psnr_db", "ms_ssim"} <= summary


def test_single_names_are_lists_of_one_and_one_photo_is_enough(
    words: list[str], photos: Path, tmp_path: Path, codecs: dict[str, Path], capsys: Any
) -> None:
    (photos / "photo0.png").unlink()
    single = {
        "runs": codecs["fixed"],
        "anchors": "jpeg",
        "metrics": "gmsd",
        "viewer.images": "photo1",
        "viewer.bpp": 0.3,
        "qualities": 0.5,
        "+anchor_settings": "{jpeg:30}",
    }
    kept = [word for word in words if word.partition("=")[0] not in single]
    assert entry.main([*kept, *(f"{key}={value}" for key, value in single.items())]) == 0
    (record,) = map(json.loads, (tmp_path / "out" / "records.jsonl").read_text().splitlines())
    assert (record["image"], set(record["metrics"])) == ("photo1.png", {"gmsd"})
    assert "quality 30" in (tmp_path / "out" / "tables.txt").read_text(encoding="utf-8")


def test_a_codec_called_as_an_anchor_is_another_curve(
    words: list[str], tmp_path: Path, codecs: dict[str, Path]
) -> None:
    named = f"runs={{WebP:{codecs['fixed']},b:[{codecs['fixed']},{codecs['fixed']}]}}"
    kept = [word for word in words if not word.startswith("runs")]
    config = [*kept, named, "anchors=[webp]"]
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        result = entry.compare(compose("compare", config))
    curves = {(curve.kind, curve.label): curve for curve in result.curves}
    assert curves.keys() == {("anchor", "WebP"), ("codec", "WebP"), ("codec", "b")}
    assert curves["codec", "WebP"].details
    assert not curves["anchor", "WebP"].details
    # A copy on a curve is no further point, and counts no image twice.
    assert [len(point.images) for point in curves["codec", "b"].points] == [2]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("anchors=[jpg]", "jpeg"),
        ("anchors={jpeg:3}", "anchors="),
        ("viewer.bpp=low", "viewer.bpp="),
        ("viewer.images=true", "viewer.images="),
        ("+anchor_settings=[3]", "anchor_settings="),
        ("+anchor_settings={jpeg:[]}", "anchor_settings={jpeg:[]} measures nothing"),
        ("images=0", "images=0 leaves no photo"),
        ("images=[]", "images=[] leaves no photo"),
        ("runs=[nope.ckpt]", "no such checkpoint"),
        ("published=[nope.json]", "nope.json"),
        ("reference=vvc", "none of the curves"),
        ("viewer.images=[nope.png]", "no image called nope.png"),
        ("metrics=[vmaf]", "no metric called 'vmaf'"),
    ],
)
def test_bad_input_is_one_message(change: str, message: str, words: list[str], capsys: Any) -> None:
    key = change.partition("=")[0]
    assert entry.main([*[w for w in words if not w.startswith(f"{key}=")], change]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


def test_a_quoted_curve_is_drawn_as_quoted(words: list[str], tmp_path: Path, capsys: Any) -> None:
    quoted = {"name": "theirs", "results": {"bpp": [0.2, 0.5, 1], "psnr-rgb": [28, 31, 35]}}
    path = tmp_path / "theirs.json"
    path.write_text(json.dumps(quoted))
    assert entry.main([*words, f"published=[{path}]"]) == 0
    assert "theirs (quoted)" in capsys.readouterr().out
