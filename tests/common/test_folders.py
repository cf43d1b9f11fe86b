"""Names of folders and files as people write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tngexp.common.folders import expanded
from tngexp.errors import ConfigError

PACKAGE = Path(__file__).parents[2] / "tngexp"


def test_a_home_that_is_not_known_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert expanded("~/photos") == tmp_path / "photos"
    assert expanded("photos/~") == Path("photos/~")
    with pytest.raises(ConfigError, match="~nobody-of-that-name/x: no home folder is known"):
        expanded("~nobody-of-that-name/x")


def test_the_home_is_put_in_there_only() -> None:
    places = [
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if ".expanduser(" in path.read_text(encoding="utf-8")
    ]
    assert places == ["common/folders.py"]
