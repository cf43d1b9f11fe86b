"""JPEGs that were saved as PNG are known by their coefficients."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from support import photo

from tngexp.hybrid.estimate import estimate_origin
from tngexp.hybrid.origin import read_origin

PICTURE = photo(400, 304)


def coded(quality: int, kind: str = "JPEG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    PICTURE.save(buffer, kind, quality=quality, **options)
    return buffer.getvalue()


def pixels(data: bytes) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


@pytest.mark.parametrize("quality", [15, 30, 50, 75, 90])
@pytest.mark.parametrize("subsampling", ["4:2:0", "4:4:4"])
def test_a_jpeg_is_known_by_its_pixels(quality: int, subsampling: str) -> None:
    data = coded(quality, subsampling=subsampling)
    found, told = estimate_origin(pixels(data)), read_origin(data)
    assert found is not None
    assert found.codec == "jpeg"
    assert found.luma_step == pytest.approx(told.luma_step, rel=0.2)
    assert found.chroma_step == pytest.approx(told.chroma_step, rel=0.2)


def test_cropping_the_far_sides_changes_nothing() -> None:
    rgb = pixels(coded(50))
    assert estimate_origin(rgb[:-5, :-3]) == estimate_origin(rgb)


@pytest.mark.parametrize(
    "rgb",
    [
        np.asarray(PICTURE),
        pixels(coded(40, "WEBP")),
        np.asarray(Image.open(io.BytesIO(coded(40))).resize((300, 200))),
        pixels(coded(40))[3:, 5:],
        np.random.default_rng(0).integers(0, 256, (128, 128, 3), np.uint8),
        np.full((64, 64, 3), 90, np.uint8),
        np.full((64, 64, 3), 255, np.uint8),
        np.zeros((7, 900, 3), np.uint8),
        np.zeros((1, 1, 3), np.uint8),
    ],
    ids=["photo", "webp", "resized", "shifted", "noise", "flat", "white", "low", "a pixel"],
)
def test_other_pictures_are_not_taken_for_one(rgb: NDArray[np.uint8]) -> None:
    assert estimate_origin(rgb) is None
