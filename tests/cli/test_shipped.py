"""``tng models`` lists what ships, and files find the generation that wrote them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import tngexp.pillow
from tngexp import zoo
from tngexp.coding import BitstreamError

Tool = Callable[..., Any]

GOLDEN = Path(__file__).parents[1] / "bitstream" / "golden"
OLD, NEW = "tng-objective-1", "tng-objective"
ID = "352e396b"  # of OLD, as it stands in files that exist


@pytest.fixture
def coded(tmp_path: Path) -> Path:
    """A file of the first generation, written when that was called NEW."""
    path = tmp_path / "a.tng"
    path.write_bytes((GOLDEN / "tng-objective-RGB.tng").read_bytes())
    return path


def is_golden(path: Path) -> bool:
    with Image.open(path) as found, Image.open(GOLDEN / "tng-objective-RGB.png") as expected:
        difference = np.asarray(found).astype(int) - np.asarray(expected)
    return bool(np.abs(difference).max() <= 1)


def test_every_model_has_a_line(tng: Tool) -> None:
    result = tng("models")
    assert (result.code, result.err) == (0, "")
    lines = {line.split()[0]: line for line in result.out.splitlines() if line.startswith(" ")}
    assert [*lines] == [*zoo.MODELS, *zoo.EARLIER, *zoo.NETWORKS]
    for name in (*zoo.MODELS, *zoo.EARLIER):
        codec = zoo.codec(name)
        assert f"id {codec.fingerprint}  model={codec.preset} " in lines[name]
        assert f" for {codec.trained_for}" in lines[name]
    marked = [name for name, line in lines.items() if line.endswith("the default")]
    assert marked == [zoo.DEFAULT, zoo.DEFAULT_NETWORK]
    looks = [name for name, line in lines.items() if line.endswith("look: tng decompress --look 1")]
    assert looks == [*zoo.LOOKS] == ["tng-mixed"]
    assert lines[OLD].endswith(f"an earlier {NEW}")
    before, _, after = result.out.partition("earlier ones, kept for the files they wrote\n")
    assert OLD not in before
    assert after.startswith(f"  {OLD} ")


def test_a_missing_file_is_said(tng: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zoo, "__file__", str(tmp_path / "__init__.py"))
    result = tng("models")
    assert result.code == 0
    assert result.out.count("missing: install tngexp again") == result.out.count("\n") - 3


@pytest.mark.parametrize("given", [None, NEW, OLD])
def test_a_file_of_an_earlier_generation_comes_back(
    tng: Tool, coded: Path, given: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a name, by the name it was written under, and by the one that its codec has now."""
    words = [] if given is None else ["--model", given]
    assert tng("decompress", coded, *words).code == 0
    assert is_golden(coded.with_suffix(".png"))
    if given is not None:
        monkeypatch.setenv("TNGEXP_MODEL", given)
        assert tng("decompress", coded, "--force").code == 0
    with Image.open(coded) as image:
        image.save(coded.with_name("b.png"))
    assert is_golden(coded.with_name("b.png"))


def test_files_of_two_generations_in_one_batch(tng: Tool, coded: Path, tmp_path: Path) -> None:
    with Image.open(GOLDEN / "tng-objective-RGB.png") as image:
        data = tngexp.load(NEW).compress(image)
        expected = np.asarray(tngexp.load(NEW).decompress(data))
    (tmp_path / "b.tng").write_bytes(data)
    assert tng("decompress", tmp_path, "-o", tmp_path / "out", "--model", NEW).code == 0
    assert is_golden(tmp_path / "out" / "a.png")
    with Image.open(tmp_path / "out" / "b.png") as image:
        assert np.array_equal(np.asarray(image), expected)


def test_another_codec_says_which_one_to_take(tng: Tool, coded: Path) -> None:
    result = tng("decompress", coded, "--model", "tng-mixed")
    assert result.code == 2
    mixed = zoo.codec("tng-mixed").fingerprint
    assert f"was coded with model {ID} ({OLD}), this is model {mixed} (tng-mixed); give {OLD}" in (
        result.err
    )
    # In Python a codec is one codec, whatever it was called when it was loaded.
    with pytest.raises(BitstreamError, match=rf"{ID} \({OLD}\), .*; give {OLD}$"):
        tngexp.load(NEW).decompress(coded.read_bytes())
    assert not coded.with_suffix(".png").exists()


def test_a_damaged_file_is_one_message(tng: Tool, coded: Path) -> None:
    coded.write_bytes(coded.read_bytes()[:40])
    result = tng("decompress", coded, "--model", NEW)
    assert (result.code, result.err.count("\n")) == (2, 1)


def test_info_names_the_generation(tng: Tool, coded: Path) -> None:
    assert f"  model     {ID} ({OLD}, an earlier {NEW})\n" in tng("info", coded).out
