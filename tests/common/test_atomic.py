"""A file is the old one or the new one, whole, and nothing else is left beside it."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from tngexp.common.atomic import replacing


@pytest.fixture(params=[False, True], ids=["several", "alone"])
def alone(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def test_the_old_file_is_there_until_the_new_one_is_whole(tmp_path: Path, alone: bool) -> None:
    path = tmp_path / "a.json"
    for text in ("old", "new"):
        before = path.read_text() if path.exists() else None
        with replacing(path, alone=alone) as temporary:
            temporary.write_text(text)
            assert (path.read_text() if path.exists() else None) == before
        assert path.read_text() == text
        assert os.listdir(tmp_path) == ["a.json"]


@pytest.mark.parametrize("stop", [ValueError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("written", [True, False])
@pytest.mark.parametrize("old", ["old", None])
def test_an_exception_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, alone: bool, stop: type[BaseException], written: bool, old: str | None
) -> None:
    path = tmp_path / "a.json"
    if old is not None:
        path.write_text(old)
    with pytest.raises(stop), replacing(path, alone=alone) as temporary:  # noqa: PT012
        if written:
            temporary.write_text("half")
        raise stop
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == (
        {} if old is None else {"a.json": old}
    )


def test_what_cannot_be_replaced_is_named_and_nothing_is_left(tmp_path: Path, alone: bool) -> None:
    (tmp_path / "a").mkdir()
    folder = tmp_path / "a"
    with pytest.raises(IsADirectoryError) as error, replacing(folder, alone=alone) as temporary:
        temporary.write_text("new")
    assert str(error.value).endswith(f": '{folder}'")
    assert ".partial" not in str(error.value)
    assert os.listdir(tmp_path) == ["a"]
    missing = tmp_path / "no" / "a"
    with pytest.raises(FileNotFoundError) as error, replacing(missing, alone=alone) as temporary:
        temporary.write_text("new")
    assert str(error.value).endswith(f": '{missing}'")


def test_two_writers_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with replacing(path) as one, replacing(path) as other:
        assert one != other
        one.write_text("1111")
        other.write_text("2")
    assert path.read_text() == "1111"  # the outer one ended last
    assert os.listdir(tmp_path) == ["a"]


def test_a_reader_among_many_writers_sees_whole_files_only(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("0" * 4096)

    def write(digit: str) -> None:
        for _ in range(50):
            with replacing(path) as temporary:
                temporary.write_text(digit * 4096)

    writers = [threading.Thread(target=write, args=(digit,)) for digit in "123"]
    for writer in writers:
        writer.start()
    seen = set()
    while any(writer.is_alive() for writer in writers):
        seen.add(path.read_text())
    assert {(len(text), len(set(text))) for text in seen} == {(4096, 1)}
    assert os.listdir(tmp_path) == ["a"]


def test_alone_a_killed_writer_leaves_what_the_next_one_replaces(tmp_path: Path) -> None:
    path, other = tmp_path / "a", tmp_path / "other"
    other.write_text("another file")
    with replacing(path, alone=True) as first:
        first.write_text("new")
    os.link(other, first)  # as a process that was killed after linking leaves it
    with replacing(path, alone=True) as second:
        assert second == first
        second.write_text("newer")
    assert path.read_text() == "newer"
    assert other.read_text() == "another file"
    assert sorted(os.listdir(tmp_path)) == ["a", "other"]


def test_a_name_may_be_as_long_as_the_system_allows(tmp_path: Path) -> None:
    path = tmp_path / ("a" * 255)
    with replacing(path) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "new"


@pytest.mark.parametrize("own", [None, 0o600])
def test_permissions_are_those_of_a_new_file(tmp_path: Path, alone: bool, own: int | None) -> None:
    (tmp_path / "plain").write_text("")
    with replacing(tmp_path / "a", alone=alone) as temporary:
        temporary.write_text("")
        if own is not None:  # as safetensors does
            temporary.chmod(own)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert len(modes) == 1
