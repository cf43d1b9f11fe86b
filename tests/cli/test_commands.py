"""Files through the tool: what the codec's own methods give, under the right names."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support import as_mode, photo

import tngexp
import tngexp.compress
import tngexp.decompress
from tngexp.coding import read

Tool = Callable[..., Any]
ORIENTATION = 0x0112


def test_quality_sets_the_rate_of_a_variable_model(
    tng: Tool, models: dict[str, Path], tmp_path: Path
) -> None:
    photo(48, 48).save(tmp_path / "a.png")
    words = ("compress", tmp_path / "a.png", "--model", models["variable"])
    qualities = []
    for option in ([], ["--quality", "0"], ["--quality", "1"]):
        assert tng(*words, *option, "--force").code == 0
        qualities.append(read((tmp_path / "a.tng").read_bytes()).quality)
    assert qualities == [128, 0, 255]
    assert "0 to 1" in tng(*words, "--quality", "75").err
    assert "0 to 1" in tng(*words, "--quality", "nan").err


def test_quality_is_refused_by_a_fixed_rate_model(tng: Tool, model: str, tmp_path: Path) -> None:
    photo(8, 8).save(tmp_path / "a.png")
    result = tng("compress", tmp_path / "a.png", "--model", model, "--quality", "0.5")
    assert result.code == 2
    assert "variable-rate" in result.err


def test_folders_keep_their_tree(tng: Tool, model: str, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    (photos / "deep" / "er").mkdir(parents=True)
    (photos / ".hidden").mkdir()
    for name in ("b.png", "deep/a.jpg", "deep/er/c.d.png", ".hidden/x.png", "deep/.y.png"):
        photo(20, 10).save(photos / name)
    (photos / "notes.txt").write_text("no image")
    result = tng("compress", photos, "-o", tmp_path / "coded", "--model", model)
    assert (result.code, result.err) == (0, "3 files compressed\n")
    coded = sorted(
        str(p.relative_to(tmp_path / "coded")) for p in (tmp_path / "coded").rglob("*.*")
    )
    assert coded == ["b.tng", "deep/a.tng", "deep/er/c.d.tng"]
    result = tng("decompress", tmp_path / "coded", "--model", model)
    assert result.code == 0
    assert (tmp_path / "coded" / "deep" / "er" / "c.d.png").is_file()


def test_several_files_into_a_folder(tng: Tool, model: str, tmp_path: Path) -> None:
    for name in "ab":
        photo(9, 9).save(tmp_path / f"{name}.png")
    words = (tmp_path / "a.png", tmp_path / "b.png", "--model", model)
    assert tng("compress", *words, "-o", tmp_path / "new" / "out").code == 0
    names = {p.name for p in (tmp_path / "new" / "out").iterdir()}
    assert names == {"a.tng", "b.tng"}
    assert "folder" in tng("compress", *words, "-o", "-").err
    assert "is a file" in tng("compress", *words, "-o", tmp_path / "a.png").err


def test_two_inputs_never_share_an_output(tng: Tool, model: str, tmp_path: Path) -> None:
    for name in ("a.jpg", "a.png"):
        photo(9, 9).save(tmp_path / name)
    for _ in range(2):  # the second time a.tng exists
        result = tng("compress", tmp_path, "--model", model)
        assert result.code == 2
        assert "a.png" in result.err
        assert "1 failed" in result.err


def test_an_output_folder_for_one_file(tng: Tool, model: str, tmp_path: Path) -> None:
    photo(9, 9).save(tmp_path / "a.png")
    (tmp_path / "there").mkdir()
    for folder in (str(tmp_path / "there"), f"{tmp_path}/new/"):
        assert tng("compress", tmp_path / "a.png", "-o", folder, "--model", model).code == 0
        assert (Path(folder) / "a.tng").is_file()


def test_existing_outputs_stay(tng: Tool, model: str, tmp_path: Path) -> None:
    photo(9, 9).save(tmp_path / "a.png")
    photo(8, 8).save(tmp_path / "b.png")
    (tmp_path / "a.tng").write_bytes(b"precious")
    single = tng("compress", tmp_path / "a.png", "--model", model)
    assert single.code == 2
    assert single.err.startswith("error: ")
    assert "--force" in single.err
    batch = tng("compress", tmp_path, "--model", model)
    assert batch.code == 2
    assert f"error: {tmp_path / 'a.png'}: {tmp_path / 'a.tng'} exists and is another" in batch.err
    assert "1 file compressed, 1 failed" in batch.err
    assert (tmp_path / "a.tng").read_bytes() == b"precious"
    assert (tmp_path / "b.tng").is_file()
    assert tng("compress", tmp_path, "--model", model, "--force").code == 0
    assert (tmp_path / "a.tng").read_bytes() != b"precious"


def test_the_input_is_never_replaced(tng: Tool, model: str, tmp_path: Path) -> None:
    photo(9, 9).save(tmp_path / "a.png")
    before = (tmp_path / "a.png").read_bytes()
    words = ("compress", tmp_path / "a.png", "-o", tmp_path / "a.png", "--model", model)
    assert "input itself" in tng(*words, "--force").err
    assert (tmp_path / "a.png").read_bytes() == before


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_devices_are_written_through(tng: Tool, model: str, tmp_path: Path) -> None:
    photo(9, 9).save(tmp_path / "a.png")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert tng("compress", tmp_path / "a.png", "-o", pipe, "--model", model).code == 0
        assert pipe.is_fifo()
        data = os.read(reader, 1 << 16)
    finally:
        os.close(reader)
    with Image.open(tmp_path / "a.png") as image:
        assert data == tngexp.load(model).compress(image)


def test_one_bad_file_stops_no_batch(tng: Tool, model: str, tmp_path: Path) -> None:
    photo(9, 9).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes()[:60])
    (tmp_path / "c.png").write_bytes(b"")
    photo(9, 9).save(tmp_path / "d.png")
    result = tng("compress", tmp_path, "--model", model)
    assert result.code == 2
    assert f"error: {tmp_path / 'b.png'}: " in result.err
    assert f"error: {tmp_path / 'c.png'}: the file is empty" in result.err
    assert "2 files compressed, 2 failed" in result.err
    assert "Traceback" not in result.err
    assert (tmp_path / "d.tng").is_file()


@pytest.mark.parametrize("damage", ["flip", "cut", "foreign", "empty"])
def test_damaged_files_are_named(tng: Tool, model: str, tmp_path: Path, damage: str) -> None:
    data = tngexp.load(model).compress(photo(30, 20))
    damaged = {
        "flip": data[:-9] + bytes([data[-9] ^ 4]) + data[-8:],
        "cut": data[:-1],
        "foreign": b"\xff\xd8\xff\xe0JFIF",
        "empty": b"",
    }[damage]
    path = tmp_path / "a.tng"
    path.write_bytes(damaged)
    for words in (("decompress", path, "--model", model), ("info", path)):
        result = tng(*words)
        assert result.code == 2
        assert result.err.startswith(f"error: {path}: ")
        assert result.err.count("\n") == 1
    assert os.listdir(tmp_path) == ["a.tng"]


def test_another_model_is_named(
    tng: Tool, model: str, models: dict[str, Path], tmp_path: Path
) -> None:
    (tmp_path / "a.tng").write_bytes(tngexp.load(model).compress(photo(30, 20)))
    result = tng("decompress", tmp_path / "a.tng", "--model", models["other"])
    assert result.code == 2
    assert tngexp.load(model).fingerprint().hex() in result.err
    assert tngexp.load(models["other"]).fingerprint().hex() in result.err


def test_a_model_is_named_by_option_or_environment(
    tng: Tool, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo(9, 9).save(tmp_path / "a.png")
    result = tng("compress", tmp_path / "a.png", "--model", tmp_path / "none.ckpt")
    assert (result.code, "none.ckpt" in result.err) == (2, True)
    monkeypatch.setenv("TNGEXP_MODEL", str(tmp_path / "other.ckpt"))
    assert "other.ckpt" in tng("compress", tmp_path / "a.png").err
    monkeypatch.setenv("TNGEXP_MODEL", model)
    assert tng("compress", tmp_path / "a.png").code == 0
    expected = tngexp.load(model).fingerprint()
    assert read((tmp_path / "a.tng").read_bytes()).model == expected


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("compress", "missing.png"), "no such file"),
        (("compress", "."), "no .avif"),
        (("decompress", "."), "no .tng files"),
        (("info", "."), "no .tng files"),
        (("info", "missing.tng"), "no such file"),
        (("compress", "-", "a.png"), "cannot be combined"),
        (("info", "-", "a.tng"), "cannot be combined"),
        (("decompress", "a.tng", "-o", "a.jpg"), "png or tiff"),
        (("decompress", "a.tng", "-o", "a.tif", "--format", "png"), "not a name for"),
    ],
)
def test_mistakes_get_one_line(
    tng: Tool,
    model: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TNGEXP_MODEL", model)
    result = tng(*words)
    assert result.code == 2
    assert result.err.startswith("error: ")
    assert message in result.err
    assert result.err.count("\n") == 1


def test_an_unexpected_exception_is_no_traceback(
    tng: Tool, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo(9, 9).save(tmp_path / "a.png")

    def broken(*_: object, **__: object) -> bytes:
        raise RuntimeError("first line\nsecond line")

    monkeypatch.setattr("tngexp.bitstream.ImageCodec.compress", broken)
    result = tng("compress", tmp_path / "a.png", "--model", model)
    assert result.code == 2
    assert "RuntimeError: first line (TNGEXP_DEBUG=1" in result.err
    monkeypatch.setenv("TNGEXP_DEBUG", "1")
    with pytest.raises(RuntimeError, match="second"):
        tng("compress", tmp_path / "a.png", "--model", model)


def test_new_files_have_ordinary_permissions(tng: Tool, model: str, tmp_path: Path) -> None:
    photo(9, 9).save(tmp_path / "a.png")
    (tmp_path / "plain").write_bytes(b"")
    assert tng("compress", tmp_path / "a.png", "--model", model).code == 0
    assert (tmp_path / "a.tng").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_standard_input_and_output(model: str) -> None:
    image = photo(50, 30)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")

    def run(module: str, data: bytes) -> subprocess.CompletedProcess[bytes]:
        words = [sys.executable, "-m", module, "-", "--model", model]
        return subprocess.run(words, input=data, capture_output=True, check=False, timeout=120)

    codec = tngexp.load(model)
    coded = run("tngexp.compress", buffer.getvalue())
    assert (coded.returncode, coded.stdout) == (0, codec.compress(image))
    back = run("tngexp.decompress", coded.stdout)
    assert back.returncode == 0
    with Image.open(io.BytesIO(back.stdout)) as result:
        assert np.array_equal(np.asarray(result), np.asarray(codec.decompress(coded.stdout)))
    bad = run("tngexp.decompress", coded.stdout[:-3])
    assert (bad.returncode, bad.stdout) == (2, b"")
    assert bad.stderr.startswith(b"error: standard input: ")


def test_the_commands_alone_are_the_same(model: str, tmp_path: Path) -> None:
    photo(9, 9).save(tmp_path / "a.png")
    assert tngexp.compress.main([str(tmp_path / "a.png"), "--model", model]) == 0
    back = str(tmp_path / "b.png")
    assert tngexp.decompress.main([str(tmp_path / "a.tng"), "-o", back, "--model", model]) == 0
    assert Path(back).is_file()


def test_info_needs_no_model(tng: Tool, models: dict[str, Path], tmp_path: Path) -> None:
    codec = tngexp.load(models["variable"])
    data = codec.compress(as_mode("RGBA"), 0.25)
    (tmp_path / "a.tng").write_bytes(data)
    result = tng("info", tmp_path)
    assert result.code == 0
    shown = dict(line.split(maxsplit=1) for line in result.out.splitlines()[1:])
    latent, alpha = (len(stream) for stream in read(data).streams)
    assert shown == {
        "image": "37×23 RGBA",
        "size": f"{len(data)} bytes, {8 * len(data) / (37 * 23):.4f} bpp",
        "model": codec.fingerprint().hex(),
        "quality": "0.251",
        "latent": f"{latent} bytes",
        "alpha": f"{alpha} bytes",
        "header": f"{len(data) - latent - alpha} bytes",
    }


def test_help_and_version(tng: Tool) -> None:
    assert tngexp.__version__ in tng("--version").out
    for words in ((), ("compress",), ("decompress",), ("info",)):
        result = tng(*words, "--help")
        assert (result.code, "usage: tng" in result.out) == (0, True)
