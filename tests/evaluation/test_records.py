"""Records outlive interruptions and versions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tngexp.evaluation import RecordFile, to_curves
from tngexp.evaluation.records import RECORD_VERSION
from tngexp.types import TngexpError

NAMES = {"model": "0a1b2c3d", "dataset": "kodak", "image": "kodim01.png", "quality": 0.5}
KEY = {
    "model": "0a1b2c3d",
    "weights_sha256": "11",
    "config_sha256": "22",
    "original": "768x512 33",
    "quality": 0.5,
    "measurement": 1,
    "effort": 3,
    "tune": "mse",
    "objective": "{}",
}

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


def record(**changes: Any) -> dict[str, Any]:
    return {**NAMES, **KEY, "metrics": {"gmsd": 0.1}, "bytes": 10, **changes}


def test_what_is_added_is_found_again(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "records.jsonl"
    written = RecordFile(path).add(record())
    assert written["version"] == RECORD_VERSION
    assert RecordFile(path).get(**KEY) == written
    assert list(RecordFile(path)) == [written]


@pytest.mark.parametrize("name", KEY)
def test_all_that_figures_depend_on_is_in_the_key(tmp_path: Path, name: str) -> None:
    records = RecordFile(tmp_path / "records.jsonl")
    records.add(record())
    assert records.get(**KEY) is not None
    assert records.get(**{**KEY, name: "another"}) is None
    other = records.add(record(**{name: "another"}))
    assert records.get(**{**KEY, name: "another"}) == other
    assert records.get(**KEY) != other


def test_names_need_not_be_text(tmp_path: Path) -> None:
    names = ["x\udcff.png", "line\x85break\u2028.png", "ü.png"]
    path = tmp_path / "records.jsonl"
    for name in names:
        RecordFile(path).add(record(image=name, original=name))
    found = RecordFile(path)
    assert [r["image"] for r in found] == names
    # As they were written before.
    path.write_text(json.dumps(record(version=2, image=names[1]), ensure_ascii=False) + "\n")
    assert [r["image"] for r in RecordFile(path)] == names[1:2]


def test_a_record_without_the_metrics_asked_for_does_not_count(tmp_path: Path) -> None:
    records = RecordFile(tmp_path / "records.jsonl")
    records.add(record())
    assert records.get(["gmsd"], **KEY) is not None
    assert records.get(["gmsd", "ssim"], **KEY) is None
    records.add(record(metrics={"gmsd": 0.1, "ssim": 0.9}))
    again = RecordFile(records.path).get(["ssim"], **KEY)
    assert again is not None
    assert again["metrics"]["ssim"] == 0.9


def test_a_line_that_was_cut_off_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    RecordFile(path).add(record())
    whole = path.read_text()
    path.write_text(whole + whole[:20])
    assert RecordFile(path).get(**KEY) is not None
    assert path.read_text() == whole


def test_records_of_an_older_version_are_read(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    path.write_text(json.dumps(VERSION_1) + "\n")
    (old,) = RecordFile(path)
    assert old["version"] == RECORD_VERSION
    assert old["versions"] == {"tngexp": "0.1.0", "torch": "2.9.0"}
    assert old["peak_memory_mib"] is None
    (curve,) = to_curves([old])
    assert (curve.kind, curve.label, curve.points[0].setting) == ("codec", "best", "q=0.5")
    assert curve.points[0].psnr_db == 31.5
    assert "tngexp 0.1.0" in curve.source


@pytest.mark.parametrize("version", [1, 2])
def test_records_that_do_not_tell_their_pixels_are_not_trusted(
    tmp_path: Path, version: int
) -> None:
    path = tmp_path / "records.jsonl"
    old = {**VERSION_1, "version": version, "weights_sha256": "11", "config_sha256": "22"}
    path.write_text(json.dumps(old) + "\n")
    records = RecordFile(path)
    assert records.get(**KEY) is None
    assert records.get(**{**KEY, "original": None, "measurement": None}) is None
    new = records.add(record())
    again = RecordFile(path)
    assert again.get(**KEY) == new
    assert len(list(again)) == 2  # nothing is lost


def test_newer_and_foreign_records_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    path.write_text('{"a": 1}\n')
    with pytest.raises(TngexpError, match="line 1: not a record"):
        RecordFile(path)
    path.write_text(json.dumps({"version": RECORD_VERSION + 1, **NAMES}) + "\n")
    with pytest.raises(TngexpError, match="written by a newer tngexp"):
        RecordFile(path)
