"""Images of all kinds through the tool: what comes back, and what is said of the rest."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from image_files import png
from PIL import Image
from support import as_mode, other_profile, photo

import tngexp
import tngexp.compress
import tngexp.decompress
from tngexp.coding import read

Tool = Callable[..., Any]
ORIENTATION = 0x0112


@pytest.mark.parametrize(
    ("mode", "size"),
    [
        ("RGB", (77, 53)),
        ("RGB", (1, 1)),
        ("RGB", (1, 70)),
        ("L", (65, 3)),
        ("LA", (37, 23)),
        ("RGBA", (37, 23)),
    ],
)
def test_files_round_trip_as_the_codec_says(
    tng: Tool, model: str, tmp_path: Path, mode: str, size: tuple[int, int]
) -> None:
    original, coded, back = tmp_path / "a.png", tmp_path / "a.tng", tmp_path / "back.png"
    as_mode(mode, *size).save(original)
    assert tng("compress", original, "--model", model).code == 0
    assert tng("decompress", coded, "-o", back, "--model", model).code == 0
    codec = tngexp.load(model)
    with Image.open(original) as image, Image.open(back) as result:
        assert coded.read_bytes() == codec.compress(image)
        assert (result.mode, result.size) == (mode, size)
        expected = codec.decompress(coded.read_bytes())
        assert np.array_equal(np.asarray(result), np.asarray(expected))
        if mode.endswith("A"):
            assert np.array_equal(image.getchannel("A"), result.getchannel("A"))


@pytest.mark.parametrize("kind", ["png", "tiff"])
def test_profile_and_orientation_survive(tng: Tool, model: str, tmp_path: Path, kind: str) -> None:
    profile = other_profile()
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    photo(40, 24).save(tmp_path / "a.jpg", icc_profile=profile, exif=exif)
    assert tng("compress", tmp_path / "a.jpg", "--model", model).code == 0
    words = ("decompress", tmp_path / "a.tng", "--model", model, "--format", kind)
    assert tng(*words).code == 0
    with Image.open(tmp_path / ("a.png" if kind == "png" else "a.tif")) as result:
        assert result.info["icc_profile"] == profile
        if kind == "png":
            assert result.size == (40, 24)
            assert result.getexif()[ORIENTATION] == 6
        else:  # Pillow turns a TIFF upright while loading it
            result.load()
            assert result.size == (24, 40)


def test_a_damaged_exif_block_is_left_out(tng: Tool, model: str, tmp_path: Path) -> None:
    for name in ("a.png", "b.jpg"):
        photo(9, 9).save(tmp_path / name, exif=b"Exif\0\0garbage")
    assert tng("compress", tmp_path, "--model", model).code == 0
    assert read((tmp_path / "b.tng").read_bytes()).orientation is None


def test_what_is_left_out_is_said(tng: Tool, model: str, tmp_path: Path) -> None:
    frames = [Image.new("RGB", (9, 9), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "a.webp", save_all=True, append_images=frames[1:])
    photo(9, 9).save(tmp_path / "b.png", icc_profile=b"garbage")
    result = tng("compress", tmp_path, "--model", model)
    assert result.code == 0
    assert f"warning: {tmp_path / 'a.webp'}: the file holds 2 images" in result.err
    assert f"warning: {tmp_path / 'b.png'}: the colour profile is damaged" in result.err


def test_images_without_a_white_are_no_files(tng: Tool, model: str, tmp_path: Path) -> None:
    path = tmp_path / "depth.tif"
    Image.new("F", (9, 9), 0.5).save(path)
    result = tng("compress", path, "--model", model)
    assert result.code == 2
    assert result.err.startswith(f"error: {path}: 32-bit float pixels")
    assert "8 or 16 unsigned bits" in result.err
    assert os.listdir(tmp_path) == ["depth.tif"]


def test_hidden_colours_are_kept_on_request(tng: Tool, model: str, tmp_path: Path) -> None:
    image = photo(40, 24)
    image.putalpha(Image.linear_gradient("L").resize(image.size).point(lambda v: v & 128))
    image.save(tmp_path / "a.png")
    codec = tngexp.load(model)
    for words in ((), ("--exact",)):
        assert tng("compress", tmp_path / "a.png", "--model", model, "--force", *words).code == 0
        expected = codec.compress(image, exact=bool(words))
        assert (tmp_path / "a.tng").read_bytes() == expected


def test_a_wide_gamut_mark_goes_there_and_back(tng: Tool, model: str, tmp_path: Path) -> None:
    data = png((9, 4), 8, 2, photo(9, 4).tobytes(), (b"cICP", bytes([9, 16, 0, 1])))
    (tmp_path / "a.png").write_bytes(data)
    assert tng("compress", tmp_path / "a.png", "--model", model).code == 0
    coded = tmp_path / "a.tng"
    assert "CICP 9/16/0/1" in tng("info", coded).out
    back = tng("decompress", coded, "-o", tmp_path / "b.png", "--model", model)
    assert (back.code, "warning" in back.err) == (0, False)
    assert b"cICP" + bytes([9, 16, 0, 1]) in (tmp_path / "b.png").read_bytes()
    back = tng("decompress", coded, "-o", tmp_path / "b.tif", "--model", model)
    assert back.code == 0
    assert f"warning: {coded}: TIFF has no place" in back.err
