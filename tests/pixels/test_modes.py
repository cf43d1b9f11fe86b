"""Every kind of stored pixel becomes the level a viewer shows, or is refused with the fix."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from image_files import png, tiff
from PIL import Image, ImageCms
from support import other_profile, photo

from tngexp.pixels import PixelWarning, image_levels, over_white, read_image
from tngexp.pixels.modes import check_white
from tngexp.types import ConfigError

RAMP = np.array([[0, 1, 90, 128], [200, 254, 255, 3]], np.uint8)  # no two alike, nor mirrored
SIZE = (4, 2)


def opened(data: bytes) -> list[Image.Image]:
    """As users hand them over: read by this package, by Pillow, decoded already."""
    decoded = Image.open(io.BytesIO(data))
    decoded.load()
    return [read_image(data), Image.open(io.BytesIO(data)), decoded]


def grey(image: Image.Image) -> np.ndarray:
    levels = image_levels(image)
    assert levels.grey
    assert (levels.rgb == levels.rgb[..., :1]).all()
    return levels.rgb[..., 0]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("bits", "photometric"), [(8, 1), (8, 0), (16, 1), (16, 0)], ids=["8", "w8", "16", "w16"]
)
def test_white_is_white_however_a_tiff_stores_it(order: str, bits: int, photometric: int) -> None:
    if (order, bits, photometric) == (">", 16, 0):
        pytest.skip("Pillow does not read it")
    values = RAMP if photometric else 255 - RAMP
    stored = values if bits == 8 else (values.astype(np.uint32) * 257).astype(order + "u2")
    data = tiff(SIZE, bits, stored.tobytes(), photometric=photometric, order=order)
    for image in opened(data):
        np.testing.assert_array_equal(grey(image), RAMP)


def test_twelve_bits_are_not_sixteen() -> None:
    values = [0, 4095, 2048, 16]
    packed = bytes(
        byte
        for a, b in zip(values[::2], values[1::2], strict=True)
        for byte in (a >> 4, (a & 15) << 4 | b >> 8, b & 255)
    )
    for image in opened(tiff((4, 1), 12, packed)):
        np.testing.assert_array_equal(grey(image), [[0, 255, 128, 1]])


@pytest.mark.parametrize("white", [65535, 4095, 300])
def test_a_portable_map_says_its_white(white: int) -> None:
    values = (RAMP.astype(np.uint32) * white / 255).round().astype(">u2")
    for image in opened(b"P5 4 2 %d\n" % white + values.tobytes()):
        assert np.abs(grey(image).astype(int) - RAMP).max() <= (white < 4000)


@pytest.mark.parametrize(
    ("bits", "sample_format", "kind"),
    [
        (32, 3, "32-bit float"),
        (32, 1, "32-bit integer"),
        (32, 2, "signed 32-bit"),
        (16, 2, "signed 16-bit"),
        (8, 2, "signed 8-bit"),
    ],
)
def test_pixels_without_a_white_are_refused(bits: int, sample_format: int, kind: str) -> None:
    data = tiff(SIZE, bits, bytes(bits), sample_format=sample_format)
    for image in opened(data):
        with pytest.raises(ConfigError, match=f"{kind}.*save the image with 8 or 16"):
            image_levels(image)
    with pytest.raises(ConfigError, match=kind):  # the header is enough
        check_white(Image.open(io.BytesIO(data)))


@pytest.mark.parametrize("mode", ["I;16", "I;16L", "I;16B", "I;16N"])
def test_sixteen_bits_in_every_order(mode: str) -> None:
    image = Image.new(mode, (1, 1), 50 * 257 + 128)
    assert grey(image).tolist() == [[50]]
    assert grey(Image.new(mode, (1, 1), 50 * 257 + 129)).tolist() == [[51]]


def test_the_transparent_colour_of_deep_and_shallow_pngs(tmp_path: Path) -> None:
    """Pillow scales the pixels of these and forgets the colour that they are compared with."""
    cases = {
        "grey16": png((3, 1), 16, 0, struct.pack(">3H", 4321, 4322, 65535), _key(4321)),
        "grey2": png((3, 1), 2, 0, bytes([0b10_01_11_00]), _key(2)),
        "grey4": png((3, 1), 4, 0, bytes([0x7F, 0x30]), _key(7)),
        "grey1": png((3, 1), 1, 0, bytes([0b10000000]), _key(1)),
        "grey8": png((3, 1), 8, 0, bytes([9, 8, 7]), _key(9)),
        "rgb16": png(
            (3, 1), 16, 2, struct.pack(">9H", *range(999, 9999, 1000)), _key(999, 1999, 2999)
        ),
        "rgb8": png((3, 1), 8, 2, bytes(range(9)), _key(0, 1, 2)),
    }
    for name, data in cases.items():
        (tmp_path / f"{name}.png").write_bytes(data)
        by_name = Image.open(tmp_path / f"{name}.png")
        by_name.load()
        for image in (read_image(data), Image.open(io.BytesIO(data)), by_name):
            for _ in range(2):
                alpha = image_levels(image).alpha
                assert alpha is not None, name
                assert alpha.tolist() == [[0, 255, 255]], name


def _key(*values: int) -> tuple[bytes, bytes]:
    return b"tRNS", struct.pack(f">{len(values)}H", *values)


def test_alpha_that_is_opaque_everywhere_is_none() -> None:
    for value, opaque in ((255, True), (254, False)):
        rgba = Image.new("RGBA", SIZE, (10, 20, 30, value))
        la = rgba.convert("LA")
        for image in (rgba, la, rgba.convert("RGBa"), la.convert("La"), rgba.convert("PA")):
            assert (image_levels(image).alpha is None) == opaque, image.mode


def test_premultiplied_pixels_are_divided_again() -> None:
    for mode, premultiplied, kept in (("RGBA", "RGBa", True), ("LA", "La", False)):
        image = Image.new("RGBA", SIZE, (200, 100, 50, 128)).convert(mode)
        levels = image_levels(image.convert(premultiplied))
        plain = image_levels(image)
        assert levels.grey == plain.grey == (not kept)
        assert np.abs(levels.rgb.astype(int) - plain.rgb).max() <= 1
        np.testing.assert_array_equal(levels.alpha, plain.alpha)


def test_left_over_transparency_says_nothing() -> None:
    image = photo(8, 8)
    for key in (b"\0\1", 3, "x"):
        image.info["transparency"] = key
        assert image_levels(image).alpha is None


def test_other_colour_spaces_are_shown_as_pillow_shows_them() -> None:
    rgb = photo(24, 16)
    lab = ImageCms.profileToProfile(
        rgb, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    assert lab is not None
    for image, tolerance in (
        (rgb.convert("YCbCr"), 4),
        (rgb.convert("HSV"), 12),
        (rgb.convert("CMYK"), 1),
        (lab, 30),
    ):
        levels = image_levels(image)
        assert not levels.grey
        difference = np.abs(levels.rgb.astype(int) - np.asarray(rgb))
        assert difference.max() <= tolerance, image.mode
        assert difference.mean() <= tolerance / 3


def ink_profile(lightness: int, a: int, b: int) -> bytes:
    """A profile of CMYK in which black is black, and else all has one colour (CIELAB, 8 bits)."""
    steps = bytes(range(256))
    table = b"mft1" + bytes(4) + bytes([4, 3, 2, 0])
    table += b"".join(struct.pack(">i", 65536 * (i % 4 == 0)) for i in range(9))
    table += 4 * steps + 8 * bytes([lightness, a, b, 0, 128, 128]) + 3 * steps
    head = (
        struct.pack(">I4s4s", 0, b"lcms", b"\x02\x40\0\0") + b"prtrCMYKLab " + bytes(12) + b"acsp"
    )
    head = head.ljust(68, b"\0") + struct.pack(">3i", 63190, 65536, 54061)
    body = head.ljust(128, b"\0") + struct.pack(">I4sII", 1, b"A2B0", 144, len(table)) + table
    return struct.pack(">I", len(body)) + body[4:]


def test_cmyk_goes_through_its_profile() -> None:
    image = Image.new("CMYK", SIZE, (255, 0, 0, 0))
    image.info["icc_profile"] = ink_profile(138, 128 + 81, 128 + 70)  # sRGB's red, not cyan
    red, green, blue = image_levels(image).rgb[0, 0].astype(int)
    assert (red > 240, green < 30, blue < 30) == (True, True, True)


def test_a_profile_that_is_not_of_cmyk_is_named() -> None:
    image = Image.new("CMYK", SIZE, (255, 0, 0, 0))
    image.info["icc_profile"] = other_profile()
    with pytest.warns(PixelWarning, match="CMYK"):
        levels = image_levels(image)
    assert levels.rgb[0, 0].tolist() == [0, 255, 255]


def test_over_white_is_what_a_page_shows() -> None:
    rgb = np.array([[[0, 100, 255]] * 3], np.uint8)
    alpha = np.array([[0, 255, 51]], np.uint8)
    assert over_white(rgb, alpha).tolist() == [[[255] * 3, [0, 100, 255], [204, 224, 255]]]
    assert over_white(rgb, None) is rgb


def test_an_image_without_pixels_is_refused() -> None:
    with pytest.raises(ConfigError, match="no pixels"):
        image_levels(Image.new("RGB", (0, 3)))
