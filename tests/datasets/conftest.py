from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def write_photos(tmp_path: Path) -> Callable[..., Path]:
    """Writes ``count`` PNG files of random colours, none of them dark, into a folder."""

    def write(count: int, side: int = 40, folder: str = "photos") -> Path:
        root = tmp_path / folder
        root.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(7)
        for number in range(count):
            pixels = rng.integers(60, 256, (side, side + number % 3, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / f"{number:03d}.png")
        return root

    return write
