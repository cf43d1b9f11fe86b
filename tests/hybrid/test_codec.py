"""A codec with a network behind it as one more anchor."""

from __future__ import annotations

import io
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from small_hybrid import small
from support import photo

from tngexp.anchors import AnchorError, anchor
from tngexp.datasets.images import FilePhoto
from tngexp.evaluation.anchored import decode_record, measure_anchors
from tngexp.evaluation.curves import to_curves
from tngexp.hybrid.codec import HybridCodec, codec_of, codecs_by_name, codecs_of
from tngexp.hybrid.model import condition_of, save_hybrid
from tngexp.hybrid.note import Note, add_note, read_note
from tngexp.hybrid.origin import UnknownOriginError, read_origin
from tngexp.hybrid.restore import restore_file
from tngexp.hybrid.scaling import enlarged, smaller
from tngexp.metrics.records import ImageRecord
from tngexp.types import ConfigError


def pixels(width: int = 60, height: int = 44) -> NDArray[np.uint8]:
    return np.array(photo(width, height))


def test_names_say_what_is_done(network: Path) -> None:
    assert codec_of("jpeg") == anchor("jpeg")
    codec = codec_of(f"webp@1.5+{network}")
    assert codec.name == f"webp@1.5+{network}"
    assert codec.label == "WebP, 1/1.5 of the size + small"
    assert codec.extension == ".webp"
    assert codec.settings == anchor("webp").settings
    assert codec_of("jpeg@2").label == "JPEG 4:2:0, 1/2 of the size"
    assert "1.5 times smaller" in codec.how
    assert str(network) in codec.how
    assert anchor("webp").version() in codec.version()


def test_the_version_follows_the_weights(network: Path) -> None:
    before = codec_of(f"jpeg+{network}").version()
    save_hybrid(small("jpeg", strength=2.0), network)
    assert codec_of(f"jpeg+{network}").version() != before


def test_any_size_is_one_curve(network: Path, tmp_path: Path) -> None:
    found = codecs_of(f"webp@any+{network}")
    assert [codec.name for codec in found] == [
        f"webp@{factor}+{network}" if factor != "1" else f"webp+{network}"
        for factor in ("1", "1.5", "2")
    ]
    assert {codec.label for codec in found} == {"WebP, any size + small"}
    assert codecs_of("jpeg") == [anchor("jpeg")]
    assert [codec.label for codec in codecs_of("jpeg@any")] == 3 * ["JPEG 4:2:0, any size"]
    photo(64, 48).save(tmp_path / "a.png")
    photos = [FilePhoto(tmp_path / "a.png", "a.png", 48)]
    names = ["jpeg@any", f"jpeg@any+{network}"]
    settings = {"jpeg": [20, 60]}
    records = measure_anchors(names, photos, tmp_path / "c", settings=settings, workers=1).records
    curves = to_curves(records)
    assert [(curve.kind, len(curve.points)) for curve in curves] == [("anchor", 6), ("codec", 6)]
    # JPEG alone stays a curve of its own.
    names.append("jpeg")
    records = measure_anchors(names, photos, tmp_path / "c", settings=settings, workers=1).records
    assert [len(curve.points) for curve in to_curves(records)] == [6, 6, 2]
    with pytest.raises(ConfigError, match="Did you mean 'jpeg'"):
        codecs_of("jpg@any")


def test_networks_of_one_name_are_two_curves(network: Path) -> None:
    last = network.with_name("other") / network.name
    last.parent.mkdir()
    shutil.copy(network, last)
    one, other = f"jpeg+{network}", f"jpeg+{last}"
    found = codecs_by_name([one, other, f"webp+{network}", "jpeg", one])
    assert {name: [codec.label for codec in codecs] for name, codecs in found.items()} == {
        one: [f"JPEG 4:2:0 + small ({network})"],
        other: [f"JPEG 4:2:0 + small ({last})"],
        f"webp+{network}": ["WebP + small"],
        "jpeg": ["JPEG 4:2:0"],
    }


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("jpg@2", "Did you mean 'jpeg'"),
        ("jpeg@3", "made smaller by 1, 1.5, 2, not '3'"),
        ("jpeg@", "not ''"),
        ("jpeg+", "names no network"),
        ("jpeg+absent.ckpt", r"absent\.ckpt: no such checkpoint"),
    ],
)
def test_names_without_meaning_are_refused(name: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        codec_of(name)


def test_a_network_for_other_codecs_is_refused(tmp_path: Path) -> None:
    save_hybrid(small("jpeg"), tmp_path / "n.safetensors")
    with pytest.raises(ConfigError, match="trained for jpeg, not for webp"):
        codec_of(f"webp+{tmp_path / 'n.safetensors'}")


def test_the_file_is_the_codec_s_own() -> None:
    rgb = pixels()
    hybrid = HybridCodec.made(anchor("jpeg"), 1.0, small(strength=0.01))
    data = hybrid.encode(rgb, 30)
    own = anchor("jpeg").encode(rgb, 30)
    note = read_note(data)
    assert data == own or (note is not None and note.plain)


def test_the_network_sees_what_the_file_says() -> None:
    rgb, network = pixels(), small(strength=3.0)
    hybrid = HybridCodec.made(anchor("jpeg"), 1.0, network)
    data = anchor("jpeg").encode(rgb, 30)
    expected = network.restore(anchor("jpeg").decode(data), condition_of(read_origin(data)))
    assert np.array_equal(hybrid.decode(data), expected)
    other = network.restore(anchor("jpeg").decode(data), condition_of(None))
    assert not np.array_equal(expected, other)


@pytest.mark.parametrize("name", ["jpeg", "webp", "avif", "bpg"])
@pytest.mark.parametrize("factor", [1.5, 2.0])
def test_a_smaller_picture_says_its_size(name: str, factor: float) -> None:
    base, rgb = anchor(name), pixels(61, 45)
    if base.missing():
        pytest.skip(str(base.missing()))
    hybrid = HybridCodec.made(base, factor)
    data = hybrid.encode(rgb, base.settings[6])
    note = read_note(data)
    assert note is not None
    assert (note.width, note.height) == (61, 45)
    plain = base.encode(np.ascontiguousarray(smaller(rgb, factor)), base.settings[6])
    assert 0 < len(data) - len(plain) <= 24
    assert np.array_equal(hybrid.decode(data), enlarged(base.decode(plain), 45, 61))
    if name != "bpg":
        with Image.open(io.BytesIO(data)) as image:  # every viewer opens it
            assert image.size == (-(-61 // factor), -(-45 // factor))


def test_a_picture_that_would_lose_is_left_as_it_is() -> None:
    rgb = pixels()
    worse = HybridCodec.made(anchor("jpeg"), 1.0, small(strength=30.0))
    data = worse.encode(rgb, 30)
    note = read_note(data)
    assert note is not None
    assert note.plain
    assert np.array_equal(worse.decode(data), anchor("jpeg").decode(data))


def test_a_lossless_file_is_left_as_it_is() -> None:
    avif, network = anchor("avif"), small("avif")
    codec = HybridCodec.made(avif, 1.0, network)
    data = codec.encode(pixels(), 100)
    with pytest.raises(UnknownOriginError, match="lossless"):
        read_origin(data)
    assert np.array_equal(codec.decode(data), avif.decode(data))
    restored = restore_file(data, network)  # which would have restored it blindly
    assert restored.plain
    assert np.array_equal(np.asarray(restored.image), avif.decode(data))
    unmarked = avif.encode(pixels(), 100)
    assert np.array_equal(codec.decode(unmarked), avif.decode(unmarked))


def test_a_note_of_another_picture_changes_no_size() -> None:
    codec, data = HybridCodec.made(anchor("jpeg"), 2.0), anchor("jpeg").encode(pixels(), 30)
    assert np.array_equal(
        codec.decode(add_note(data, Note(2**25, 2**25))), anchor("jpeg").decode(data)
    )


def test_a_picture_that_gains_is_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    rgb, network = pixels(), small()

    def perfect(decoded: NDArray[np.uint8], *_: object) -> NDArray[np.uint8]:
        return rgb if decoded.shape == rgb.shape else decoded

    monkeypatch.setattr(type(network), "restore", lambda self, *args: perfect(*args))
    hybrid = HybridCodec.made(anchor("jpeg"), 1.0, network)
    data = hybrid.encode(rgb, 30)
    assert read_note(data) is None
    assert data == anchor("jpeg").encode(rgb, 30)
    assert np.array_equal(hybrid.decode(data), rgb)


def test_what_is_worse_the_objective_says(monkeypatch: pytest.MonkeyPatch) -> None:
    rgb = np.array(photo(192, 192))
    brighter = (rgb.astype(int) + 6).clip(0, 255).astype(np.uint8)  # MS-SSIM hardly minds
    for distortion, plain in (("mse", True), ("msssim", False)):
        network = small()
        assert network.objective is not None
        network.objective = network.objective._replace(distortion=distortion)
        monkeypatch.setattr(type(network), "restore", lambda self, *_: brighter)
        note = read_note(HybridCodec.made(anchor("jpeg"), 1.0, network).encode(rgb, 40))
        assert (note is not None and note.plain) is plain


def test_a_damaged_file_is_an_error_of_the_codec(network: Path) -> None:
    codec = codec_of(f"jpeg+{network}")
    for data in (b"", b"\xff\xd8\xff", b"no image"):
        with pytest.raises(AnchorError, match="JPEG 4:2:0"):
            codec.decode(data)


def test_it_is_measured_like_any_other(network: Path, tmp_path: Path) -> None:
    for number in range(2):
        photo(64 + number, 48).save(tmp_path / f"{number}.png")
    photos = [FilePhoto(p, p.name, 48) for p in sorted(tmp_path.glob("*.png"))]
    names = ["jpeg", "jpeg@2", f"jpeg@2+{network}"]

    def measured() -> list[ImageRecord]:
        found = measure_anchors(
            names, photos, tmp_path / "cache", settings={"jpeg": [20]}, workers=1
        )
        assert found.missing == []
        return found.records

    records = measured()
    assert [r.model for r in records] == [name for name in names for _ in photos]
    assert len({r.codec for r in records}) == 3
    # The setting of the codec counts for it under all names.
    assert {r.quality for r in records} == {20.0}
    for record in records:
        decoded = decode_record(tmp_path / "cache", record)
        assert decoded.shape == (record.measured.height, record.measured.width, 3)
    assert [r.date for r in measured()] == [r.date for r in records]  # nothing anew


def test_it_goes_to_other_processes(network: Path) -> None:
    codec = codec_of(f"jpeg@1.5+{network}")
    there = pickle.loads(pickle.dumps(codec))
    data = codec.encode(pixels(), 30)
    assert there.encode(pixels(), 30) == data
    assert np.array_equal(there.decode(data), codec.decode(data))
