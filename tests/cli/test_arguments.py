"""What a command line means: unset variables, and outputs given where other tools have them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from support import photo

import tngexp

Tool = Callable[..., Any]


@pytest.fixture
def here(model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a photo to work in, and a default model that is quickly loaded."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TNGEXP_MODEL", model)
    photo(9, 9).save("in.png")
    return tmp_path


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


@pytest.mark.parametrize(
    "words",
    [
        ("compress", ""),
        ("compress", "in.png", ""),
        ("compress", "in.png", "-o", ""),
        ("compress", "in.png", "--model", ""),
        ("decompress", ""),
        ("decompress", "in.tng", "--model", ""),
        ("info", ""),
        ("compress", "/"),
        ("decompress", "//"),
        ("info", os.sep),
    ],
)
def test_an_unset_variable_is_no_folder(tng: Tool, here: Path, words: tuple[str, ...]) -> None:
    result = tng(*words)
    assert result.code == 2
    assert "variable of the shell" in result.err
    assert result.err.count("\n") == 1
    assert names(here) == ["in.png"]


def test_the_current_folder_has_a_name(tng: Tool, here: Path) -> None:
    assert tng("compress", ".").code == 0
    assert names(here) == ["in.png", "in.tng"]


def test_a_last_name_that_can_only_be_the_output_is_it(tng: Tool, here: Path) -> None:
    assert tng("compress", "in.png", "small.tng").code == 0
    assert names(here) == ["in.png", "small.tng"]
    assert tng("decompress", "small.tng", "back.tif").code == 0
    assert names(here) == ["back.tif", "in.png", "small.tng"]
    with Image.open("back.tif") as image:
        assert (image.format, image.size) == ("TIFF", (9, 9))
    assert tng("compress", "in.png", "new/folder/x.TNG").code == 0
    assert Path("new/folder/x.TNG").is_file()


def test_a_dash_after_a_file_is_standard_output(
    here: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    from tngexp.cli.main import main

    with Image.open("in.png") as image:
        expected = tngexp.load(os.environ["TNGEXP_MODEL"]).compress(image)
    capfdbinary.readouterr()
    assert main(["compress", "in.png", "-"]) == 0
    assert capfdbinary.readouterr().out == expected
    assert names(here) == ["in.png"]


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (("compress", "in.png", "old.tng"), "tng compress in.png -o old.tng --force"),
        (("decompress", "old.tng", "in.png"), "tng decompress old.tng -o in.png --force"),
        (("compress", "in.png", "in.png", "all.tng"), "tng compress in.png in.png -o all"),
        (("compress", "photos", "all.tng"), "tng compress photos -o all"),
        (("compress", "in.png", "coded/"), "tng compress in.png -o coded/"),
        (("compress", "a b.png", "in.png", "out"), "tng compress 'a b.png' in.png -o out"),
        (("decompress", "old.tng", "old.tng", "x.png"), "-o x"),
        (("compress", *["in.png"] * 9, "out"), "tng compress in.png in.png in.png … -o out"),
    ],
)
def test_what_looks_like_an_output_stops_before_anything_is_coded(
    tng: Tool, here: Path, words: tuple[str, ...], meant: str
) -> None:
    (here / "photos").mkdir()
    photo(9, 9).save("photos/a.png")
    Path("old.tng").write_bytes(b"old")
    before = names(here), names(here / "photos")
    result = tng(*words)
    assert result.code == 2
    assert meant in result.err
    assert (names(here), names(here / "photos")) == before
    assert Path("old.tng").read_bytes() == b"old"


def test_a_format_that_is_not_written_is_named(tng: Tool, here: Path) -> None:
    assert tng("compress", "in.png").code == 0
    result = tng("decompress", "in.tng", "x.jpg")
    assert (result.code, "written as png or tiff" in result.err) == (2, True)
    assert names(here) == ["in.png", "in.tng"]


def test_missing_photos_among_others_stop_nothing(tng: Tool, here: Path) -> None:
    result = tng("compress", "in.png", "missing.png")
    assert result.code == 2
    assert "error: missing.png: no such file" in result.err
    assert names(here) == ["in.png", "in.tng"]


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_names_of_shipped_models_win(
    here: Path, model: str, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    from tngexp import pillow
    from tngexp.evaluation import find_checkpoints
    from tngexp.io import locate

    name = "tng-mixed"
    if kind == "folder":
        Path(name).mkdir()
    else:
        Path(name).write_bytes(Path(model).read_bytes())
    shipped = tngexp.zoo.path(name)
    assert locate(name) == shipped
    assert find_checkpoints(name) == [shipped]
    assert locate(f"./{name}") == Path(name)
    assert locate(Path(name)) == Path(name)
    chosen = []
    monkeypatch.setattr(pillow, "_load", lambda path, changed: chosen.append(path))
    pillow._codec(name)
    assert chosen == [shipped]
