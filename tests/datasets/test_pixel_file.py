"""The file of data=tensor, and packing it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from tngexp.datasets.images import DataError, DataWarning, FilePhoto, decode
from tngexp.datasets.pack import main, pack_pixels
from tngexp.datasets.tensor.file import read_pixels

Writer = Callable[..., Path]


def test_it_holds_the_pixels_of_the_folder(write_photos: Writer, tmp_path: Path) -> None:
    root = write_photos(4)
    Image.new("LA", (50, 44), (90, 128)).save(root / "grey ü.png")  # becomes RGB over white
    out = tmp_path / "made" / "photos.safetensors"
    file, fresh = pack_pixels(root, out, min_side=16)
    assert fresh
    assert sorted(photo.name for photo in file.photos) == sorted(p.name for p in root.iterdir())
    for photo in read_pixels(out, "x").photos:
        pixels = photo.decode()
        assert np.array_equal(pixels, decode(root / photo.name))
        assert photo.short_side == min(pixels.shape[:2])
        assert photo.digest == hashlib.sha256(pixels.tobytes()).hexdigest()
    # The library takes it for what it is: one tensor.
    content = load_file(out)
    assert content.keys() == {"pixels"}
    assert content["pixels"].dtype == torch.uint8
    assert content["pixels"].shape == (sum(p.height * p.width for p in file.photos), 3)


def test_a_second_run_is_done_and_another_one_needs_force(
    write_photos: Writer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, out = write_photos(3), tmp_path / "photos.safetensors"
    words = [str(root), str(out), "--min-side", "16"]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert said.startswith("packed: 3 images in ")
    assert f"train with data=tensor data.file={out}" in said
    before, time = out.read_bytes(), out.stat().st_mtime_ns
    assert main(words) == 0
    assert capsys.readouterr().out.startswith("already packed: 3 images")
    assert out.stat().st_mtime_ns == time
    Image.new("RGB", (20, 20)).save(root / "more.png")
    assert main(words) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: OUT=")
    assert "--force" in error
    assert error.count("\n") == 1
    assert out.read_bytes() == before
    assert main([*words, "--force"]) == 0
    (root / "more.png").unlink()
    assert main([*words, "--force"]) == 0
    assert out.read_bytes() == before  # the bytes follow from the photos
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == [out.name]


def test_an_interrupted_run_leaves_nothing(
    write_photos: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, out = write_photos(4), tmp_path / "out" / "photos.safetensors"
    original = FilePhoto.decode

    def interrupted(photo: FilePhoto) -> object:
        if photo.name == "002.png":
            raise KeyboardInterrupt
        return original(photo)

    monkeypatch.setattr(FilePhoto, "decode", interrupted)
    assert main([str(root), str(out), "--min-side", "16"]) == 130
    assert not list(out.parent.iterdir())


def test_what_cannot_be_decoded_is_left_out_with_a_warning(
    write_photos: Writer, tmp_path: Path
) -> None:
    root = write_photos(4)
    data = (root / "001.png").read_bytes()
    middle = len(data) // 2  # the header and the end look right
    (root / "001.png").write_bytes(data[:middle] + bytes(64) + data[middle + 64 :])
    Image.new("RGB", (5, 5)).save(root / "tiny.png")
    with pytest.warns(DataWarning, match=r"skipped 2 of 5 .*1 unreadable \(001\.png"):
        file, _ = pack_pixels(root, tmp_path / "a.safetensors", min_side=16)
    assert [photo.name for photo in file.photos] == ["000.png", "002.png", "003.png"]
    for name in ("000", "002", "003"):
        (root / f"{name}.png").unlink()
    with pytest.raises(DataError, match="none of the 1 images can be decoded"):
        pack_pixels(root, tmp_path / "b.safetensors", min_side=16)
    assert not (tmp_path / "b.safetensors").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--shard-size", "4"], "--shard-size is for shards"),
        (["--min-side", "0"], "--min-side must be above 0"),
        (["--min-side", "64"], "4 have a side below --min-side=64"),
    ],
)
def test_wrong_options_are_named(
    write_photos: Writer,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    message: str,
) -> None:
    out = tmp_path / "a.safetensors"
    try:
        code = main([str(write_photos(4)), str(out), *words])
    except SystemExit as stop:  # argparse
        code = int(stop.code or 0)
    assert code == 2
    assert message in capsys.readouterr().err
    assert not out.exists()


def test_a_file_that_is_none_is_one_message(write_photos: Writer, tmp_path: Path) -> None:
    out = tmp_path / "a.safetensors"
    with pytest.raises(DataError, match=r"data\.file=.*does not exist.*tngexp\.datasets\.pack"):
        read_pixels(out, "data.file")
    with pytest.raises(DataError, match="is a folder, not a file"):
        read_pixels(tmp_path, "data.file")
    pack_pixels(write_photos(3), out, min_side=16)
    data = out.read_bytes()
    out.write_bytes(data[:-1])
    with pytest.raises(DataError, match="not a whole file of pixels"):
        read_pixels(out, "data.file")
    out.write_bytes(data.replace(b"40, 41", b"40, 42"))
    with pytest.raises(DataError, match="does not fit its pixels"):
        read_pixels(out, "data.file")
    save_file({"pixels": torch.zeros(4, 3, dtype=torch.uint8)}, out)
    with pytest.raises(DataError, match="another safetensors file"):
        read_pixels(out, "data.file")
