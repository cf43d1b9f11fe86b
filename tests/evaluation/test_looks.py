"""A codec at two looks is two curves, of the same files."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_look import Small, small_look
from support import photo

import tngexp
from tngexp import compare as compare_entry
from tngexp import evaluate as entry
from tngexp.evaluation import at_looks, load_models
from tngexp.evaluation.codecs import reconstruction
from tngexp.types import CheckpointError, ConfigError


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Small:
    return small_look(tmp_path_factory.mktemp("look"))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    photo(200, 180).save(folder / "a.png")
    return folder


def test_a_codec_at_two_looks_is_two_curves(
    small: Small, photos: Path, tmp_path: Path, capsys: Any
) -> None:
    out = tmp_path / "out"
    words = [f"checkpoint={small.base}", "data=folder", f"data.root={photos}", f"out={out}"]
    words += ["logger=none", "metrics=[]", "qualities=0.5", "save_files=true"]
    words += ["looks=[0,1]", f"look_from={small.look}"]
    assert entry.main(words) == 0
    plain, other = (json.loads(line) for line in (out / "records.jsonl").read_text().splitlines())
    assert (plain["look"], plain["look_sha256"], plain["codec"]) == (0, None, "base")
    assert (other["look"], other["codec"]) == (1, "base, look 1")
    assert other["look_sha256"] == hashlib.sha256(small.look.read_bytes()).hexdigest()
    assert other["file_sha256"] == plain["file_sha256"]
    assert other["reconstruction_sha256"] != plain["reconstruction_sha256"]
    assert other["psnr_db"] < plain["psnr_db"]
    codec = tngexp.load(small.base, look=small.look)
    for record, model in zip(
        (plain, other), at_looks(load_models([small.base]), [0, 1], [small.look]), strict=True
    ):
        file = out / "files" / record["file"]
        pixels = reconstruction(model, file)
        assert hashlib.sha256(pixels.tobytes()).hexdigest() == record["reconstruction_sha256"]
        expected = codec.decompress(file.read_bytes(), look=record["look"])
        assert np.array_equal(pixels, np.asarray(expected))
    assert (out / "base-look-1.json").is_file()
    assert "look 1" in capsys.readouterr().out
    assert entry.main(words) == 0  # found again
    assert (out / "records.jsonl").read_text().count("\n") == 2


def test_a_comparison_shows_looks_as_codecs(
    small: Small, photos: Path, tmp_path: Path, capsys: Any
) -> None:
    words = [f"runs={{mixed:{small.base}}}", "data=folder", f"data.root={photos}", "logger=none"]
    words += ["anchors=[jpeg]", "anchor_settings={jpeg:[50]}", "qualities=0.5"]
    words += [f"out={tmp_path / 'out'}", f"cache={tmp_path / 'cache'}", "workers=1"]
    words += ["viewer.images=1", "looks=[0,0.5,1]", f"look_from=[{small.look}]"]
    assert compare_entry.main(words) == 0
    report = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    for label in ("mixed", "mixed, look 0.5", "mixed, look 1"):
        assert f'"{label}"' in report or f">{label}<" in report
    assert {path.stem for path in (tmp_path / "out" / "curves").iterdir()} >= {
        *("mixed", "mixed-look-0-5", "mixed-look-1")
    }


def test_codecs_without_a_look_are_there_as_they_are(small: Small) -> None:
    models = load_models({"ours": small.base, "other": small.trained})
    assert at_looks(models, [0]) == models
    assert at_looks(models, 0) == models
    found = at_looks(models, [1, 0], [small.look])
    assert [model.curve for model in found] == ["ours, look 1", "ours", "other"]
    assert len({model.key for model in found}) == 3


@pytest.mark.parametrize(
    ("looks", "given", "message"),
    [
        ([], [], r"looks=\[\] measures nothing"),
        ([0, 2], [], "look must be a number in 0 … 1"),
        ("most", [], "look must be a number in 0 … 1"),
        ([0, 1], [], "ours has no look, so that looks="),
        ([1], ["{look}"], "other has no look, so that looks="),
        ([0], ["{look}"], r"shows nothing at looks=\[0\]"),
    ],
)
def test_looks_that_cannot_be_measured(
    small: Small, looks: Any, given: list[str], message: str
) -> None:
    models = load_models({"ours": small.base, "other": small.trained})
    files = [word.format(look=small.look) for word in given]
    with pytest.raises(ConfigError, match=message):
        at_looks(models, looks, files)


def test_a_look_for_none_of_the_codecs(small: Small) -> None:
    message = r"a\.safetensors: a look for model \w{8}, which is none of these: run \(\w{8}\)"
    with pytest.raises(CheckpointError, match=message):
        at_looks(load_models([small.trained]), [0, 1], [small.look])
