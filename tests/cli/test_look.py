"""``tng look`` makes a look, ``tng decompress --look`` shows it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from small_look import Small, small_look
from support import photo

import tngexp

Tool = Callable[..., Any]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Small:
    return small_look(tmp_path_factory.mktemp("look"))


@pytest.fixture
def coded(small: Small, tmp_path: Path) -> Path:
    folder = tmp_path / "coded"
    folder.mkdir()
    codec = tngexp.load(small.base)
    for name, size in (("a", (40, 30)), ("b", (30, 40))):
        (folder / f"{name}.tng").write_bytes(codec.compress(photo(*size)))
    return folder


def picture(path: Path) -> Any:
    with Image.open(path) as image:
        return np.asarray(image)


@pytest.mark.parametrize("look", [0, 0.5, 1])
def test_a_file_is_shown_at_a_look(
    tng: Tool, small: Small, coded: Path, tmp_path: Path, look: float
) -> None:
    words = ("decompress", coded / "a.tng", "-o", tmp_path / "a.png", "--model", small.base)
    given = ("--look", look, "--look-from", small.look) if look else ("--look", "0")
    assert tng(*words, *given).code == 0
    codec = tngexp.load(small.base, look=small.look)
    expected = np.asarray(codec.decompress((coded / "a.tng").read_bytes(), look=look))
    assert np.array_equal(picture(tmp_path / "a.png"), expected)


def test_a_folder_is_shown_at_a_look_and_done_once(
    tng: Tool, small: Small, coded: Path, tmp_path: Path
) -> None:
    words = ("decompress", coded, "-o", tmp_path / "out", "--model", small.base)
    look = ("--look", "1", "--look-from", small.look)
    assert tng(*words, *look).code == 0
    assert sorted(os.listdir(tmp_path / "out")) == ["a.png", "b.png"]
    assert "2 skipped" in tng(*words, *look).err
    # Known by its content, not by its path.
    moved = tmp_path / "moved.safetensors"
    moved.write_bytes(small.look.read_bytes())
    assert "2 skipped" in tng(*words, "--look", "1", "--look-from", moved).err
    for other in ((), ("--look", "0.9", "--look-from", moved)):
        result = tng(*words, *other)
        assert result.code == 2
        assert "exists and is another result" in result.err


def test_another_look_of_the_same_name_is_another_result(
    tng: Tool, small: Small, coded: Path, tmp_path: Path
) -> None:
    look = tmp_path / "a.safetensors"
    look.write_bytes(small.look.read_bytes())
    words = ("decompress", coded, "-o", tmp_path / "out", "--model", small.base)
    words = (*words, "--look", "1", "--look-from", look)
    assert tng(*words).code == 0
    tngexp.io.save_look(small.base, look, of=small.base)
    result = tng(*words)
    assert (result.code, "2 failed" in result.err) == (2, True)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--look", "1.5"], "must be a number from 0 to 1, not 1.5"),
        (["--look", "-1"], "must be a number from 0 to 1, not -1"),
        (["--look", "nan"], "must be a number from 0 to 1, not nan"),
        (["--look", "nice"], "must be a number from 0 to 1, not nice"),
        (["--look", "1"], "this codec has no look but its own, 0. Name a look's file"),
        (["--look", "1", "--model", "{trained}"], "the file was coded with model"),
        (["--look-from", "{look}"], "--look-from is not used at look 0: add --look 1"),
        (["--look", "1", "--look-from", ""], "--look-from is an empty name"),
        (["--look", "1", "--look-from", "none"], "none: no readable look (No such file"),
        (["--look", "1", "--look-from", "{base}"], "not a look; it is damaged, incomplete"),
        (["--look", "1", "--look-from", "{bad}"], "the look is damaged"),
        (["--look", "1", "--look-from", "{look}", "--model", "tng-mixed"], "a look for model"),
        (["--model", "{look}"], "a look, which goes with a codec and is none"),
    ],
)
def test_what_cannot_be_shown_is_one_message(
    words: list[str], message: str, tng: Tool, small: Small, coded: Path, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(small.look.read_bytes()[:-1])
    places = {"look": small.look, "base": small.base, "trained": small.trained, "bad": bad}
    given = [word.format(**places) for word in words]
    if "--model" not in given:
        given += ["--model", str(small.base)]
    result = tng("decompress", coded / "a.tng", "-o", tmp_path / "a.png", *given)
    assert result.code == 2
    assert message in result.err
    assert result.err.count("error:") == 1
    assert not (tmp_path / "a.png").exists()


def test_a_model_without_a_look_is_told_once_for_many_files(
    tng: Tool, small: Small, coded: Path, tmp_path: Path
) -> None:
    words = ("decompress", coded, "-o", tmp_path / "out", "--model", small.trained)
    result = tng(*words, "--look", "1")
    assert (result.code, result.err.count("no look but its own")) == (2, 1)
    assert "failed" not in result.err


def test_a_look_is_made_of_a_training(tng: Tool, small: Small, tmp_path: Path) -> None:
    target = tmp_path / "new" / "look.safetensors"
    words = ("look", small.trained, "-o", target)
    assert tng("look", "--help").code == 0
    result = tng(*words)
    assert (result.code, "--of CODEC" in result.err) == (2, True)
    assert not target.parent.exists()
    result = tng(*words, "--of", small.base)
    assert result.code == 0
    assert result.err == (
        f"{target}: a look for {small.base} ({tngexp.load(small.base).fingerprint().hex()}), "
        f"{target.stat().st_size} bytes\n"
    )
    assert target.read_bytes() == small.look.read_bytes()
    result = tng(*words, "--of", small.base)
    assert (result.code, "exists; --force overwrites it" in result.err) == (2, True)
    assert tng(*words, "--of", small.base, "--force").code == 0
    result = tng("look", small.trained, "-o", tmp_path / "b.safetensors", "--of", "tng-mixed")
    assert (result.code, "no look for tng-mixed" in result.err) == (2, True)
    assert sorted(os.listdir(tmp_path)) == ["new"]


def test_a_look_does_not_replace_what_it_is_made_of(
    tng: Tool, small: Small, tmp_path: Path
) -> None:
    base = tmp_path / "base.safetensors"
    base.write_bytes(small.base.read_bytes())
    before = base.read_bytes()
    for words in ((small.trained, "--of", base), (base, "--of", small.base)):
        result = tng("look", *words, "-o", base, "--force")
        assert result.err == f"error: {base} would replace {base} itself; give another with -o\n"
        assert result.code == 2
    assert base.read_bytes() == before
