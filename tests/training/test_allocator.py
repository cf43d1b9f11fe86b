"""Setting the allocator is optional: without glibc nothing happens."""

from __future__ import annotations

import platform

import pytest

from tngexp.training.allocator import keep_freed_memory


def test_elsewhere_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    assert not keep_freed_memory()
