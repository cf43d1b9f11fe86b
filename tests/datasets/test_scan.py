from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tngexp.datasets.images import DataError, DataWarning
from tngexp.datasets.scan import check_folder, find_images, scan
from tngexp.types import ConfigError

Writer = Callable[..., Path]


def test_images_are_found_recursively_in_path_order(tmp_path: Path):
    for name in ("b/z.JPG", "a.PNG", "b/c/d.webp", "e.tiff", "f.avif", "g.jpeg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    for name in ("notes.txt", "._a.png", "clip.gif"):
        (tmp_path / name).touch()
    (tmp_path / ".thumbnails").mkdir()
    (tmp_path / ".thumbnails" / "h.png").touch()
    names = [path.relative_to(tmp_path).as_posix() for path in find_images(tmp_path).files]
    assert names == ["a.PNG", "b/c/d.webp", "b/z.JPG", "e.tiff", "f.avif", "g.jpeg"]


def test_links_are_followed_once(tmp_path: Path):
    (tmp_path / "real").mkdir()
    (tmp_path / "root").mkdir()
    (tmp_path / "real" / "a.png").touch()
    try:
        os.symlink(tmp_path / "real", tmp_path / "root" / "link", target_is_directory=True)
        os.symlink(tmp_path / "root", tmp_path / "root" / "loop", target_is_directory=True)
    except OSError:
        pytest.skip("links are not allowed here")
    assert find_images(tmp_path / "root").files == [tmp_path / "root" / "link" / "a.png"]


def test_a_folder_is_searched_under_its_own_name_before_any_link(tmp_path: Path):
    (tmp_path / "z").mkdir()
    (tmp_path / "z" / "a.png").touch()
    try:
        (tmp_path / "a").symlink_to(tmp_path / "z", target_is_directory=True)
        (tmp_path / "z" / "up").symlink_to(tmp_path.parent, target_is_directory=True)
    except OSError:
        pytest.skip("links are not allowed here")
    found = find_images(tmp_path)
    assert found.files == [tmp_path / "z" / "a.png"]
    assert [path for path, _ in found.folders] == [tmp_path / "z" / "up"]


def test_folders_that_cannot_be_read_are_named(
    write_photos: Writer, monkeypatch: pytest.MonkeyPatch
):
    root = write_photos(2)
    (root / "locked" / "deeper").mkdir(parents=True)
    scandir = os.scandir

    def forbidding(folder: Path):  # whoever runs the tests may be allowed everything
        if Path(folder).name in ("locked", "empty"):
            raise PermissionError(13, "Permission denied", str(folder))
        return scandir(folder)

    monkeypatch.setattr("os.scandir", forbidding)
    found = scan("data.root", root, 8)
    assert len(found.photos) == 2
    with pytest.warns(DataWarning, match=r"1 folder not searched \(locked: permission denied\)"):
        found.warn()
    (root / "empty").mkdir()
    with pytest.raises(DataError, match=r"holds no images .*permission denied"):
        scan("data.root", root / "empty", 8)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_pipes_are_unreadable_and_not_waited_for(write_photos: Writer):
    root = write_photos(1)
    os.mkfifo(root / "pipe.png")
    found = scan("data.root", root, 8)
    assert found.unreadable == [("pipe.png", "a pipe, not a file")]
    assert len(found.photos) == 1


def test_skipped_images_give_one_warning_that_names_the_first(write_photos: Writer):
    root = write_photos(3)
    for number in range(5):
        (root / f"bad{number}.png").write_text("not a picture")
    Image.new("RGB", (5, 5)).save(root / "tiny.png")
    found = scan("data.root", root, 32)
    assert [photo.name for photo in found.photos] == ["000.png", "001.png", "002.png"]
    with pytest.warns(DataWarning) as caught:
        found.warn()
    (warning,) = caught
    message = str(warning.message)
    assert "skipped 6 of 9" in message
    assert "5 unreadable (bad0.png" in message
    assert "bad2.png" in message
    assert "bad3.png" not in message
    assert "1 smaller than 32 pixels a side (tiny.png: 5×5)" in message


def test_a_clean_folder_does_not_warn(write_photos: Writer):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        scan("data.root", write_photos(2), 32).warn()
    assert caught == []


def test_none_left_is_an_error_with_the_fix(write_photos: Writer):
    found = scan("data.root", write_photos(2, side=20), 32)
    with pytest.raises(DataError, match=r"none of its 2 images .* lower data\.crop below 32"):
        found.require()


def test_folder_errors_name_the_option_and_the_folder(tmp_path: Path):
    file = tmp_path / "a.png"
    file.touch()
    with pytest.raises(DataError, match=r"data\.root is not set"):
        check_folder("data.root", None)
    with pytest.raises(DataError, match="gone does not exist"):
        check_folder("data.root", tmp_path / "gone")
    with pytest.raises(DataError, match=r"a\.png is a file, not a folder"):
        check_folder("data.root", file)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty holds no images"):
        scan("data.root", tmp_path / "empty", 8)
    assert issubclass(DataError, ConfigError)
