"""The page that is made: real files of equal bytes, shown without loss and without names."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from small_look import small_look
from support import checkpoint, photo

from tngexp import study as entry
from tngexp.anchors import ANCHORS, anchor
from tngexp.metrics.records import ImageRecord, Measurement
from tngexp.model.codec import Codec
from tngexp.people.key import read_study
from tngexp.people.making import ruined
from tngexp.people.matching import nearest
from tngexp.people.options import label_of
from tngexp.types import ConfigError


def page_data(page: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The data of a page and its pictures by id."""
    text = page.read_text(encoding="utf-8")
    data = json.loads(re.search(r'id="page-data">(.*?)</script>', text)[1])
    uris = re.findall(r'<script type="text/plain" id="([^"]+)">([^<]+)</script>', text)
    return data, {
        key: np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))
        for key, uri in uris
    }


def sized(size: int) -> ImageRecord:
    measured = Measurement(1, 1, size, 8.0 * size, None, None, None, 0.0, 0.0, "")
    return ImageRecord(
        kind="anchor", codec="", setting="", dataset="", image="", model="", quality=None,
        measured=measured,
    )  # fmt: skip


@pytest.mark.parametrize("target", [1, 90, 700, 1234, 5000, 10**6])
def test_bisection_finds_the_nearest_file(target: int) -> None:
    sizes = [round(100 * 1.04**n) for n in range(101)]
    coded = []

    def code(index: int) -> ImageRecord:
        coded.append(index)
        return sized(sizes[index])

    found = nearest(code, 0, 100, target).measured.bytes
    best = min(abs(np.log(size / target)) for size in sizes)
    assert abs(np.log(found / target)) <= max(best, 0.005)
    assert len(coded) <= 7


def test_files_are_of_equal_bytes_and_near_the_rate(made) -> None:
    assert made.study.size == (144, 96)
    assert len(made.study.pairs) == 9
    wanted = 2 * 144 * 96 / 8
    for pair in made.study.pairs:
        assert pair.excess <= 0.2
        for side in (pair.a, pair.b):
            assert 0.8 < side.bytes / wanted < 1.2


def test_pictures_are_those_of_the_files_and_the_same_centre(made) -> None:
    data, pictures = page_data(made.page)
    pairs = {pair["id"]: pair for pair in data["pairs"]}
    names = {anchor(name).label: name for name in ANCHORS}
    for pair in made.study.pairs:
        whole = np.asarray(Image.open(made.photos / pair.photo))
        top, left = (whole.shape[0] - 96) // 2, (whole.shape[1] - 144) // 2
        centre = whole[top : top + 96, left : left + 144]
        shown = pairs[pair.id]
        assert (pictures[shown["original"]] == centre).all()
        for side, picture in ((pair.a, shown["a"]), (pair.b, shown["b"])):
            codec = anchor(names[side.codec])
            file = codec.encode(centre, float(side.setting.split()[-1]))
            assert len(file) == side.bytes
            assert (pictures[picture] == codec.decode(file)).all()
    for catch in data["catches"]:
        original, worse = pictures[catch["a"]], pictures[catch["b"]]
        assert catch["a"] == catch["original"]
        assert (worse == ruined(original)).all()
        assert np.abs(worse.astype(int) - original).mean() > 5


def test_the_page_names_no_codec_and_no_photo(made) -> None:
    text = made.page.read_text(encoding="utf-8")
    text = re.sub(r'<script type="text/plain".*?</script>', "", text).lower()
    for word in ("jpeg", "webp;", "avif", "photo0", "quality", "bytes"):
        assert word not in text
    assert "http" not in text.replace('http-equiv="content-security-policy"', "")


def test_groups_are_of_two_codecs_each(made) -> None:
    data, _ = page_data(made.page)
    groups: dict[int, set[frozenset[str]]] = {}
    pairs = {pair.id: pair for pair in made.study.pairs}
    for pair in data["pairs"]:
        both = pairs[pair["id"]]
        groups.setdefault(pair["group"], set()).add(frozenset((both.a.codec, both.b.codec)))
    assert [len(codecs) for codecs in groups.values()] == [1, 1, 1]
    assert len(set.union(*groups.values())) == 3


def test_the_same_study_has_the_same_id_and_another_not(made, tmp_path: Path) -> None:
    again = [*made.words[:-1], f"out={tmp_path / 'again'}"]
    assert entry.main(again) == 0
    assert read_study(tmp_path / "again" / "study.json").id == made.study.id
    assert entry.main(again) == 0  # over itself
    other = [*again[:-1], f"out={tmp_path / 'other'}", "bpp=2.4"]
    assert entry.main(other) == 0
    assert read_study(tmp_path / "other" / "study.json").id != made.study.id


def kept(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("study.*")}


@pytest.mark.parametrize("word", ["anchors=[jpeg,webp]", "size=[144,88]", "catches=0", "images=2"])
def test_the_key_of_another_study_is_kept_before_anything_is_coded(
    made, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    def coded(*_: object) -> None:
        raise AssertionError("something was coded")

    monkeypatch.setattr("tngexp.people.making._code", coded)
    shutil.copytree(made.page.parent, tmp_path / "out")
    before = kept(tmp_path / "out")
    capsys.readouterr()
    assert entry.main([*made.words[:-1], f"out={tmp_path / 'out'}", word]) == 2
    error = capsys.readouterr().err
    assert "study.json is the key of another study" in error
    assert "name another folder, out=DIR" in error
    assert kept(tmp_path / "out") == before


def test_a_key_is_kept_if_only_its_files_are_others(made, tmp_path: Path, capsys: Any) -> None:
    shutil.copytree(made.page.parent, tmp_path / "out")
    before = kept(tmp_path / "out")
    capsys.readouterr()
    assert entry.main([*made.words[:-1], f"out={tmp_path / 'out'}", "bpp=2.4"]) == 2
    assert "is the key of another study" in capsys.readouterr().err
    assert kept(tmp_path / "out") == before


def test_what_is_no_key_is_not_replaced_either(made, tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "study.json").write_text("{}")
    capsys.readouterr()
    assert entry.main([*made.words[:-1], f"out={tmp_path}"]) == 2
    assert "study.json is no key that can be read" in capsys.readouterr().err
    assert kept(tmp_path) == {"study.json": b"{}"}


def test_ruined_pictures_are_means_of_squares() -> None:
    rgb = np.asarray(photo(21, 10))
    worse = ruined(rgb)
    assert worse.shape == rgb.shape
    assert (worse[:8, :8] == rgb[:8, :8].mean((0, 1)).round()).all()


def test_trained_codecs_are_set_to_the_rate(
    made, make_codec: Callable[..., Codec], tmp_path: Path, capsys: Any
) -> None:
    paths = []
    for seed, rate in enumerate(("variable", "fixed")):
        torch.manual_seed(seed)
        codec = make_codec(rate=rate).eval()
        with torch.no_grad():  # latents of an untrained codec are all zero otherwise
            convs = [
                m for m in codec.transform.analysis.modules() if isinstance(m, torch.nn.Conv2d)
            ]
            convs[-1].weight.mul_(60)
        paths.append(checkpoint(codec, tmp_path / f"{rate}.ckpt"))
    words = [*made.words[1:-1], f"out={tmp_path / 'out'}", "anchors=[jpeg]", "images=1", "bpp=1"]
    words += [f"runs={{one:{paths[0]},two:{paths[1]}}}", "tolerance=100"]
    assert entry.main(words) == 0
    study = read_study(tmp_path / "out" / "study.json")
    assert study.codecs == ("one", "two", "JPEG 4:2:0")
    sides = {side.codec: side for pair in study.pairs for side in (pair.a, pair.b)}
    files = {path.stat().st_size for path in (tmp_path / "out" / "files").rglob("*.tng")}
    best = min(files - {sides["two"].bytes}, key=lambda size: abs(np.log(size / 1728)))
    assert sides["one"].bytes == best
    assert sides["one"].setting.startswith("q=")
    assert "one" in capsys.readouterr().out


def refusal(made: Any, tmp_path: Path, capsys: Any, *words: str) -> str:
    capsys.readouterr()
    assert entry.main([*made.words[:-1], f"out={tmp_path / 'out'}", *words]) == 2
    assert not (tmp_path / "out" / "study.html").exists()
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    return str(error)


def test_one_codec_is_refused_with_the_fix(made, tmp_path: Path, capsys: Any) -> None:
    error = refusal(made, tmp_path, capsys, "anchors=[jpeg]")
    assert "at least two codecs, and there is only JPEG 4:2:0: add a codec to runs" in error
    assert "none: add" in refusal(made, tmp_path, capsys, "anchors=[]")


def test_photos_of_unequal_size_are_refused_with_a_fix_that_works(
    made, tmp_path: Path, capsys: Any
) -> None:
    error = refusal(made, tmp_path, capsys, "size=null")
    assert "of unequal size (photo0.png: 170×130, photo1.png: 171×130)" in error
    fix = re.search(r"size=\[\d+,\d+\]", error)[0]
    assert fix == "size=[170,130]"
    assert "photo0.png has only 170×130 pixels" in refusal(made, tmp_path, capsys, "size=[171,130]")
    words = [*made.words[:-1], f"out={tmp_path / 'out'}", fix, "anchors=[jpeg,webp]"]
    assert entry.main(words) == 0


def test_pairs_of_unequal_bytes_are_left_out_and_said(made, tmp_path: Path, capsys: Any) -> None:
    excess = sorted(pair.excess for pair in made.study.pairs)
    words = [*made.words[:-1], f"out={tmp_path / 'out'}", f"tolerance={excess[-2]}"]
    capsys.readouterr()
    assert entry.main(words) == 0
    study = read_study(tmp_path / "out" / "study.json")
    assert len(study.pairs) == 8
    shown = " ".join(capsys.readouterr().out.split())
    assert f"on 1 of 3 photos, where the larger file has {100 * excess[-1]:.0f} to" in shown
    error = refusal(made, tmp_path / "b", capsys, f"tolerance={excess[0] / 2}")
    assert "the nearest are" in error
    assert "Fix:" in error


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("bpp=0", "bpp=0.0 must be above 0"),
        ("tolerance=0", "tolerance=0.0 must be above 0"),
        ("trials=0", "trials=0 must be above 0"),
        ("catches=-1", "catches=-1 must be 0 or more"),
        ("size=[8,8]", "size=[8, 8] must be width and height"),
        ("size=big", "size='big' must be width and height"),
        ("images=0", "images=0 leaves no photo"),
        ("images=[]", "images=[] leaves no photo"),
        ("reference=x", "reference=x is none of the codecs: JPEG"),
        ("anchors=[jpg]", "no anchor called 'jpg'"),
    ],
)
def test_bad_options_are_refused(
    made, tmp_path: Path, capsys: Any, word: str, message: str
) -> None:
    assert message in refusal(made, tmp_path, capsys, word)


def test_a_reference_is_called_as_in_anchors_and_an_unknown_one_is_told_before_coding(
    made, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    with monkeypatch.context() as patched:
        patched.setattr("tngexp.people.making._code", None)
        assert "none of the codecs" in refusal(made, tmp_path, capsys, "reference=bpg")
    assert entry.main([*made.words[:-1], f"out={out}", "reference=webp"]) == 0
    assert read_study(out / "study.json").reference == "WebP"


def test_a_name_of_an_anchor_means_the_anchor() -> None:
    labels = ["WebP", "JPEG 4:2:0"]
    assert label_of("webp", labels) == "WebP"
    assert label_of("JPEG 4:2:0", labels) == "JPEG 4:2:0"
    assert label_of("webp", [*labels, "WebP (anchor)"]) == "WebP (anchor)"
    with pytest.raises(ConfigError, match=r"reference=jxl is none of the codecs: WebP, .*\(pip\)"):
        label_of("jxl", labels, ["pip"])


def test_a_key_that_was_changed_is_refused(made, tmp_path: Path) -> None:
    path = tmp_path / "study.json"
    text = (made.page.parent / "study.json").read_text()
    path.write_text(text.replace("photo0.png", "other.png", 1))
    with pytest.raises(ConfigError, match="not the key of a study"):
        read_study(path)


def test_two_looks_of_a_codec_are_a_pair_of_one_file(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    photo(96, 80).save(photos / "a.png")
    small = small_look(tmp_path)
    words = [f"runs=[{small.base}]", "anchors=[]", "looks=[0,1]", f"look_from={small.look}"]
    words += ["data=folder", f"data.root={photos}", "images=1", "bpp=3", "catches=0"]
    assert entry.main([*words, f"out={tmp_path / 'out'}"]) == 0
    (pair,) = read_study(tmp_path / "out" / "study.json").pairs
    assert {pair.a.codec, pair.b.codec} == {"base", "base, look 1"}
    assert pair.a.bytes == pair.b.bytes
    _, pictures = page_data(tmp_path / "out" / "study.html")
    assert len(pictures) == 3
    assert len({picture.tobytes() for picture in pictures.values()}) == 3
