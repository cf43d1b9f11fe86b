from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from image_files import png, tiff
from PIL import Image

from tngexp.datasets.images import UnreadableImageError, decode, read_header
from tngexp.pixels import over_white, read_image, to_picture

_RNG = np.random.default_rng(0)
_RGB = _RNG.integers(0, 256, (6, 9, 3), dtype=np.uint8)
_GREY = _RNG.integers(0, 256, (6, 9), dtype=np.uint8)
_ALPHA = np.tile(np.array([0, 255, 128], dtype=np.uint8), (6, 3))  # (6, 9)


def _over_white(rgb: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    weight = alpha[..., None] / 255
    return rgb * weight + 255 * (1 - weight)


def _grey3(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey[..., None], 3, axis=2)


@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        ("png", {}),
        ("PNG", {}),
        ("webp", {"lossless": True}),
        ("tiff", {}),
        ("tif", {"compression": "tiff_lzw"}),
    ],
)
def test_lossless_formats_are_exact(tmp_path: Path, suffix: str, options: dict[str, object]):
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(_RGB).save(path, **options)
    pixels = decode(path)
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels, _RGB)
    assert read_header(path) == (9, 6)


@pytest.mark.parametrize("suffix", ["jpg", "avif", "webp"])
def test_lossy_formats_are_close(tmp_path: Path, suffix: str):
    colour = (200, 60, 90)
    path = tmp_path / f"a.{suffix}"
    Image.new("RGB", (32, 24), colour).save(path, quality=95)
    assert decode(path).shape == (24, 32, 3)
    assert np.abs(decode(path).astype(int) - colour).max() <= 4


@pytest.mark.parametrize("suffix", ["png", "tiff", "jpg"])
def test_greyscale_fills_three_channels(tmp_path: Path, suffix: str):
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(_GREY).save(path)
    pixels = decode(path)
    np.testing.assert_array_equal(pixels, pixels[..., :1].repeat(3, 2))
    if suffix != "jpg":
        np.testing.assert_array_equal(pixels, _grey3(_GREY))


def test_one_bit_becomes_black_and_white(tmp_path: Path):
    bits = _GREY > 127
    Image.fromarray(bits).save(tmp_path / "a.png")
    np.testing.assert_array_equal(decode(tmp_path / "a.png"), _grey3(bits * np.uint8(255)))


def test_palette_is_looked_up(tmp_path: Path):
    image = Image.fromarray(_GREY % 4, mode=None).convert("L")
    image = Image.frombytes("P", image.size, image.tobytes())
    colours = np.array([[1, 2, 3], [200, 0, 0], [0, 99, 0], [9, 9, 255]], dtype=np.uint8)
    image.putpalette(colours.tobytes())
    image.save(tmp_path / "a.png")
    np.testing.assert_array_equal(decode(tmp_path / "a.png"), colours[_GREY % 4])
    image.save(tmp_path / "b.png", transparency=bytes([255, 0, 255, 255]))
    expected = colours.copy()
    expected[1] = 255  # entry 1 is fully transparent
    np.testing.assert_array_equal(decode(tmp_path / "b.png"), expected[_GREY % 4])


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_alpha_is_composited_over_white(tmp_path: Path, suffix: str):
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(np.dstack([_RGB, _ALPHA])).save(path)
    expected = _over_white(_RGB, _ALPHA)
    assert np.abs(decode(path) - expected).max() <= 1
    np.testing.assert_array_equal(decode(path)[_ALPHA == 0], 255)
    np.testing.assert_array_equal(decode(path)[_ALPHA == 255], _RGB[_ALPHA == 255])


def test_grey_alpha_is_composited_over_white(tmp_path: Path):
    Image.fromarray(np.dstack([_GREY, _ALPHA])).save(tmp_path / "a.png")
    expected = _over_white(_grey3(_GREY), _ALPHA)
    assert np.abs(decode(tmp_path / "a.png") - expected).max() <= 1


def test_transparent_colour_of_rgb_png_is_white(tmp_path: Path):
    pixels = np.full((4, 4, 3), 50, dtype=np.uint8)
    pixels[0] = (1, 2, 3)
    Image.fromarray(pixels).save(tmp_path / "a.png", transparency=(1, 2, 3))
    pixels[0] = 255
    np.testing.assert_array_equal(decode(tmp_path / "a.png"), pixels)


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_sixteen_bit_is_scaled_not_clipped(tmp_path: Path, suffix: str):
    path = tmp_path / f"a.{suffix}"
    values = np.array([[0, 128, 129, 257, 32768, 65278, 65535]], dtype=np.uint16)
    Image.fromarray(values).save(path)
    expected = np.array([[0, 0, 1, 1, 128, 254, 255]], dtype=np.uint8)
    np.testing.assert_array_equal(decode(path), _grey3(expected))


def test_sixteen_bit_big_endian_tiff(tmp_path: Path):
    values = np.array([[0, 257 * 77, 65535]], dtype=">u2")
    tags = [
        (256, 3, 3), (257, 3, 1), (258, 3, 16), (259, 3, 1), (262, 3, 1),
        (273, 4, 8), (277, 3, 1), (278, 3, 1), (279, 4, 6),
    ]  # fmt: skip
    directory = struct.pack(">H", len(tags))
    for tag, kind, value in tags:
        packed = struct.pack(">HH", value, 0) if kind == 3 else struct.pack(">I", value)
        directory += struct.pack(">HHI", tag, kind, 1) + packed
    data = b"MM\0*" + struct.pack(">I", 14) + values.tobytes() + directory + bytes(4)
    (tmp_path / "a.tif").write_bytes(data)
    np.testing.assert_array_equal(decode(tmp_path / "a.tif")[0, :, 0], [0, 77, 255])


@pytest.mark.parametrize("suffix", ["jpg", "tiff"])
def test_cmyk_shows_its_ink(tmp_path: Path, suffix: str):
    # Cyan ink only; Pillow writes the JPEG inverted with Adobe's marker, as Photoshop does.
    path = tmp_path / f"a.{suffix}"
    Image.new("CMYK", (16, 16), (255, 0, 0, 0)).save(path)
    assert np.abs(decode(path).astype(int) - (0, 255, 255)).max() <= 3


# What an EXIF orientation asks a viewer to do with the stored pixels (EXIF 2.3, tag 0x0112).
_SHOWN = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a, 1),
}


@pytest.mark.parametrize("orientation", _SHOWN)
@pytest.mark.parametrize("suffix", ["png", "tiff", "webp"])
def test_exif_orientation_is_applied_once(tmp_path: Path, suffix: str, orientation: int):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"a.{suffix}"
    options = {"lossless": True} if suffix == "webp" else {}
    Image.fromarray(_RGB).save(path, exif=exif, **options)
    np.testing.assert_array_equal(decode(path), _SHOWN[orientation](_RGB))


@pytest.mark.parametrize("suffix", ["jpg", "avif"])
def test_exif_orientation_of_lossy_formats(tmp_path: Path, suffix: str):
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = np.full((32, 64, 3), 255, dtype=np.uint8)
    pixels[:, :32] = 0  # black on the left; turned clockwise it is on top
    Image.fromarray(pixels).save(tmp_path / f"a.{suffix}", exif=exif)
    shown = decode(tmp_path / f"a.{suffix}")
    assert shown.shape == (64, 32, 3)
    assert shown[:28].max() < 40
    assert shown[36:].min() > 215


def _jpeg(side: int = 64) -> bytes:
    pixels = _RNG.integers(0, 256, (side, side, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.png", b"this is text, not a picture", "not an image"),
        ("a.jpg", b"", "not an image"),
        ("a.jpg", _jpeg()[:-1500], "truncated"),
        ("a.png", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image"),
    ],
)
def test_damaged_files_are_unreadable(tmp_path: Path, name: str, content: bytes, reason: str):
    path = tmp_path / name
    path.write_bytes(content)
    for read in (decode, read_header):
        with pytest.raises(UnreadableImageError, match=reason):
            read(path)


@pytest.mark.parametrize("suffix", ["png", "webp"])
def test_truncation_is_found_by_the_header_check(tmp_path: Path, suffix: str):
    path = tmp_path / f"a.{suffix}"
    pixels = _RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UnreadableImageError):
        read_header(path)


def test_bytes_after_a_jpeg_are_no_damage(tmp_path: Path):
    # Phones append a video; the end marker is then far from the end of the file.
    (tmp_path / "a.jpg").write_bytes(_jpeg() + bytes(10_000))
    assert read_header(tmp_path / "a.jpg") == (64, 64)


def test_what_trains_is_what_is_coded(tmp_path: Path):
    ramp = np.arange(12, dtype="<u2").reshape(3, 4) * 5000
    for k, data in enumerate(
        [
            tiff((4, 3), 16, ramp.tobytes(), photometric=0),
            b"P5 4 3 60000\n" + ramp.astype(">u2").tobytes(),
            png((4, 3), 16, 0, ramp.astype(">u2").tobytes(), (b"tRNS", b"\x13\x88")),
            png((4, 3), 2, 0, bytes([0x1B, 0xE4, 0x55]), (b"tRNS", b"\0\2")),
        ]
    ):
        path = tmp_path / f"{k}.png"
        path.write_bytes(data)
        picture = to_picture(read_image(path), exact=True)
        expected = over_white(picture.rgb.permute(1, 2, 0).numpy(), picture.alpha)
        np.testing.assert_array_equal(decode(path), expected)
        np.testing.assert_array_equal(decode(data), expected)


@pytest.mark.parametrize(("bits", "sample_format"), [(32, 3), (32, 1), (16, 2), (8, 2)])
def test_pixels_without_a_white_are_found_by_the_header(
    tmp_path: Path, bits: int, sample_format: int
):
    path = tmp_path / "a.tif"
    path.write_bytes(tiff((2, 2), bits, bytes(bits // 2), sample_format=sample_format))
    for read in (read_header, decode):
        with pytest.raises(UnreadableImageError, match="no defined white"):
            read(path)


def test_float_images_are_unreadable(tmp_path: Path):
    Image.fromarray(np.ones((4, 4), dtype=np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(UnreadableImageError, match="32-bit"):
        decode(tmp_path / "a.tif")


@pytest.mark.parametrize("limit", [20, 40])  # Pillow warns above the limit, raises above twice it
def test_decompression_bombs_are_unreadable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int
):
    Image.fromarray(_RGB).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with pytest.raises(UnreadableImageError, match="larger than"):
        decode(tmp_path / "a.png")
