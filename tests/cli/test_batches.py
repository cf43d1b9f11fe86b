"""Many files: what counts as done, who gets a name, and what of a folder is taken in."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from support import photo

import tngexp

Tool = Callable[..., Any]


@pytest.fixture
def coded(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The sizes of the images that were really coded."""
    from tngexp.bitstream import ImageCodec

    sizes: list[tuple[int, int]] = []
    compress = ImageCodec.compress

    def spy(codec: ImageCodec, image: Any, *words: Any, **options: Any) -> bytes:
        data = compress(codec, image, *words, **options)
        file = tngexp.coding.read(data)
        sizes.append((file.width, file.height))
        return data

    monkeypatch.setattr(ImageCodec, "compress", spy)
    return sizes


@pytest.fixture
def album(tmp_path: Path) -> Path:
    folder = tmp_path / "album"
    for name, size in {"a.png": (9, 8), "b/c.bmp": (8, 9)}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        photo(*size).save(folder / name)
    return folder


def test_the_same_command_again_does_nothing(
    tng: Tool, model: str, album: Path, tmp_path: Path, coded: list[tuple[int, int]]
) -> None:
    words = ("compress", album, "-o", tmp_path / "out", "--model", model)
    assert tng(*words).code == 0
    for _ in range(2):
        again = tng(*words)
        assert (again.code, again.err) == (
            0,
            "0 files compressed, 2 skipped, whose outputs are up to date\n",
        )
    assert len(coded) == 2
    back = ("decompress", tmp_path / "out", "-o", tmp_path / "back", "--model", model)
    assert [tng(*back).code for _ in range(2)] == [0, 0]
    assert "2 skipped" in tng(*back).err


def test_without_notes_results_are_compared_by_doing_the_work_again(
    tng: Tool,
    model: str,
    album: Path,
    tmp_path: Path,
    coded: list[tuple[int, int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = ("compress", album, "-o", tmp_path / "out", "--model", model)
    assert tng(*words).code == 0
    (tmp_path / "file").touch()
    monkeypatch.setenv("TNGEXP_CACHE", str(tmp_path / "file" / "no folder"))
    assert "2 skipped" in tng(*words).err
    assert len(coded) == 4


@pytest.mark.parametrize("change", ["photo", "model", "quality", "target", "result"])
def test_another_photo_model_or_setting_is_another_result(
    tng: Tool, models: dict[str, Path], album: Path, tmp_path: Path, change: str
) -> None:
    def run(*options: Any, model: str = "variable") -> Any:
        return tng("compress", album, "-o", tmp_path / "out", "--model", models[model], *options)

    assert run().code == 0
    result = tmp_path / "out" / "b" / "c.tng"
    before = result.read_bytes()
    match change:
        case "photo":  # of the same size, and as old
            status = (album / "b" / "c.bmp").stat()
            photo(8, 9).rotate(180).save(album / "b" / "c.bmp")
            os.utime(album / "b" / "c.bmp", ns=(status.st_atime_ns, status.st_mtime_ns))
            again = run
        case "model":
            again = lambda *words: run(*words, model="other")  # noqa: E731
        case "quality":
            again = lambda *words: run("--quality", "0.9", *words)  # noqa: E731
        case "target":
            again = lambda *words: run("--target-psnr", "0.1", *words)  # noqa: E731
        case _:
            before = before[:-1] + b"!"
            result.write_bytes(before)
            again = run
    refused = again()
    assert refused.code == 2
    assert f"{result} exists and is another result" in refused.err
    assert "--force" in refused.err
    assert "Traceback" not in refused.err
    assert result.read_bytes() == before
    assert again("--force").code == 0
    assert result.read_bytes() != before
    assert "2 skipped" in again().err


def test_a_second_folder_of_the_same_names_is_not_taken_for_done(
    tng: Tool, model: str, tmp_path: Path
) -> None:
    for folder, size in {"one": (9, 9), "two": (10, 7)}.items():
        (tmp_path / folder).mkdir()
        photo(*size).save(tmp_path / folder / "p.png")
    photo(7, 7).save(tmp_path / "two" / "q.png")
    out = tmp_path / "out"
    assert tng("compress", tmp_path / "one", "-o", out, "--model", model).code == 0
    first = (out / "p.tng").read_bytes()
    second = tng("compress", tmp_path / "two", "-o", out, "--model", model)
    assert second.code == 2
    assert f"error: {tmp_path / 'two' / 'p.png'}: {out / 'p.tng'} exists" in second.err
    assert "1 file compressed, 1 failed" in second.err  # the other one is
    assert (out / "p.tng").read_bytes() == first


def test_decompressed_pictures_are_not_taken_for_originals(
    tng: Tool, model: str, tmp_path: Path
) -> None:
    for name in ("a.png", "b.png"):
        photo(12, 9).save(tmp_path / name)
    original = (tmp_path / "a.png").read_bytes()
    assert tng("compress", tmp_path, "--model", model).code == 0
    (tmp_path / "b.png").unlink()
    result = tng("decompress", tmp_path, "--model", model)
    assert result.code == 2
    assert "1 file decompressed, 1 failed" in result.err
    assert (tmp_path / "a.png").read_bytes() == original


def test_of_two_inputs_with_one_output_the_first_that_can_be_coded_gets_it(
    tng: Tool, model: str, tmp_path: Path
) -> None:
    for name, size in {"t.jpg": (10, 10), "t.png": (11, 11), "t.webp": (12, 12)}.items():
        photo(*size).save(tmp_path / name)
    (tmp_path / "t.jpg").write_bytes((tmp_path / "t.jpg").read_bytes()[:50])
    for _ in range(2):
        result = tng("compress", tmp_path, "--model", model)
        assert result.code == 2
        assert f"error: {tmp_path / 't.jpg'}: " in result.err
        assert f"error: {tmp_path / 't.webp'}: {tmp_path / 't.tng'} is the output of" in result.err
        assert "2 failed" in result.err
        assert tngexp.coding.read((tmp_path / "t.tng").read_bytes()).width == 11
    # Repaired, the first finds the name taken.
    photo(10, 10).save(tmp_path / "t.jpg")
    result = tng("compress", tmp_path, "--model", model)
    assert result.code == 2
    assert f"error: {tmp_path / 't.jpg'}: {tmp_path / 't.tng'} exists and is another" in result.err
    assert tngexp.coding.read((tmp_path / "t.tng").read_bytes()).width == 11


def test_two_folders_into_one_do_not_replace_each_other(
    tng: Tool, model: str, tmp_path: Path
) -> None:
    for folder, size in {"one": (9, 9), "two": (10, 7)}.items():
        (tmp_path / folder).mkdir()
        photo(*size).save(tmp_path / folder / "p.png")
    words = ("compress", tmp_path / "one", tmp_path / "two", "-o", tmp_path / "out")
    result = tng(*words, "--model", model, "--force")
    assert result.code == 2
    assert "is the output of" in result.err
    assert tngexp.coding.read((tmp_path / "out" / "p.tng").read_bytes()).width == 9


def test_a_file_that_is_named_twice_is_coded_once(
    tng: Tool, model: str, album: Path, tmp_path: Path
) -> None:
    words = (album, album / "a.png", album / "b" / ".." / "a.png", "-o", tmp_path / "out")
    result = tng("compress", *words, "--model", model)
    assert (result.code, result.err) == (0, "2 files compressed\n")


def _below(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*.tng"))


def test_links_to_folders_are_followed_once(
    tng: Tool, model: str, album: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other disk"
    (other / "deep").mkdir(parents=True)
    photo(7, 6).save(other / "deep" / "d.png")
    try:
        (album / "a link").symlink_to(other, target_is_directory=True)
        (album / "b" / "loop").symlink_to(album, target_is_directory=True)
        (album / "another").symlink_to(album / "b", target_is_directory=True)
        (other / "deep" / "back").symlink_to(other, target_is_directory=True)
    except OSError:
        pytest.skip("links are not allowed here")
    result = tng("compress", album, "-o", tmp_path / "out", "--model", model)
    assert (result.code, result.err) == (0, "3 files compressed\n")
    # Under its real name where it has one in the folder, though a link comes before it.
    assert _below(tmp_path / "out") == ["a link/deep/d.tng", "a.tng", "b/c.tng"]
    (album / "up").symlink_to(tmp_path, target_is_directory=True)
    result = tng("compress", album, "-o", tmp_path / "out", "--model", model)
    assert result.code == 2
    assert f"error: {album / 'up'}: a link to a folder around" in result.err


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_what_is_no_file_is_an_error_and_never_waited_for(
    tng: Tool, model: str, album: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(album / "pipe.png")
    os.mkfifo(album / "pipe.tng")
    (album / "gone.png").symlink_to(album / "nowhere")
    (album / "zero.png").symlink_to("/dev/zero")
    monkeypatch.chdir(album)  # the path of a socket is short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.png")
    result = tng("compress", album, "-o", tmp_path / "out", "--model", model)
    assert result.code == 2
    for name, what in {
        "pipe.png": "a pipe",
        "gone.png": "a broken link",
        "zero.png": "a device",
        "socket.png": "a socket",
    }.items():
        assert f"error: {album / name}: {what}, not a file" in result.err
    assert "2 files compressed, 4 failed" in result.err
    assert _below(tmp_path / "out") == ["a.tng", "b/c.tng"]
    for command in ("decompress", "info"):
        result = tng(command, album)
        assert result.code == 2
        assert "pipe.tng: a pipe" in result.err
    # Named one by one.
    words = ("compress", album / "pipe.png", album / "a.png", "-o", tmp_path / "more")
    result = tng(*words, "--model", model)
    assert "pipe.png: a pipe, not a file; give it alone" in result.err
    assert _below(tmp_path / "more") == ["a.tng"]
    assert "a device" in tng("compress", "/dev/zero", "-o", tmp_path / "z.tng").err


def test_folders_that_cannot_be_read_are_errors(
    tng: Tool, model: str, album: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scandir = os.scandir

    def forbidding(folder: Any) -> Any:  # whoever runs the tests may be allowed everything
        if Path(folder).name == "b":
            raise PermissionError(13, "Permission denied", str(folder))
        return scandir(folder)

    monkeypatch.setattr("os.scandir", forbidding)
    result = tng("compress", album, "-o", tmp_path / "out", "--model", model)
    assert result.code == 2
    assert f"error: {album / 'b'}: permission denied" in result.err
    assert "1 file compressed, 1 failed" in result.err
    result = tng("compress", album / "b", "-o", tmp_path / "out", "--model", model)
    assert (result.code, "permission denied" in result.err) == (2, True)


def test_pictures_in_memory_are_what_is_in_the_files(
    tng: Tool, model: str, album: Path, tmp_path: Path
) -> None:
    assert tng("compress", album, "-o", tmp_path / "out", "--model", model).code == 0
    with Image.open(album / "a.png") as image:
        assert (tmp_path / "out" / "a.tng").read_bytes() == tngexp.load(model).compress(image)
