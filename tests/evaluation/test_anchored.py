from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from support import photo

from tngexp.anchors import Anchor, AnchorError, anchor
from tngexp.anchors.base import Pixels, QualityParameter
from tngexp.datasets.images import DataError, FilePhoto
from tngexp.evaluation import anchor_cache, anchored
from tngexp.evaluation.anchored import (
    Anchored,
    cached_file,
    decode_record,
    measure_anchors,
)
from tngexp.metrics.records import ImageRecord
from tngexp.types import ConfigError, TngexpError


@dataclass(frozen=True)
class Drawn:
    name: str
    width: int
    height: int

    @property
    def short_side(self) -> int:
        return min(self.width, self.height)

    def decode(self) -> Pixels:
        return np.array(photo(self.width, self.height))


class Coarse(Anchor):
    """Drops low bits; remembers what it was asked to encode."""

    name, label, extension = "coarse", "Coarse", ".raw"
    parameter = QualityParameter("step", 1, 64, (32, 8, 4))

    def __init__(self) -> None:
        self.encoded: list[float] = []
        self.release = "1.0"
        self.absent: str | None = None

    @property
    def how(self) -> str:
        return "rounds down"

    def missing(self) -> str | None:
        return self.absent

    def version(self) -> str:
        return self.release

    def decode(self, data: bytes) -> Pixels:
        size = np.frombuffer(data[:4], "<u2")
        return np.frombuffer(data[4:], np.uint8).reshape(*size, 3)

    def _encode(self, rgb: Pixels, setting: float) -> bytes:
        if setting == 64:
            raise AnchorError("Coarse cannot encode this image: too coarse")
        if rgb.any():  # none of the tests' photos is black
            self.encoded.append(setting)
        step = int(setting)
        return np.array(rgb.shape[:2], "<u2").tobytes() + (rgb // step * step).tobytes()


PHOTOS = [Drawn("a.png", 24, 16), Drawn("b.png", 20, 30)]


@pytest.fixture
def codec() -> Coarse:
    return Coarse()


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def without(record: ImageRecord, *names: str) -> dict[str, Any]:
    return {name: value for name, value in record.to_json().items() if name not in names}


def run(codec: Coarse, cache: Path, **options) -> Anchored:
    return measure_anchors([codec], PHOTOS, cache, workers=1, **options)


def test_a_codec_loads_what_it_needs_before_it_is_timed(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    happened: list[Any] = []

    class Spied(Coarse):
        def _encode(self, rgb: Pixels, setting: float) -> bytes:
            happened.append(rgb.shape[:2])
            return super()._encode(rgb, setting)

    clock = SimpleNamespace(perf_counter=lambda: happened.append("clock") or 0.0)
    monkeypatch.setattr(import_module("tngexp.evaluation.measure"), "time", clock)
    monkeypatch.setattr(anchored, "_WARM", set())
    run(Spied(), cache, settings={"coarse": 8})
    timed = [["clock", size, "clock", "clock"] for size in ((16, 24), (30, 20))]
    assert happened == [(16, 16), *timed[0], *timed[1]]


def test_records_are_complete(codec: Coarse, cache: Path) -> None:
    result = run(codec, cache, dataset="drawn", metrics=["gmsd"])
    assert result.missing == []
    assert [(r.quality, r.image) for r in result.records] == [
        (setting, photo.name) for setting in (32, 8, 4) for photo in PHOTOS
    ]
    record = result.records[0]
    size = 4 + 24 * 16 * 3
    assert record.measured.bytes == size
    assert record.measured.bpp == 8 * size / (24 * 16)
    x = PHOTOS[0].decode().astype(float)
    mse = np.mean((x - x // 32 * 32) ** 2)
    assert record.measured.psnr_db == pytest.approx(10 * np.log10(255**2 / mse), abs=1e-3)
    assert record.measured.ms_ssim is None
    assert record.measured.encode_s > 0
    assert list(record.measured.metrics) == ["gmsd"]
    known = {
        "kind": "anchor",
        "model": "coarse",
        "codec": "Coarse",
        "setting": "step 32",
        "dataset": "drawn",
        "versions": {"codec": "1.0"},
        "how": "rounds down",
        "device": "cpu",
        "width": 24,
        "height": 16,
    }
    content = record.to_json()
    assert {key: content[key] for key in known} == known
    assert content["date"].endswith("+00:00")
    json.dumps([record.to_json() for record in result.records], allow_nan=False)


def test_what_is_cached_is_not_coded_again(codec: Coarse, cache: Path) -> None:
    first = run(codec, cache)
    assert codec.encoded == [32, 8, 4, 32, 8, 4]
    again = run(codec, cache)
    assert len(codec.encoded) == 6
    assert again == first
    renamed = [dataclasses.replace(PHOTOS[0], name="other/name.png")]
    found = measure_anchors([codec], renamed, cache, workers=1).records
    assert len(codec.encoded) == 6
    assert [record.image for record in found] == ["other/name.png"] * 3


def test_another_version_setting_metric_or_measurement_is_measured_anew(
    codec: Coarse, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(codec, cache)
    codec.encoded.clear()
    run(codec, cache, settings={"coarse": [8, 9]})
    assert codec.encoded == [9, 9]
    run(codec, cache, metrics=["gmsd"], settings={"coarse": [8]})
    assert codec.encoded == [9, 9, 8, 8]
    codec.release = "1.1"
    records = run(codec, cache, settings={"coarse": [4]}).records
    assert codec.encoded == [9, 9, 8, 8, 4, 4]
    assert {record.versions["codec"] for record in records} == {"1.1"}
    monkeypatch.setattr(anchor_cache, "MEASUREMENT_VERSION", -1)
    run(codec, cache, settings={"coarse": [4]})
    assert codec.encoded == [9, 9, 8, 8, 4, 4, 4, 4]


@pytest.mark.parametrize(
    "damage",
    [
        lambda entry, file: entry.write_text('{"measurement": {"wid'),
        lambda entry, file: entry.write_text("[]"),
        lambda entry, file: entry.write_text(entry.read_text().replace('"bpp"', '"bbp"')),
        lambda entry, file: entry.unlink(),
        lambda entry, file: file.unlink(),
        lambda entry, file: file.write_bytes(file.read_bytes()[:-1]),
    ],
    ids=["cut off", "foreign", "field", "no entry", "no file", "short file"],
)
def test_damaged_entries_are_redone(codec: Coarse, cache: Path, damage) -> None:
    before = run(codec, cache).records
    codec.encoded.clear()
    file = before[2].file_in(cache)
    damage(file.with_suffix(".json"), file)
    after = run(codec, cache).records
    assert codec.encoded == [8]
    times = ("encode_s", "decode_s", "date")
    for old, new in zip(before, after, strict=True):
        assert without(old, *times) == without(new, *times)
    run(codec, cache)
    assert codec.encoded == [8]


def test_an_entry_written_before_records_were_typed_still_counts(
    codec: Coarse, cache: Path
) -> None:
    before = run(codec, cache, settings={"coarse": 8}).records
    path = before[0].file_in(cache).with_suffix(".json")
    digest = before[0].file_sha256
    path.write_text(
        '{"measurement": {"width": 24, "height": 16, "bytes": 1156, "bpp": 24.083333333333332, '
        '"estimated_bpp": null, "psnr_db": 35.5, "ms_ssim": null, "encode_s": 0.25, '
        '"decode_s": 0.125, "reconstruction_sha256": "00", "metrics": {}, '
        f'"peak_memory_mib": null}}, "file_sha256": "{digest}", '
        '"date": "2026-11-26T10:57:18+00:00", "codec": "Coarse", "setting": "step 8", '
        '"versions": "1.0", "how": "rounds down"}'
    )
    record = run(codec, cache, settings={"coarse": 8}).records[0]
    assert codec.encoded == [8, 8]
    assert (record.measured.psnr_db, record.measured.encode_s) == (35.5, 0.25)
    assert (record.date, record.file_sha256) == ("2026-11-26T10:57:18+00:00", digest)


def test_an_entry_from_before_a_field_existed_still_counts(codec: Coarse, cache: Path) -> None:
    before = run(codec, cache).records
    path = before[0].file_in(cache).with_suffix(".json")
    entry = json.loads(path.read_text())
    del entry["measurement"]["metrics"]
    path.write_text(json.dumps(entry))
    assert run(codec, cache).records == before
    assert len(codec.encoded) == 6


def test_the_coded_file_and_its_picture_come_back(cache: Path) -> None:
    x = PHOTOS[1].decode()
    (record,) = measure_anchors(
        ["jpeg"], PHOTOS[1:], cache, settings={"jpeg": [50]}, workers=1
    ).records
    data = anchor("jpeg").encode(x, 50)
    assert cached_file(cache, record) == data
    assert np.array_equal(decode_record(cache, record), anchor("jpeg").decode(data))
    measured = dataclasses.replace(record.measured, reconstruction_sha256="0")
    other = dataclasses.replace(record, measured=measured)
    with pytest.raises(TngexpError, match="decodes to other pixels"):
        decode_record(cache, other)

    path = record.file_in(cache)
    path.write_bytes(data[:-1] + b"x")  # same length: only its hash tells
    with pytest.raises(TngexpError, match="was damaged and is deleted; measure the anchor again"):
        cached_file(cache, record)
    with pytest.raises(TngexpError, match="measure the anchor again"):
        cached_file(cache, record)
    measure_anchors(["jpeg"], PHOTOS[1:], cache, settings={"jpeg": [50]}, workers=1)
    assert cached_file(cache, record) == data


def test_processes_measure_what_one_would(cache: Path, tmp_path: Path) -> None:
    large = [*PHOTOS, Drawn("large.png", 180, 176)]  # has an MS-SSIM
    chosen = {"jpeg": [10, 50], "webp": [30]}
    steps: list[tuple[int, int]] = []
    serial = measure_anchors(["jpeg", "webp"], large, cache, settings=chosen, workers=1)
    parallel = measure_anchors(
        ["jpeg", "webp"],
        large,
        tmp_path / "other",
        settings=chosen,
        workers=2,
        progress=lambda done, total: steps.append((done, total)),
    )
    times = ("encode_s", "decode_s", "date", "peak_memory_mib")
    for one, two in zip(serial.records, parallel.records, strict=True):
        assert without(one, *times) == without(two, *times)
    assert serial.records[2].measured.ms_ssim is not None
    assert steps == [(done, 9) for done in range(10)]


def test_nothing_to_do_starts_no_process(
    codec: Coarse, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = run(codec, cache)

    def refuse(*arguments: object, **options: object) -> None:
        raise AssertionError("a pool was started")

    monkeypatch.setattr(anchored, "ProcessPoolExecutor", refuse)
    steps: list[tuple[int, int]] = []
    result = measure_anchors(
        [codec], PHOTOS, cache, workers=4, progress=lambda *step: steps.append(step)
    )
    assert result == expected
    assert steps == []


def test_the_same_image_twice_is_measured_once(codec: Coarse, cache: Path) -> None:
    photos = [PHOTOS[0], dataclasses.replace(PHOTOS[0], name="copy.png")]
    records = measure_anchors([codec, codec], photos, cache, workers=1).records
    assert codec.encoded == [32, 8, 4]
    assert [record.image for record in records] == ["a.png", "copy.png"] * 3


def test_an_interrupted_run_goes_on(codec: Coarse, cache: Path) -> None:
    def stop(done: int, total: int) -> None:
        if done == 4:
            raise KeyboardInterrupt

    threads = torch.get_num_threads()
    with pytest.raises(KeyboardInterrupt):
        run(codec, cache, progress=stop)
    assert torch.get_num_threads() == threads
    assert len(codec.encoded) == 4
    assert len(run(codec, cache).records) == 6
    assert len(codec.encoded) == 6
    assert not list(cache.rglob(".*"))  # nothing half-written


def test_missing_codecs_are_left_out_and_reported(codec: Coarse, cache: Path) -> None:
    codec.absent = "Coarse is missing: pip install coarse"
    result = measure_anchors([codec, "jpeg"], PHOTOS, cache, settings={"jpeg": [50]}, workers=1)
    assert result.missing == ["Coarse is missing: pip install coarse"]
    assert [record.model for record in result.records] == ["jpeg", "jpeg"]
    assert codec.encoded == []


def test_a_failure_names_image_and_setting(codec: Coarse, cache: Path) -> None:
    with pytest.raises(AnchorError, match=r"^a\.png, step 64: Coarse cannot encode"):
        run(codec, cache, settings={"coarse": [32, 64]})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"settings": {"coarse": [0]}}, "coarse: step must be a whole number in 1 … 64, not 0"),
        ({"settings": {"curse": [8]}}, "no anchor called 'curse'"),
        ({"metrics": ["sharpness"]}, "no metric called 'sharpness'"),
        ({"settings": {"coarse": "abc"}}, "coarse: step must be .* not 'abc'"),
        ({"settings": [8]}, "anchor_settings="),
        ({"settings": {"coarse": []}}, r"anchor_settings={coarse:\[\]} measures nothing"),
    ],
)
def test_wrong_options_are_explained(
    codec: Coarse, cache: Path, options: dict, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        run(codec, cache, **options)


def test_one_setting_is_a_list_of_one(codec: Coarse, cache: Path) -> None:
    run(codec, cache, settings={"coarse": 16})
    assert codec.encoded == [16, 16]


def test_a_photo_that_cannot_be_decoded_is_named(
    codec: Coarse, cache: Path, tmp_path: Path
) -> None:
    (tmp_path / "bad.png").write_bytes(b"no picture")
    bad = FilePhoto(tmp_path / "bad.png", "sub/bad.png", 1)
    with pytest.raises(DataError, match=r"^sub/bad\.png: not an image"):
        measure_anchors([codec], [*PHOTOS, bad], cache, workers=1)


def test_a_photo_that_changes_meanwhile_is_not_kept_under_its_old_pixels(
    codec: Coarse, cache: Path
) -> None:
    @dataclass
    class Changing:
        name: str = "a.png"
        short_side: int = 16
        decoded: int = 0

        def decode(self) -> Pixels:
            self.decoded += 1
            return PHOTOS[0].decode() // self.decoded

    with pytest.raises(TngexpError, match=r"^a\.png was changed while it was measured; run again"):
        measure_anchors([codec], [Changing()], cache, workers=1)
    assert codec.encoded == []
    assert not list(cache.rglob("*.json"))


def test_there_must_be_a_worker(codec: Coarse, cache: Path) -> None:
    with pytest.raises(ConfigError, match="workers must be at least 1, not 0"):
        measure_anchors([codec], PHOTOS, cache, workers=0)


@pytest.fixture(autouse=True)
def same_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    assert torch.get_num_threads() == before
