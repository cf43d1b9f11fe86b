"""Files that decoders trip over."""

from __future__ import annotations

import io
import zlib
from pathlib import Path

import numpy as np
import pytest
from image_files import png, tiff
from PIL import Image
from support import other_profile, photo

from tngexp.pixels import PixelWarning, UnreadableImageError, read_header, read_image, to_picture

BIG = bytes(3 << 20)
PIXELS = bytes(range(12))


@pytest.mark.parametrize(
    "chunk",
    [
        (b"zTXt", b"Comment\0\0" + zlib.compress(BIG)),
        (b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(BIG)),
        (b"iTXt", b"broken"),
    ],
    ids=["zTXt", "iTXt", "damaged"],
)
@pytest.mark.parametrize("after", [False, True])
def test_text_in_a_png_is_no_damage(
    chunk: tuple[bytes, bytes], after: bool, tmp_path: Path
) -> None:
    data = png((2, 2), 8, 2, PIXELS, chunk)
    if after:  # the same chunk behind the pixels
        plain = png((2, 2), 8, 2, PIXELS)
        data = plain[:-12] + data[33 : 33 + 12 + len(chunk[1])] + plain[-12:]
    (tmp_path / "a.png").write_bytes(data)
    for source in (data, tmp_path / "a.png"):
        assert read_header(source) == ((2, 2), "PNG")
        np.testing.assert_array_equal(np.asarray(read_image(source)).ravel(), list(PIXELS))


def test_a_huge_profile_in_a_png_is_no_damage() -> None:
    icc = other_profile() + bytes(2 << 20)
    data = png((2, 2), 8, 2, PIXELS, (b"iCCP", b"x\0\0" + zlib.compress(icc)))
    assert read_image(data).info["icc_profile"] == icc
    assert to_picture(read_image(data)).icc is None  # applied


def test_damaged_pixels_stay_damaged() -> None:
    data = bytearray(png((40, 40), 8, 2, np.asarray(photo(40, 40)).tobytes(), (b"tEXt", b"a\0b")))
    data[len(data) // 2] ^= 0x55
    with pytest.raises(UnreadableImageError, match="damaged"):
        read_image(bytes(data))


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF", "AVIF"])
def test_the_first_of_several_images_is_used_and_it_is_said(kind: str, tmp_path: Path) -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue", "lime")]
    path = tmp_path / "a"
    frames[0].save(path, kind, save_all=True, append_images=frames[1:])
    with pytest.warns(PixelWarning, match="holds 3 images; only the first"):
        image = read_image(path)
    red, green, blue = to_picture(image).rgb.float().mean((1, 2))
    assert (red > 250, green < 5, blue < 5) == (True, True, True)


def test_a_second_picture_behind_a_jpeg_is_no_animation() -> None:
    buffer = io.BytesIO()
    photo(16, 16).save(buffer, "MPO", save_all=True, append_images=[photo(16, 16)])
    assert read_image(buffer.getvalue()).format == "MPO"  # and no warning


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "the file is empty"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image"),
        (tiff((2, 2), 64, bytes(32), sample_format=3), "TIFF.*8 or 16 unsigned bits"),
        (tiff((2, 2), 32, bytes(16), sample_format=3)[:9], "TIFF"),
    ],
)
def test_what_cannot_be_read_is_told(data: bytes, reason: str) -> None:
    with pytest.raises(UnreadableImageError, match=reason):
        read_image(data)


def test_a_header_tells_of_pixels_without_a_white() -> None:
    with pytest.raises(UnreadableImageError, match="32-bit float"):
        read_header(tiff((2, 2), 32, bytes(16), sample_format=3))


def test_the_limit_is_the_callers_and_pillows_stays() -> None:
    before = Image.MAX_IMAGE_PIXELS
    data = png((2, 2), 8, 2, PIXELS)
    assert read_image(data, max_pixels=4).size == (2, 2)
    with pytest.raises(UnreadableImageError, match="megapixels"):
        read_image(data, max_pixels=3)
    assert before == Image.MAX_IMAGE_PIXELS
