from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from webdataset import tariterators

from tngexp.datasets.images import DataError, DataWarning
from tngexp.datasets.pack import index_shards, main, pack
from tngexp.datasets.scan import scan
from tngexp.datasets.shards.read import name_hash, read_members
from tngexp.types import ConfigError

Writer = Callable[..., Path]
KIB = 1 / 1024


def _files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def _pictures(count: int, folder: Path, side: int = 24) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        Image.new("RGB", (side, side), (number, 0, 0)).save(folder / f"{number}.png")
    return folder


def test_round_trip_keeps_bytes_names_and_extensions(tmp_path: Path):
    root = tmp_path / "photos"
    names = ["a.JPG", "sub.d/b.c.png", "ünï/ß 1.webp", "__x__/d.png", "twin.png", "twin.jpg"]
    names += ["a_b.png", "a.b.png", "a%2Eb.png", f"{'long/' * 30}{'n' * 120}.png"]
    for number, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 20 + number), (number, 0, 0)).save(path)
    index, fresh = pack(root, tmp_path / "out", min_side=16)
    assert fresh
    assert index.images == len(names)
    assert index.min_side == 20
    shard = tmp_path / "out" / "shard-000000.tar"
    members = list(read_members(str(shard), 0, len(names), len(names)))
    data = {name: (root / name).read_bytes() for name in names}
    assert sorted(member.data for member in members) == sorted(data.values())
    read = {member.name: member.data for member in members}
    assert {n: read[n] for n in names if "twin" not in n} == {
        n: data[n] for n in names if "twin" not in n
    }
    # The library itself takes each image for one sample, and loses none.
    with shard.open("rb") as stream:
        files = tariterators.tar_file_expander([{"url": str(shard), "stream": stream}])
        samples = list(tariterators.group_by_keys(files))
    assert len({sample["__key__"] for sample in samples}) == len(samples) == len(names)


def test_order_is_by_hash_and_bytes_are_the_same_again(tmp_path: Path):
    root = _pictures(30, tmp_path / "photos")
    index, _ = pack(root, tmp_path / "one", shard_mib=8 * KIB, min_side=16)
    assert len(index.shards) > 3
    assert all(shard.nbytes < 8 * 1024 + 10240 for shard in index.shards)  # tar pads to 10 KiB
    moved = tmp_path / "moved" / "elsewhere"
    moved.parent.mkdir()
    root.rename(moved)
    pack(moved, tmp_path / "two", shard_mib=8 * KIB, min_side=16)
    assert _files(tmp_path / "one") == _files(tmp_path / "two")
    names = []
    for shard in index.shards:
        place = str(tmp_path / "one" / shard.name)
        names += [m.name for m in read_members(place, 0, shard.images, shard.images)]
    assert names == sorted((p.name for p in scan("x", moved, 16).photos), key=name_hash)


def test_a_second_run_is_done_and_another_one_needs_force(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    root, out = _pictures(6, tmp_path / "photos"), tmp_path / "out"
    command = [str(root), str(out), "--min-side", "16", "--shard-size", str(4 * KIB)]
    assert main(command) == 0
    assert "packed: 6 images in 2 shards" in capsys.readouterr().out
    before = _files(out)
    times = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    assert main(command) == 0
    assert "already packed: 6 images" in capsys.readouterr().out
    assert times == {path: path.stat().st_mtime_ns for path in out.iterdir()}

    other = [*command[:-1], "64"]
    assert main(other) == 2
    message = capsys.readouterr().err
    assert message.startswith("error: ")
    assert "--force" in message
    assert message.count("\n") == 1
    assert _files(out) == before
    assert main([*other, "--force"]) == 0
    assert set(_files(out)) == {"shard-000000.tar", "index.json"}

    # Another picture of as many bytes under the same name is not done, either.
    photo = root / "2.png"
    content = photo.read_bytes()
    photo.write_bytes(content[:-1] + b"x")
    assert main(other) == 2
    photo.write_bytes(content)
    assert main(other) == 0

    # Damaged, or new photos: not done.
    (out / "shard-000000.tar").write_bytes(b"")
    assert main(other) == 2
    assert main([*other, "--force"]) == 0
    _pictures(7, root)
    assert main(other) == 2


def test_an_interrupted_run_leaves_no_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    root, out = _pictures(6, tmp_path / "photos"), tmp_path / "out"
    pack(root, out, min_side=16)
    read = Path.read_bytes

    def interrupted(path: Path) -> bytes:
        if path.name == "3.png":
            raise KeyboardInterrupt
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", interrupted)
    with pytest.raises(KeyboardInterrupt):
        pack(root, out, shard_mib=1 * KIB, min_side=16, force=True)
    assert not (out / "index.json").exists()
    assert {path.suffix for path in out.iterdir()} == {".tar"}
    with pytest.raises(DataError, match="unfinished"):
        pack(root, out, shard_mib=1 * KIB, min_side=16)
    monkeypatch.undo()
    index, _ = pack(root, out, shard_mib=1 * KIB, min_side=16, force=True)
    assert index.images == 6
    assert {path.suffix for path in out.iterdir()} == {".json", ".tar"}


def test_what_cannot_be_packed_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    root = _pictures(5, tmp_path / "photos")
    (root / "bad.png").write_text("no picture")
    Image.new("RGB", (5, 40)).save(root / "tiny.png")
    read = Path.read_bytes

    def gone(path: Path) -> bytes:
        if path.name == "3.png":
            raise FileNotFoundError(2, "gone meanwhile")
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", gone)
    with pytest.warns(DataWarning) as caught:
        index, _ = pack(root, tmp_path / "out", min_side=16)
    (warning,) = caught
    assert "skipped 3 of 7" in str(warning.message)
    assert "3.png: gone meanwhile" in str(warning.message)
    assert index.images == 4


def test_errors_are_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    root = _pictures(2, tmp_path / "photos")
    with pytest.raises(DataError, match=r"2 have a side below --min-side=64.*lower --min-side"):
        pack(root, tmp_path / "out", min_side=64)
    with pytest.raises(DataError, match=r"FOLDER=.*gone does not exist"):
        pack(tmp_path / "gone", tmp_path / "out")
    with pytest.raises(ConfigError, match="--shard-size"):
        pack(root, tmp_path / "out", shard_mib=0)
    with pytest.raises(DataError, match=r"OUT=.* is a file"):
        pack(root, root / "1.png", min_side=16)
    assert not (tmp_path / "out").exists()
    monkeypatch.setitem(sys.modules, "webdataset.writer", None)
    with pytest.raises(ConfigError, match=r"pip install 'tngexp\[shards\]'"):
        pack(root, tmp_path / "out", min_side=16)


def test_the_command_line(tmp_path: Path):
    root = _pictures(3, tmp_path / "photos")
    command = [sys.executable, "-m", "tngexp.datasets.pack", str(root), str(tmp_path / "out")]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 2
    assert result.stderr.startswith("error: FOLDER=")
    assert "Traceback" not in result.stderr


def _foreign(path: Path, members: list[tuple[str, bytes]], **options: Any) -> None:
    with tarfile.open(path, "w", **options) as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def test_shards_from_elsewhere_get_an_index(tmp_path: Path):
    picture = io.BytesIO()
    Image.new("RGB", (20, 20)).save(picture, "PNG")
    image = picture.getvalue()
    _foreign(tmp_path / "b.tar", [("0.png", image), ("0.json", b"{}")])
    _foreign(
        tmp_path / "a.tar", [("1.cls", b"7"), ("1.JPG", image), ("2.png", image), ("2.txt", b"")]
    )
    index = index_shards(tmp_path)
    assert [(shard.name, shard.images) for shard in index.shards] == [("a.tar", 2), ("b.tar", 1)]
    assert json.loads((tmp_path / "index.json").read_text())["min_side"] == 0
    place = str(tmp_path / "a.tar")
    assert [member.name for member in read_members(place, 1, 2, 2)] == ["2.png"]
    data = (tmp_path / "b.tar").read_bytes()
    (tmp_path / "b.tar").write_bytes(data[:600])
    with pytest.raises(DataError, match=r"b\.tar.*copy it again"):
        index_shards(tmp_path)
    with pytest.raises(DataError, match=r"has no \.tar file with images"):
        index_shards(_pictures(1, tmp_path / "pictures"))


def test_packing_needs_no_lightning() -> None:
    code = (
        "import sys; from hydra.utils import get_class; import tngexp.datasets.pack; "
        "assert 'lightning' not in sys.modules; "
        "print(get_class('tngexp.datasets.shards.ShardsDataModule').__name__)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "ShardsDataModule"
