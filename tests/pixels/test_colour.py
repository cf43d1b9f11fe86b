"""What the numbers mean travels, where it describes these pixels; otherwise it is said."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
import pytest
from image_files import png
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo
from support import grey_profile, other_profile, photo

from tngexp.pixels import PixelWarning, read_image, to_picture
from tngexp.pixels.colour import Colour, apply_profile, in_srgb

REFUSED = other_profile()[:16] + b"GRAY" + other_profile()[20:]  # without a curve of grey
LAB = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
REC2020_PQ = bytes([9, 16, 0, 1])
DISPLAY_P3 = bytes([12, 13, 0, 1])


def with_profile(mode: str, icc: bytes) -> Image.Image:
    image = photo(12, 10).convert(mode)
    image.info["icc_profile"] = icc
    return image


@pytest.mark.parametrize(
    ("mode", "icc"),
    [
        *((mode, other_profile()) for mode in ("RGB", "P", "YCbCr", "HSV")),
        *((mode, grey_profile()) for mode in ("L", "1")),
    ],
)
def test_a_profile_of_these_pixels_travels(mode: str, icc: bytes) -> None:
    assert to_picture(with_profile(mode, icc)).icc == icc


@pytest.mark.parametrize(
    ("mode", "icc", "why"),
    [
        ("RGB", LAB, "one of Lab where the pixels are RGB"),
        ("RGB", grey_profile(), "one of grey where"),
        ("L", other_profile(), "one of RGB where the pixels are grey"),
        ("RGB", b"garbage", "damaged"),
        ("RGB", bytes(500), "damaged"),
    ],
)
def test_any_other_is_left_out_with_a_word(mode: str, icc: bytes, why: str) -> None:
    with pytest.warns(PixelWarning, match=why):
        assert to_picture(with_profile(mode, icc)).icc is None


@pytest.mark.parametrize(("mode", "icc"), [("LAB", LAB), ("LAB", other_profile()), ("L", SRGB)])
def test_what_was_converted_needs_none(mode: str, icc: bytes) -> None:
    image = photo(12, 10)
    if mode == "LAB":
        converted = ImageCms.profileToProfile(
            image, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
        )
        assert converted is not None
        image = converted
    else:
        image = image.convert(mode)
    image.info["icc_profile"] = icc
    assert to_picture(image).icc is None  # and no warning


def test_a_huge_profile_is_applied_instead() -> None:
    image = with_profile("RGB", other_profile() + bytes(1 << 20))
    picture = to_picture(image)
    expected = apply_profile(np.asarray(photo(12, 10)), other_profile())
    assert picture.icc is None
    np.testing.assert_array_equal(picture.rgb.permute(1, 2, 0), expected)


def test_a_huge_profile_of_grey_is_applied_too() -> None:
    picture = to_picture(with_profile("L", grey_profile(1.0) + bytes(1 << 20)))
    light = np.asarray(photo(12, 10).convert("L")) / 255
    assert (picture.mode, picture.icc) == ("L", None)
    assert np.abs(picture.rgb.numpy() - encoded(light)).max() <= 1  # in all three channels


def test_a_huge_profile_that_cannot_be_applied_is_said() -> None:
    with pytest.warns(PixelWarning, match="profile cannot be applied.*Fix"):
        picture = to_picture(with_profile("L", REFUSED + bytes(1 << 20)))
    assert (picture.rgb.numpy() == np.asarray(photo(12, 10).convert("L"))).all()


def test_a_mark_goes_before_a_huge_profile() -> None:
    image = with_profile("RGB", other_profile() + bytes(1 << 20))
    image.info["cicp"] = DISPLAY_P3
    picture = to_picture(image)
    assert (picture.icc, picture.cicp) == (None, DISPLAY_P3)
    np.testing.assert_array_equal(picture.rgb.permute(1, 2, 0), photo(12, 10))


def linear(levels: np.ndarray) -> np.ndarray:
    """sRGB's curve (IEC 61966-2-1), 0 … 255 to light."""
    v = levels / 255
    return np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4)


def encoded(light: np.ndarray) -> np.ndarray:
    """The way back."""
    v = light.clip(0, 1)
    return 255 * np.where(v <= 0.0031308, 12.92 * v, 1.055 * v ** (1 / 2.4) - 0.055)


def to_xyz(*primaries: tuple[float, float]) -> np.ndarray:
    """The matrix from light of these primaries (x, y) around D65."""
    columns = np.array([[x / y, 1, (1 - x - y) / y] for x, y in primaries]).T
    return columns * np.linalg.solve(columns, [0.3127 / 0.329, 1, 0.3583 / 0.329])


def test_display_p3_is_converted_by_its_definition() -> None:
    levels = np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)
    p3 = to_xyz((0.68, 0.32), (0.265, 0.69), (0.15, 0.06))
    srgb = to_xyz((0.64, 0.33), (0.3, 0.6), (0.15, 0.06))
    expected = encoded(linear(levels) @ (np.linalg.inv(srgb) @ p3).T)
    # Its mark goes before any profile.
    for colour in (Colour(None, DISPLAY_P3), Colour(other_profile(), DISPLAY_P3)):
        assert np.abs(in_srgb(levels, colour) - expected).max() < 1
    greys = np.repeat(levels[..., :1], 3, axis=2)
    np.testing.assert_array_equal(in_srgb(greys, Colour(None, DISPLAY_P3)), greys)


@pytest.mark.parametrize("cicp", [REC2020_PQ, bytes([12, 13, 0, 0])])
def test_marks_that_cannot_be_converted_are_said(cicp: bytes) -> None:
    levels = np.asarray(photo(12, 10))
    with pytest.warns(PixelWarning, match=f"mark .CICP {cicp[0]}/{cicp[1]}/0/{cicp[3]}. cannot"):
        assert (in_srgb(levels, Colour(None, cicp)) == levels).all()


def marked(kind: str, mark: bytes) -> bytes:
    """A file with a CICP mark."""
    if kind == "PNG":
        return png((2, 2), 8, 2, bytes(12), (b"cICP", mark))
    buffer = io.BytesIO()
    photo(16, 16).save(buffer, kind)
    before = b"colrnclx\0\x01\0\x0d"
    assert before in buffer.getvalue()
    return buffer.getvalue().replace(before, b"colrnclx\0%c\0%c" % (mark[0], mark[1]))


@pytest.mark.parametrize("kind", ["PNG", "AVIF"])
def test_a_cicp_mark_travels(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{kind}"
    path.write_bytes(marked(kind, REC2020_PQ))
    loaded = Image.open(path)
    loaded.load()  # as by Image.save
    for image in (read_image(path), Image.open(path), loaded):
        assert to_picture(image).cicp == REC2020_PQ
        assert to_picture(image.copy()).cicp == REC2020_PQ


@pytest.mark.parametrize("mark", [(1, 13, 0, 1), (2, 2, 0, 1)])
def test_a_mark_that_says_srgb_takes_no_bytes(mark: tuple[int, ...]) -> None:
    for kind in ("PNG", "AVIF"):
        assert to_picture(read_image(marked(kind, bytes(mark)))).cicp is None


def test_a_mark_that_says_srgb_goes_before_a_profile() -> None:
    image = with_profile("RGB", other_profile())
    image.info["cicp"] = bytes([1, 13, 0, 1])
    picture = to_picture(image)
    assert (picture.icc, picture.cicp) == (None, None)


def saved(**options: object) -> bytes:
    buffer = io.BytesIO()
    photo(12, 10).save(buffer, **options)  # type: ignore[arg-type]
    return buffer.getvalue()


def chunk(name: bytes, data: bytes) -> PngInfo:
    info = PngInfo()
    info.add(name, data)
    return info


def chromaticities(*values: int) -> PngInfo:
    return chunk(b"cHRM", b"".join(v.to_bytes(4, "big") for v in values))


def adobe_rgb() -> Image.Exif:
    exif = Image.Exif()
    exif[0x8769] = {0xA001: 0xFFFF, 0xA005: {1: "R03"}}
    return exif


@pytest.mark.parametrize(
    "data",
    [
        saved(format="PNG", pnginfo=chunk(b"gAMA", (100_000).to_bytes(4, "big"))),
        saved(
            format="PNG",
            pnginfo=chromaticities(31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000),
        ),
        saved(format="JPEG", exif=adobe_rgb()),
    ],
    ids=["gamma", "primaries", "exif"],
)
def test_marks_that_cannot_travel_are_said(data: bytes) -> None:
    with pytest.warns(PixelWarning, match="not sRGB.*Fix"):
        to_picture(read_image(data))


@pytest.mark.parametrize(
    "data",
    [
        saved(format="PNG"),
        saved(format="PNG", pnginfo=chunk(b"gAMA", (45_455).to_bytes(4, "big"))),
        saved(
            format="PNG",
            pnginfo=chromaticities(31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000),
        ),
        saved(format="JPEG"),
        saved(format="TIFF"),
        saved(format="AVIF"),
        saved(format="WEBP", lossless=True),
    ],
)
def test_ordinary_files_give_no_warning(data: bytes) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        picture = to_picture(read_image(data))
    assert (picture.icc, picture.cicp) == (None, None)
