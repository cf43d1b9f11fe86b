"""Records outlive interruptions and versions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tngexp.evaluation import RecordFile, to_curves
from tngexp.evaluation.records import RECORD_VERSION
from tngexp.types import TngexpError

KEY = {"model": "0a1b2c3d", "dataset": "kodak", "image": "kodim01.png", "quality": 0.5}

# A line as tngexp 0.1 wrote it.
VERSION_1 = {
    "version": 1,
    **KEY,
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
    return {**KEY, "metrics": {"gmsd": 0.1}, "bytes": 10, **changes}


def test_what_is_added_is_found_again(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "records.jsonl"
    written = RecordFile(path).add(record())
    assert written["version"] == RECORD_VERSION
    assert RecordFile(path).get(**KEY) == written
    assert RecordFile(path).get(**{**KEY, "quality": 0.25}) is None


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
    old = RecordFile(path).get(**KEY)
    assert old is not None
    assert old["version"] == RECORD_VERSION
    assert old["versions"] == {"tngexp": "0.1.0", "torch": "2.9.0"}
    assert old["peak_memory_mib"] is None
    (curve,) = to_curves([old])
    assert (curve.kind, curve.label, curve.points[0].setting) == ("codec", "best", "q=0.5")
    assert curve.points[0].psnr_db == 31.5
    assert "tngexp 0.1.0" in curve.source
    # What it lacks is measured when it is asked for.
    assert RecordFile(path).get(["ssim"], **KEY) is None


def test_newer_and_foreign_records_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    path.write_text('{"a": 1}\n')
    with pytest.raises(TngexpError, match="line 1: not a record"):
        RecordFile(path)
    path.write_text(json.dumps({"version": RECORD_VERSION + 1, **KEY}) + "\n")
    with pytest.raises(TngexpError, match="written by a newer tngexp"):
        RecordFile(path)
