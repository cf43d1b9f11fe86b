"""A file with a small network."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_hybrid import small

from tngexp.hybrid import model
from tngexp.hybrid.model import save_hybrid


@pytest.fixture(autouse=True)
def float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Restoring is the same on every machine; tests of bfloat16 ask for it."""
    monkeypatch.setattr(model, "multiplies_bf16", lambda: False)


@pytest.fixture
def network(tmp_path: Path) -> Path:
    """A network for every codec and scale."""
    path = tmp_path / "small.safetensors"
    bases = ("jpeg", "jpeg444", "webp", "avif", "bpg", "hevc")
    save_hybrid(small(*bases, factors=(1, 1.5, 2)), path)
    return path
