"""Outputs that cannot be written are named, and nothing is coded in vain; progress is shown."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import photo

from tngexp.cli import files

Tool = Callable[..., Any]


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "in.png"
    photo(9, 9).save(path)
    return path


@pytest.fixture
def never_coded(monkeypatch: pytest.MonkeyPatch) -> None:
    def coded(*_: object, **__: object) -> bytes:
        raise AssertionError("something was coded")

    monkeypatch.setattr("tngexp.bitstream.ImageCodec.compress", coded)


@pytest.mark.usefixtures("never_coded")
@pytest.mark.parametrize("output", ["file/x.tng", "file/deep/x.tng", f"{'x' * 300}.tng"])
def test_an_output_that_cannot_be_is_named_at_once(
    tng: Tool, model: str, image: Path, tmp_path: Path, output: str
) -> None:
    (tmp_path / "file").write_bytes(b"")
    result = tng("compress", image, "-o", tmp_path / output, "--model", model)
    assert result.code == 2
    assert result.err.startswith("error: ")
    assert f"{tmp_path / output}: " in result.err
    assert "in.png" not in result.err
    assert result.err.count("\n") == 1


@pytest.mark.usefixtures("never_coded")
def test_a_folder_without_permission_is_named_at_once(
    tng: Tool, model: str, image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked = tmp_path / "locked"
    locked.mkdir()
    monkeypatch.setattr("os.access", lambda path, _: Path(path) != locked)  # root may everything
    for words in ((image, "-o", locked / "x.tng"), (image, image, "-o", locked / "new")):
        result = tng("compress", *words, "--model", model)
        assert result.code == 2
        assert f"error: cannot write {locked}" in result.err
        assert f"no permission to write in {locked}\n" in result.err


@pytest.mark.usefixtures("never_coded")
def test_a_folder_is_not_overwritten(tng: Tool, model: str, image: Path, tmp_path: Path) -> None:
    (tmp_path / "in.tng").mkdir()
    result = tng("compress", image, "--model", model, "--force")
    assert result.err == f"error: cannot write {tmp_path / 'in.tng'}: it is a folder\n"


def test_an_error_while_writing_names_the_output(
    tng: Tool, model: str, image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        result = tng("compress", image, "--model", model)
    target = tmp_path / "in.tng"
    assert (result.code, result.err) == (
        2,
        f"error: cannot write {target}: no space left on device\n",
    )
    assert not target.exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no full device here")
def test_a_full_standard_output_is_named(tng: Tool, model: str, image: Path) -> None:
    assert tng("compress", image, "--model", model).code == 0
    words = ["info", str(image.with_suffix(".tng"))]
    with open("/dev/full", "wb") as full:
        result = subprocess.run(
            [sys.executable, "-m", "tngexp.cli.main", *words],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=120,
            check=False,
        )
    assert result.returncode == 2
    assert result.stderr == "error: cannot write standard output: no space left on device\n"
    with open("/dev/full", "w") as full, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", full)
        with pytest.raises(files.OutputError, match="cannot write standard output: no space"):
            files.write_bytes(None, b"data")
        patch.undo()
        os.dup2(os.open(os.devnull, os.O_WRONLY), full.fileno())  # closing flushes once more


def test_an_input_error_names_the_input(tng: Tool, model: str, image: Path) -> None:
    image.write_bytes(b"")
    assert tng("compress", image, "--model", model).err == f"error: {image}: the file is empty\n"


@pytest.mark.parametrize("several", [False, True])
def test_progress_of_a_large_file_is_shown_on_a_terminal(
    tng: Tool, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, several: bool
) -> None:
    from tqdm import tqdm

    seen = []

    class Bar(tqdm):  # type: ignore[type-arg]
        def update(self, n: float | None = 1) -> bool | None:
            seen.append(self.n + (n or 0))
            return super().update(n)

    monkeypatch.setattr("tngexp.bitstream.streaming._SIDE", 2)  # many windows
    monkeypatch.setattr("tngexp.bitstream.streaming._contributed", lambda halo: 2)
    monkeypatch.setattr("tqdm.tqdm", Bar)
    for name in "ab"[: 1 + several]:
        photo(100, 60).save(tmp_path / f"{name}.png")
    words = [tmp_path / "a.png", tmp_path / "b.png"][: 1 + several]
    assert tng("compress", *words, "--model", model).code == 0
    assert not seen  # not on a terminal
    # After the fixture has replaced the stream.
    monkeypatch.setattr(type(sys.stderr), "isatty", lambda self: True)
    assert tng("compress", *words, "--model", model, "--force").code == 0
    parts = [n for n in seen if n < 1]
    assert len(set(parts)) > 5
    assert seen == sorted(seen)
    assert seen[-1] == pytest.approx(1 + several)


def test_a_closed_standard_output_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(files.OutputError, match="closed"):
        files.check_writable(None)


@pytest.mark.usefixtures("never_coded")
def test_a_terminal_is_refused_at_once(
    tng: Tool, model: str, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(sys.stdout), "isatty", lambda self: True)
    result = tng("compress", image, "-o", "-", "--model", model)
    assert result.code == 2
    assert "error: this output is not for a terminal" in result.err


@pytest.mark.parametrize("command", ["info", "compress", "decompress"])
def test_a_closed_standard_input_is_told(
    tng: Tool, model: str, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    monkeypatch.setenv("TNGEXP_MODEL", model)
    result = tng(command, "-")
    assert result.code == 2
    assert result.err.startswith("error: standard input: it is closed")


def test_without_a_home_notes_are_kept_among_temporary_files(
    tng: Tool, model: str, image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(uid: int) -> object:
        raise KeyError(uid)

    for name in ("HOME", "TNGEXP_CACHE"):
        monkeypatch.delenv(name)
    monkeypatch.setattr("pwd.getpwuid", unknown)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    photo(8, 8).save(tmp_path / "other.png")
    assert tng("compress", image, tmp_path / "other.png", "--model", model).code == 0
    assert list((tmp_path / "temporary").glob("tngexp-*/batches/*.txt"))
