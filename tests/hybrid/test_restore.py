"""Files and images that people have, restored."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from image_files import png
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from small_hybrid import small
from support import as_mode, other_profile, photo

import tngexp
from tngexp.anchors import anchor
from tngexp.anchors.bpg import BpgAnchor
from tngexp.anchors.intra import hevc, x265_for_bpg
from tngexp.hybrid.codec import HybridCodec
from tngexp.hybrid.model import Hybrid, condition_of
from tngexp.hybrid.note import Note, add_note
from tngexp.hybrid.origin import Origin, read_origin
from tngexp.hybrid.restore import restore, restore_file
from tngexp.pixels import UnreadableImageError
from tngexp.types import ConfigError, TngexpError

NETWORK = small("jpeg", "webp", "avif", "bpg", "hevc", factors=(1, 1.5, 2), strength=3.0)
DEEP_PNG = png((4, 3), 16, 2, bytes(6 * 4 * 3))  # which Pillow opens as 8 bits


def coded(image: Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def opened(data: bytes) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "AVIF"])
def test_a_file_is_restored_by_what_it_says(kind: str) -> None:
    data = coded(photo(61, 45), kind, quality=30)
    restored = restore_file(data, NETWORK)
    assert restored.origin == read_origin(data)
    assert restored.scale == 1
    assert not restored.plain
    expected = NETWORK.restore(opened(data), condition_of(read_origin(data)))
    assert np.array_equal(np.asarray(restored.image), expected)
    assert f"restored from {kind.lower()}, step " in restored.describe()


@pytest.mark.parametrize(
    "options",
    [{"progressive": True}, {"subsampling": "4:4:4"}, {"subsampling": "4:2:2"}, {"quality": 95}],
)
def test_any_jpeg_is_restored(options: dict[str, Any]) -> None:
    data = coded(photo(61, 45), **{"quality": 40, **options})
    expected = NETWORK.restore(opened(data), condition_of(read_origin(data)))
    assert np.array_equal(np.asarray(restore(data, NETWORK)), expected)


@pytest.mark.parametrize("codec", [x265_for_bpg(), hevc()], ids=lambda codec: codec.name)
def test_streams_of_hevc_are_decoded_by_the_anchors(codec: Any) -> None:
    if codec.missing():
        pytest.skip(codec.missing())
    data = codec.encode(np.array(photo(61, 45)), 40)
    expected = NETWORK.restore(codec.decode(data), condition_of(read_origin(data)))
    assert np.array_equal(np.asarray(restore(data, NETWORK)), expected)


def test_bpg_needs_its_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    from tngexp.hybrid import restore as module

    monkeypatch.setattr(BpgAnchor, "missing", lambda self: "BPG 4:4:4 is missing: build it")
    monkeypatch.setattr(module, "_told", lambda data: (Origin("bpg", 9.0, 9.0, False), None))
    with pytest.raises(TngexpError, match="BPG 4:4:4 is missing: build it"):
        restore(b"BPG\xfb" + bytes(20), NETWORK)


def test_a_smaller_picture_is_enlarged() -> None:
    rgb = np.array(photo(61, 45))
    hybrid = HybridCodec.made(anchor("webp"), 2.0, NETWORK)
    data = HybridCodec.made(anchor("webp"), 2.0).encode(rgb, 40)
    restored = restore_file(data, NETWORK)
    assert restored.image.size == (61, 45)
    assert restored.scale == 2
    assert "enlarged 2 times" in restored.describe()
    assert np.array_equal(np.asarray(restored.image), hybrid.decode(data))


def test_a_picture_marked_so_is_left_as_decoded() -> None:
    data = add_note(coded(photo(61, 45), quality=30), Note(61, 45, plain=True))
    restored = restore_file(data, NETWORK)
    assert restored.plain
    assert "left as decoded" in restored.describe()
    assert np.array_equal(np.asarray(restored.image), opened(data))


@pytest.mark.parametrize("change", ["turned", "cut", "another size"])
@pytest.mark.parametrize("plain", [False, True])
def test_a_note_says_nothing_of_another_picture(change: str, plain: bool) -> None:
    noted = add_note(coded(photo(50, 30), quality=40), Note(100, 60, plain))
    with Image.open(io.BytesIO(noted)) as image:
        box = (0, 0, 30, 30) if change == "cut" else None
        changed = image.rotate(90, expand=True) if change == "turned" else image.crop(box)
        comment = image.info["comment"]
    if change == "another size":
        changed = changed.resize((49, 31))
    data = coded(changed, quality=40, comment=comment)
    restored = restore_file(data, NETWORK)
    assert (restored.image.size, restored.scale, restored.plain) == (changed.size, 1, False)
    expected = NETWORK.restore(opened(data), condition_of(read_origin(data)))
    assert np.array_equal(np.asarray(restored.image), expected)


def test_a_picture_coded_again_is_restored_though_the_first_one_was_not_to_be() -> None:
    noted = add_note(coded(photo(61, 45), quality=80), Note(61, 45, plain=True))
    again = io.BytesIO()
    with Image.open(io.BytesIO(noted)) as image:
        image.save(again, "JPEG", quality=5)
    assert b"tnGn" in again.getvalue()
    assert not restore_file(again.getvalue(), NETWORK).plain


def test_a_note_does_not_ask_for_more_than_there_is_room_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = add_note(coded(photo(50, 30), quality=40), Note(100, 60))
    monkeypatch.setattr("tngexp.hybrid.restore.MAX_PIXELS", 6000)
    assert restore_file(data, NETWORK).image.size == (100, 60)
    monkeypatch.setattr("tngexp.hybrid.restore.MAX_PIXELS", 5999)
    with pytest.raises(UnreadableImageError, match="larger than"):
        restore_file(data, NETWORK)
    far = add_note(data, Note(2**26 - 1, 2**26 - 1))
    assert restore_file(far, NETWORK).image.size == (50, 30)


def test_profile_and_exif_stay() -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "maker"
    data = coded(photo(61, 45), icc_profile=other_profile(), exif=exif)
    image = restore(data, NETWORK)
    assert image.info["icc_profile"] == other_profile()
    assert image.size == (61, 45)  # turned by whoever reads the EXIF, once
    found = Image.Exif()
    found.load(image.info["exif"])
    assert (found[0x0112], found[0x010F]) == (6, "maker")


def test_grey_stays_grey_and_cmyk_becomes_rgb() -> None:
    grey = restore(coded(as_mode("L", 61, 45)), NETWORK)
    assert grey.mode == "L"
    assert grey.size == (61, 45)
    cmyk = restore(coded(photo(61, 45).convert("CMYK")), NETWORK)
    assert cmyk.mode == "RGB"
    assert np.abs(np.asarray(cmyk).astype(int) - np.asarray(photo(61, 45))).mean() < 40


@pytest.mark.parametrize("kind", ["WEBP", "AVIF"])
def test_alpha_stays(kind: str) -> None:
    image = as_mode("RGBA", 61, 45)
    data = coded(image, kind, quality=80)
    restored = restore(data, NETWORK)
    assert restored.mode == "RGBA"
    before = Image.open(io.BytesIO(data)).convert("RGBA").getchannel("A")
    assert np.array_equal(np.asarray(restored.getchannel("A")), np.asarray(before))


def test_files_of_other_kinds_are_restored_blindly() -> None:
    image = photo(61, 45)
    expected = NETWORK.restore(np.asarray(image), condition_of(None))
    restored = restore_file(coded(image, "PNG"), NETWORK)
    assert restored.origin is None
    assert "without knowing" in restored.describe()
    assert np.array_equal(np.asarray(restored.image), expected)


def test_a_jpeg_saved_as_png_is_known_by_its_pixels() -> None:
    data = coded(photo(240, 200), quality=50)
    png = coded(Image.fromarray(opened(data)), "PNG")
    restored = restore_file(png, NETWORK)
    assert restored.estimated
    assert restored.origin is not None
    assert "as its pixels tell" in restored.describe()
    expected = NETWORK.restore(opened(data), condition_of(restored.origin))
    assert np.array_equal(np.asarray(restored.image), expected)
    in_memory = restore(Image.fromarray(opened(data)), NETWORK)
    assert np.array_equal(np.asarray(in_memory), expected)
    others = restore_file(png, small("webp"))  # which would not know what a JPEG is
    assert others.origin is None


def test_an_image_knows_its_file_until_it_is_changed(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(coded(photo(61, 45), quality=30))
    expected = np.asarray(restore(path, NETWORK))
    assert np.array_equal(np.asarray(restore(str(path), NETWORK)), expected)
    with Image.open(path) as image:
        assert np.array_equal(np.asarray(restore(image, NETWORK)), expected)
    with Image.open(io.BytesIO(path.read_bytes())) as image:
        assert np.array_equal(np.asarray(restore(image, NETWORK)), expected)
    with Image.open(path) as image:
        turned = image.rotate(180)
    blind = NETWORK.restore(np.asarray(turned), condition_of(None))
    assert np.array_equal(np.asarray(restore(turned, NETWORK)), blind)
    with Image.open(path) as image:
        image.thumbnail((30, 30))
        assert restore(image, NETWORK).size == image.size


def painted(image: Image.Image) -> None:
    image.paste((255, 0, 0), (0, 0, 30, 20))


def dotted(image: Image.Image) -> None:
    image.putpixel((3, 4), (0, 0, 255))


def drawn(image: Image.Image) -> None:
    ImageDraw.Draw(image).line((0, 0, 60, 44), fill=(0, 0, 0))


@pytest.mark.parametrize("edit", [painted, dotted, drawn])
@pytest.mark.parametrize("named", [True, False])
def test_what_was_painted_over_stays_so(edit: Any, named: bool, tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(coded(photo(61, 45), quality=30))
    with Image.open(path if named else io.BytesIO(path.read_bytes())) as image:
        image.load()
        edit(image)
        assert image.format == "JPEG"  # Pillow does not tell
        expected = NETWORK.restore(np.asarray(image), condition_of(None))
        assert np.array_equal(np.asarray(restore(image, NETWORK)), expected)


def test_alpha_that_was_changed_stays_so(tmp_path: Path) -> None:
    path = tmp_path / "photo.webp"
    path.write_bytes(coded(as_mode("RGBA", 61, 45), "WEBP"))
    with Image.open(path) as image:
        image.putalpha(128)
        assert image.format == "WEBP"
        assert restore(image, NETWORK).getchannel("A").getextrema() == (128, 128)


def test_exif_that_was_taken_out_of_an_image_stays_out() -> None:
    exif = Image.Exif()
    exif[0x010F] = "maker"
    data = coded(photo(61, 45), exif=exif)
    with Image.open(io.BytesIO(data)) as image:
        del image.info["exif"]
        found = restore(image, NETWORK)
    assert "exif" not in found.info
    expected = NETWORK.restore(opened(data), condition_of(read_origin(data)))
    assert np.array_equal(np.asarray(found), expected)


def test_a_file_that_was_replaced_is_not_the_image_s(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    photo(61, 45).save(path)
    for other in (coded(photo(61, 45).rotate(180)), coded(photo(61, 45))[:700], b"text"):
        with Image.open(path) as image:
            image.load()
            before = path.read_bytes()
            path.write_bytes(other)
            expected = NETWORK.restore(np.asarray(image), condition_of(None))
            assert np.array_equal(np.asarray(restore(image, NETWORK)), expected)
        path.write_bytes(before)


def test_the_package_offers_it(network: Path) -> None:
    data = coded(photo(20, 20))
    assert tngexp.restore(data, network).size == (20, 20)


@pytest.mark.parametrize("size", [(1, 1), (5, 3)])
def test_pictures_smaller_than_the_network_s_reach(size: tuple[int, int]) -> None:
    assert restore(coded(photo(*size)), NETWORK).size == size


def animation() -> bytes:
    frames = [photo(20, 20), photo(20, 20).rotate(90)]
    return coded(frames[0], "WEBP", save_all=True, append_images=frames[1:])


@pytest.mark.parametrize(
    ("data", "error", "said"),
    [
        (b"", UnreadableImageError, "empty"),
        (b"hello", UnreadableImageError, "not an image"),
        (coded(photo(61, 45))[:400], UnreadableImageError, "truncated|damaged"),
        (animation(), ConfigError, "2 images.*one by one"),
        (
            coded(Image.fromarray(np.full((9, 9), 900, np.uint16)), "PNG"),
            ConfigError,
            "more than 8 bits",
        ),
    ],
    ids=["empty", "text", "cut off", "animation", "16 bits"],
)
def test_what_cannot_be_restored_is_told_in_one_line(
    data: bytes, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said) as caught:
        restore(data, NETWORK)
    assert "\n" not in str(caught.value)


def deep_avif() -> bytes:
    """The configuration of 10 bits, to be refused before anything is decoded."""
    data = bytearray(coded(photo(20, 20), "AVIF"))
    data[data.index(b"av1C") + 6] |= 0x40
    return bytes(data)


@pytest.mark.parametrize(
    "data",
    [
        DEEP_PNG,
        deep_avif(),
        b"BPG\xfb\x62" + bytes(20),
        b"P6 4 3 65535\n" + bytes(6 * 4 * 3),
        b"P3 1 1 1000\n1 2 3\n",
    ],
    ids=["PNG", "AVIF", "BPG", "PPM", "PPM of text"],
)
def test_colours_of_more_than_8_bits_are_told_in_one_line(data: bytes) -> None:
    with pytest.raises(ConfigError, match="more than 8 bits a channel"):
        restore_file(data, NETWORK)


def test_images_of_more_than_8_bits_are_told_as_files_are() -> None:
    for load in (False, True):
        with Image.open(io.BytesIO(DEEP_PNG)) as image:
            if load:
                image.load()
                assert image.mode == "RGB"
            with pytest.raises(ConfigError, match="more than 8 bits"):
                restore(image, NETWORK)
    with pytest.raises(ConfigError, match="more than 8 bits"):
        restore(Image.fromarray(np.full((9, 9), 900, np.uint16)), NETWORK)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGBA"])
def test_pictures_of_8_bits_and_fewer_are_not_deep(mode: str) -> None:
    for kind in ("PNG", "BMP", "TIFF"):
        assert restore(coded(photo(20, 20).convert(mode), kind), NETWORK).size == (20, 20)


def test_a_codec_that_the_network_does_not_know() -> None:
    only: Hybrid = small("jpeg")
    with pytest.raises(ConfigError, match="coded as WEBP, while this network was trained for jpeg"):
        restore(coded(photo(20, 20), "WEBP"), only)
    assert restore(coded(photo(20, 20), subsampling="4:4:4"), only).size == (20, 20)
