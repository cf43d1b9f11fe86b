"""``.tng`` as a format of Pillow."""

from __future__ import annotations

import copy
import io
import os
import pickle
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from image_files import tiff
from PIL import Image, UnidentifiedImageError
from small_look import small_look
from support import checkpoint, codec_config, other_profile, photo

import tngexp.pillow
from tngexp import zoo
from tngexp.bitstream import ImageCodec
from tngexp.coding import read
from tngexp.model.codec import Codec
from tngexp.types import ConfigError

ORIENTATION = 0x0112


@pytest.fixture(scope="module")
def codecs() -> tuple[ImageCodec, ImageCodec]:
    """A variable-rate and a fixed-rate codec."""
    torch.manual_seed(0)
    return (
        ImageCodec(Codec.from_config(codec_config(rate="variable"))).eval(),
        ImageCodec(Codec.from_config(codec_config())).eval(),
    )


@pytest.fixture(autouse=True)
def _forget(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("TNGEXP_MODEL", raising=False)
    yield
    tngexp.pillow.use(None)


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "LA"])
def test_save_and_open(codecs: tuple[ImageCodec, ImageCodec], tmp_path: Path, mode: str) -> None:
    codec = codecs[0]
    tngexp.pillow.use(codec)
    image = photo(33, 21).convert(mode)
    if mode.endswith("A"):
        image.putalpha(Image.linear_gradient("L").resize(image.size))
    image.save(tmp_path / "a.tng", quality=75)
    data = (tmp_path / "a.tng").read_bytes()
    assert data == codec.compress(image, 0.75)
    with Image.open(tmp_path / "a.tng") as opened:
        assert (opened.format, opened.mode, opened.size) == ("TNG", mode, (33, 21))
        assert opened.get_format_mimetype() == "image/x-tng"
        assert np.array_equal(np.asarray(opened), np.asarray(codec.decompress(data)))
        opened.load()  # again
        assert opened.resize((5, 5)).size == (5, 5)


@pytest.mark.parametrize("mode", ["L", "RGBA"])
def test_a_file_larger_than_its_pixels(
    codecs: tuple[ImageCodec, ImageCodec], tmp_path: Path, mode: str
) -> None:
    """Pillow maps large enough files of raw pixels, which this is not."""
    image = Image.new(mode, (2, 1), 77)
    image.save(tmp_path / "a.tng", model=codecs[0])
    tngexp.pillow.use(codecs[0])
    with Image.open(tmp_path / "a.tng") as opened:
        expected = codecs[0].decompress((tmp_path / "a.tng").read_bytes())
        assert np.array_equal(np.asarray(opened), np.asarray(expected))


def test_opening_reads_the_header_only(codecs: tuple[ImageCodec, ImageCodec]) -> None:
    buffer = io.BytesIO(codecs[0].compress(photo(33, 21)))
    image = Image.open(buffer)  # without any model
    assert image.size == (33, 21)
    with pytest.raises(OSError, match="coded with model"):
        image.load()  # by the default
    tngexp.pillow.use(codecs[1])
    with pytest.raises(OSError, match="coded with model"):
        image.load()
    tngexp.pillow.use(codecs[0])
    image.load()


def test_metadata(codecs: tuple[ImageCodec, ImageCodec], tmp_path: Path) -> None:
    tngexp.pillow.use(codecs[0])
    profile = other_profile()
    exif = Image.Exif()
    exif[ORIENTATION] = 8
    image = photo(33, 21)
    image.save(tmp_path / "a.tng", icc_profile=profile, exif=exif)
    assert "icc_profile" not in image.info
    with Image.open(tmp_path / "a.tng") as opened:
        assert opened.info["icc_profile"] == profile
        assert opened.getexif()[ORIENTATION] == 8
        opened.save(tmp_path / "b.tng")  # and they go on to the next file
        opened.save(tmp_path / "c.tng", icc_profile=None)
    again, bare = (read((tmp_path / name).read_bytes()) for name in ("b.tng", "c.tng"))
    assert (again.icc, again.orientation) == (profile, 8)
    assert (bare.icc, bare.orientation) == (None, 8)


@pytest.mark.parametrize("loaded", [False, True])
@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
def test_images_travel_between_processes(
    codecs: tuple[ImageCodec, ImageCodec], tmp_path: Path, mode: str, loaded: bool
) -> None:
    """By pickle, as multiprocessing and data loaders do, and as copies."""
    tngexp.pillow.use(codecs[0])
    image = photo(33, 21).convert(mode)
    if mode == "RGBA":
        image.putalpha(99)
    image.save(tmp_path / "a.tng", icc_profile=None if mode == "L" else other_profile())
    expected = np.asarray(codecs[0].decompress((tmp_path / "a.tng").read_bytes()))
    for again in (lambda i: pickle.loads(pickle.dumps(i)), copy.deepcopy, copy.copy):
        with Image.open(tmp_path / "a.tng") as opened:
            if loaded:
                opened.load()
            other = again(opened)
        assert (other.mode, other.size, other.info) == (opened.mode, opened.size, opened.info)
        assert np.array_equal(np.asarray(other), expected)
        assert other.getpixel((3, 4)) == opened.getpixel((3, 4))
        other.save(tmp_path / "b.png")


def test_hidden_colours_and_marks(codecs: tuple[ImageCodec, ImageCodec], tmp_path: Path) -> None:
    tngexp.pillow.use(codecs[0])
    image = photo(33, 21)
    image.putalpha(Image.linear_gradient("L").resize(image.size).point(lambda v: v & 128))
    image.info["cicp"] = bytes([12, 13, 0, 1])
    image.save(tmp_path / "a.tng")
    image.save(tmp_path / "b.tng", exact=True)
    plain, exact = ((tmp_path / name).read_bytes() for name in ("a.tng", "b.tng"))
    assert (plain, exact) == (codecs[0].compress(image), codecs[0].compress(image, exact=True))
    assert plain != exact
    with Image.open(tmp_path / "a.tng") as opened:
        assert opened.info["cicp"] == bytes([12, 13, 0, 1])


def test_what_a_file_says_of_its_pixels_is_heard(
    codecs: tuple[ImageCodec, ImageCodec], tmp_path: Path
) -> None:
    """``save`` decodes the image first, and a copy would have forgotten that white is zero."""
    tngexp.pillow.use(codecs[0])
    values = np.linspace(0, 65535, 24 * 10).astype("<u2").reshape(10, 24)
    data = tiff((24, 10), 16, (65535 - values).tobytes(), photometric=0)
    expected = codecs[0].compress(values)
    for options in ({}, {"icc_profile": None}, {"exif": Image.Exif()}):
        with Image.open(io.BytesIO(data)) as image:
            image.save(tmp_path / "a.tng", **options)
        assert (tmp_path / "a.tng").read_bytes() == expected
    with (
        Image.open(io.BytesIO(tiff((24, 10), 32, bytes(960), sample_format=3))) as image,
        pytest.raises(ValueError, match="no defined white"),
    ):
        image.save(tmp_path / "b.tng")


def test_quality_counts_as_in_jpeg_or_as_in_the_codec(
    codecs: tuple[ImageCodec, ImageCodec],
) -> None:
    tngexp.pillow.use(codecs[0])

    def saved(**options: object) -> int | None:
        buffer = io.BytesIO()
        photo(8, 8).save(buffer, "TNG", **options)
        return read(buffer.getvalue()).quality

    assert saved() == 128
    assert saved(quality=0) == 0
    assert saved(quality=100) == saved(quality=1.0) == 255
    assert saved(quality=np.int64(40)) == saved(quality=0.4) == 102
    assert saved(quality=1) == 3
    for bad in (101, -1, 1.5, float("nan"), "keep", True):
        with pytest.raises(ValueError, match="quality must be"):
            saved(quality=bad)
    with pytest.raises(ValueError, match="fixed rate"):
        saved(quality=50, model=codecs[1])
    assert saved(model=codecs[1]) is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"exif": b"junk"}, "exif is damaged"),
        ({"exif": 5}, "exif must be an Exif of Pillow, bytes or None, not 5"),
        ({"icc_profile": 5}, "icc_profile must be bytes or None, not 5"),
        ({"model": 3}, "model must be a codec, a name of tngexp.zoo or a checkpoint's path, not 3"),
    ],
)
def test_bad_options_are_value_errors(
    codecs: tuple[ImageCodec, ImageCodec], options: dict[str, object], message: str
) -> None:
    tngexp.pillow.use(codecs[1])
    buffer = io.BytesIO()
    with pytest.raises(ValueError, match=message):
        photo(8, 8).save(buffer, "TNG", **options)
    assert not buffer.getvalue()


def test_shipped_models_need_no_naming(tmp_path: Path) -> None:
    for name in zoo.MODELS:
        photo(40, 24).save(tmp_path / "a.tng", model=name)
        with Image.open(tmp_path / "a.tng") as image:
            assert np.array_equal(
                np.array(image),
                np.array(tngexp.load(name).decompress((tmp_path / "a.tng").read_bytes())),
            )
    photo(40, 24).save(tmp_path / "b.tng")
    assert read((tmp_path / "b.tng").read_bytes()).model == tngexp.load(zoo.DEFAULT).fingerprint()


def test_models_by_path_and_environment(
    codecs: tuple[ImageCodec, ImageCodec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = checkpoint(codecs[0], tmp_path / "codec.ckpt")
    photo(8, 8).save(tmp_path / "a.tng", model=path)
    monkeypatch.setenv("TNGEXP_MODEL", str(path))
    with Image.open(tmp_path / "a.tng") as image:
        image.load()
    with pytest.raises(ValueError, match="no such checkpoint"):
        photo(8, 8).save(tmp_path / "b.tng", model=tmp_path / "none.ckpt")


def test_a_checkpoint_that_is_replaced_is_read_anew(
    codecs: tuple[ImageCodec, ImageCodec], tmp_path: Path
) -> None:
    models = []
    for index, codec in enumerate(codecs):
        path = checkpoint(codec, tmp_path / "codec.ckpt")
        os.utime(path, (1e9, 1e9))  # as a copy that keeps its date
        photo(8, 8).save(tmp_path / f"{index}.tng", model=path)
        models.append(read((tmp_path / f"{index}.tng").read_bytes()).model)
    assert models == [codec.fingerprint() for codec in codecs]
    # Written over in place, with as many bytes and the same date.
    states = set()
    for content in (b"one", b"two"):
        path.write_bytes(content)
        os.utime(path, (1e9, 1e9))
        states.add(tngexp.pillow._state(path))
        time.sleep(0.05)  # file systems count time in steps
    assert len(states) == 2


def test_bad_files_fail_as_pillows_users_expect(codecs: tuple[ImageCodec, ImageCodec]) -> None:
    data = codecs[0].compress(photo(33, 21))
    with pytest.raises(UnidentifiedImageError, match="cut short"):
        Image.open(io.BytesIO(data[:-1]))
    with pytest.raises(UnidentifiedImageError):
        Image.open(io.BytesIO(b"neither fish nor fowl"))
    jpeg = io.BytesIO()
    photo(8, 8).save(jpeg, "JPEG")
    with Image.open(jpeg) as image:  # other formats are none of ours
        assert image.format == "JPEG"


def test_a_bare_model_will_do(codecs: tuple[ImageCodec, ImageCodec], tmp_path: Path) -> None:
    tngexp.pillow.use(codecs[0].model)
    image = photo(33, 21)
    image.save(tmp_path / "a.tng", quality=0.75)
    assert (tmp_path / "a.tng").read_bytes() == codecs[0].compress(image, 0.75)


def test_files_open_at_a_look(tmp_path: Path) -> None:
    small = small_look(tmp_path)
    codec = tngexp.load(small.base, look=small.look)
    data = codec.compress(photo(40, 30))
    (tmp_path / "a.tng").write_bytes(data)
    for use, look in ((codec, 0.5), (codec, 0), (small.base, 0)):
        tngexp.pillow.use(use, look=look)
        with Image.open(tmp_path / "a.tng") as opened:
            expected = codec.decompress(data, look=look)
            assert np.array_equal(np.asarray(opened), np.asarray(expected))
    tngexp.pillow.use(codec, look=1)
    for model, wrong in ((codec, 2), (small.base, 1)):
        with pytest.raises(ConfigError, match="look"):
            tngexp.pillow.use(model, look=wrong)
    with Image.open(tmp_path / "a.tng") as opened:  # what was chosen before still counts
        assert np.array_equal(np.asarray(opened), np.asarray(codec.decompress(data, look=1)))
    tngexp.pillow.use(None)
    assert tngexp.pillow._look == 0
