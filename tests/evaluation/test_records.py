"""Records outlive interruptions and versions."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support import image_record

from tngexp.evaluation import RecordFile, to_curves
from tngexp.metrics.records import RECORD_VERSION, ImageRecord, RecordKey
from tngexp.types import TngexpError

NAMES = {"model": "0a1b2c3d", "dataset": "kodak", "image": "kodim01.png", "quality": 0.5}
KEY = image_record().key

# A line as the first tngexp wrote it.
VERSION_1 = {
    "version": 1,
    **NAMES,
    "checkpoint": "runs/gmm/checkpoints/best.ckpt",
    "width": 768,
    "height": 512,
    "bytes": 24576,
    "bpp": 0.5,
    "estimated_bpp": 0.499,
    "psnr_db": 31.5,
    "ms_ssim": 0.97,
    "encode_s": 0.3,
    "decode_s": 0.2,
    "reconstruction_sha256": "00",
    "tngexp": "0.1.0",
    "torch": "2.9.0",
    "device": "cpu",
    "threads": 2,
    "processor": "x86_64",
    "date": "2026-01-02T03:04:05+00:00",
    "command": "evaluate.py",
}
# Another one, as the second did.
VERSION_2 = {
    **{name: value for name, value in VERSION_1.items() if name not in ("tngexp", "torch")},
    "version": 2,
    "kind": "codec",
    "codec": "gmm",
    "setting": "q=0.5",
    "metrics": {"gmsd": 0.1},
    "peak_memory_mib": 600.5,
    "weights_sha256": KEY.codec.weights_sha256,
    "config_sha256": KEY.codec.config_sha256,
    "versions": {"tngexp": "0.1.0", "torch": "2.9.0", "python": "3.11.7"},
}


def with_metrics(*names: str) -> ImageRecord:
    record = image_record()
    return replace(record, measured=replace(record.measured, metrics=dict.fromkeys(names, 0.1)))


def test_what_is_added_is_found_again(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "records.jsonl"
    RecordFile(path).add(image_record())
    assert json.loads(path.read_text())["version"] == RECORD_VERSION
    assert RecordFile(path).get(KEY) == image_record()
    assert list(RecordFile(path)) == [image_record()]


def other_keys() -> list[RecordKey]:
    """Each differs from ``KEY`` in one field."""
    codecs = [
        *(KEY.codec._replace(**{name: "another"}) for name in ("model", "tune", "objective")),
        *(KEY.codec._replace(**{f"{name}_sha256": "another"}) for name in ("weights", "config")),
        KEY.codec._replace(effort=9),
        KEY.codec._replace(look=1.0),
        KEY.codec._replace(look_sha256="another"),
    ]
    others = {"original": "another", "quality": 0.75, "measurement": 2}
    return [
        *(KEY._replace(codec=codec) for codec in codecs),
        *(KEY._replace(**{name: value}) for name, value in others.items()),
    ]


@pytest.mark.parametrize("key", other_keys(), ids=str)
def test_all_that_figures_depend_on_is_in_the_key(tmp_path: Path, key: RecordKey) -> None:
    records = RecordFile(tmp_path / "records.jsonl")
    records.add(image_record())
    assert records.get(KEY) is not None
    assert records.get(key) is None
    other = image_record(**key.codec._asdict(), **{k: getattr(key, k) for k in key._fields[1:]})
    records.add(other)
    assert RecordFile(records.path).get(key) == other
    assert records.get(KEY) == image_record()


def test_names_need_not_be_text(tmp_path: Path) -> None:
    names = ["x\udcff.png", "line\x85break\u2028.png", "ü.png"]
    path = tmp_path / "records.jsonl"
    for name in names:
        RecordFile(path).add(image_record(image=name, original=name))
    found = RecordFile(path)
    assert [r.image for r in found] == names
    # As they were written before.
    path.write_text(json.dumps(VERSION_2 | {"image": names[1]}, ensure_ascii=False) + "\n")
    assert [r.image for r in RecordFile(path)] == names[1:2]


def test_a_record_without_the_metrics_asked_for_does_not_count(tmp_path: Path) -> None:
    records = RecordFile(tmp_path / "records.jsonl")
    records.add(with_metrics("gmsd"))
    assert records.get(KEY, ["gmsd"]) is not None
    assert records.get(KEY, ["gmsd", "ssim"]) is None
    records.add(with_metrics("gmsd", "ssim"))
    again = RecordFile(records.path).get(KEY, ["ssim"])
    assert again is not None
    assert again.measured.metrics["ssim"] == 0.1


def test_an_older_record_counts_for_metrics_that_the_newest_lacks(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    for name in ("vif", "gmsd", "vif"):
        RecordFile(path).add(with_metrics(name))
    RecordFile(path).add(with_metrics("dss"))
    records = RecordFile(path)
    assert records.get(KEY) == with_metrics("dss")
    assert records.get(KEY, ["gmsd"]) == [*records][1]
    assert records.get(KEY, ["vif"]) is [*records][2]
    assert records.get(KEY, ["vif", "gmsd"]) is None


def test_a_line_that_was_cut_off_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    RecordFile(path).add(image_record())
    whole = path.read_text()
    path.write_text(whole + whole[:20])
    assert RecordFile(path).get(KEY) is not None
    assert path.read_text() == whole


def test_records_of_an_older_version_are_read(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    path.write_text(json.dumps(VERSION_1) + "\n")
    (old,) = RecordFile(path)
    assert old.versions == {"tngexp": "0.1.0", "torch": "2.9.0"}
    assert old.measured.peak_memory_mib is None
    assert old.measured.metrics == {}
    (curve,) = to_curves([old])
    assert (curve.kind, curve.label, curve.points[0].setting) == ("codec", "best", "q=0.5")
    assert curve.points[0].psnr_db == 31.5
    assert "tngexp 0.1.0" in curve.source


@pytest.mark.parametrize("old", [VERSION_1, VERSION_2], ids=["1", "2"])
def test_records_that_do_not_tell_their_pixels_are_not_trusted(
    tmp_path: Path, old: dict[str, Any]
) -> None:
    path = tmp_path / "records.jsonl"
    path.write_text(json.dumps(old) + "\n")
    (read,) = RecordFile(path)
    assert read.measured.bpp == 0.5
    assert (read.original, read.file) == (None, None)
    records = RecordFile(path)
    assert records.get(read.key) is None
    records.add(image_record())
    again = RecordFile(path)
    assert again.get(KEY) == image_record()
    assert len(list(again)) == 2  # nothing is lost


def test_newer_and_foreign_records_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    path.write_text('{"a": 1}\n')
    with pytest.raises(TngexpError, match="line 1: not a record"):
        RecordFile(path)
    path.write_text(json.dumps({"version": RECORD_VERSION + 1, **NAMES}) + "\n")
    with pytest.raises(TngexpError, match="written by a newer tngexp"):
        RecordFile(path)
