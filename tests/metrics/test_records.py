"""Records say in JSON what they said when they were written, by this version or an earlier one."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from support import image_record

from tngexp.metrics.records import CodecKey, ImageRecord, Measurement, RecordKey
from tngexp.types import TngexpError

# A line of records.jsonl as version 3 was written when records were plain dictionaries.
LINE = (
    '{"version": 3, "kind": "codec", "codec": "tng-objective, effort 1", "setting": "q=0.5", '
    '"dataset": "photos", "image": "a.png", "checkpoint": "tng-objective.safetensors", '
    '"model": "352e396b", "weights_sha256": '
    '"ca3569ce9dcb7f516dd1a95029c8730130c50cb96ff6fe174eb062c6d2e8e1f1", "config_sha256": '
    '"d8fff883246ebc76c0659eed300faebdc758ba4d21fb2599b2492239d43aa532", "effort": 1, '
    '"tune": null, "objective": "{\\"lmbda_max\\": 0.13, \\"lmbda_min\\": 0.0003}", "original": '
    '"200x180 007d82d2e2908f0dfb12e20e9a1e842c8faa94b73cc8fef46f1a737d8fe09954", "quality": 0.5, '
    '"measurement": 1, "width": 200, "height": 180, "bytes": 967, "bpp": 0.21488888888888888, '
    '"estimated_bpp": 0.21189121901988983, "psnr_db": 33.03583908081055, '
    '"ms_ssim": 0.9779426455497742, "encode_s": 12.946534198000336, '
    '"decode_s": 0.07589457399990351, "reconstruction_sha256": '
    '"e3ae2a1e859a4c024fa47de06e4e06e0199711f36f68a1593e16f518964a80f5", "metrics": '
    '{"gmsd": 0.01909106783568859}, "peak_memory_mib": 1087.58984375, "file": '
    '"352e396b_0.5/a-e9c329c7efd8d7b7.tng", "file_sha256": '
    '"1a65f542feaf97dc3d994c6945c496331d11d2f53eb47e2c39163b53e76f2dec", "device": "cpu", '
    '"threads": 2, "processor": "x86_64", "versions": {"tngexp": "0.1.0", "torch": "2.14.1+cu130", '
    '"python": "3.11.7"}, "command": "tngexp.evaluate efforts=1", '
    '"date": "2026-11-26T10:57:18+00:00"}'
)

# What later versions say besides, of such a record.
SINCE = {"version": 4, "look": 0.0, "look_sha256": None}

# What the entry of an anchor holds of the measurement.
ENTRY = {
    "width": 200,
    "height": 180,
    "bytes": 3041,
    "bpp": 0.6757777777777778,
    "estimated_bpp": None,
    "psnr_db": 33.523460388183594,
    "ms_ssim": 0.9778289794921875,
    "encode_s": 0.004332238000642974,
    "decode_s": 0.0007595489996674587,
    "reconstruction_sha256": "0a917f6998586800bf5ccc9ca3fd0823e3bee9a17b70274e696334658844acfb",
    "metrics": {"gmsd": 0.007893301546573639},
    "peak_memory_mib": None,
}


def test_a_line_is_read_and_written_with_what_came_later() -> None:
    record = ImageRecord.from_json(json.loads(LINE))
    assert record.to_json() == {**json.loads(LINE), **SINCE}
    assert (record.kind, record.codec, record.image) == (
        "codec",
        "tng-objective, effort 1",
        "a.png",
    )
    assert record.measured.bytes == 967
    assert record.measured.psnr_db == 33.03583908081055
    assert record.measured.metrics == {"gmsd": 0.01909106783568859}
    objective = '{"lmbda_max": 0.13, "lmbda_min": 0.0003}'
    weights, config = (json.loads(LINE)[f"{name}_sha256"] for name in ("weights", "config"))
    codec = CodecKey("352e396b", weights, config, 1, None, objective)
    assert record.codec_key == codec
    assert record.key == RecordKey(codec, json.loads(LINE)["original"], 0.5, 1)


def test_a_line_from_before_encoders_searched() -> None:
    content = json.loads(LINE)
    for name in ("effort", "tune", "objective"):
        del content[name]
    record = ImageRecord.from_json(content)
    assert (record.effort, record.tune, record.objective) == (0, None, None)


def test_figures_of_an_anchor_are_read_as_they_were() -> None:
    measured = Measurement.from_json(ENTRY)
    assert dataclasses.asdict(measured) == ENTRY
    older = {name: value for name, value in ENTRY.items() if name != "peak_memory_mib"}
    assert Measurement.from_json(older) == measured
    assert Measurement.from_json(ENTRY | {"of_a_later_version": 1}) == measured


def test_each_kind_writes_its_own_fields() -> None:
    codec, anchor = (
        image_record(kind=kind, how="options").to_json() for kind in ("codec", "anchor")
    )
    assert codec.keys() == json.loads(LINE).keys() | SINCE.keys()
    assert "how" not in codec
    assert anchor["how"] == "options"
    assert not {"checkpoint", "effort", "look", "original", "command"} & anchor.keys()
    assert anchor["bpp"] == codec["bpp"]


@pytest.mark.parametrize(
    "broken",
    [
        [],
        None,
        {"version": 3},
        {"version": "three"},
        {name: value for name, value in json.loads(LINE).items() if name != "bpp"},
        {name: value for name, value in json.loads(LINE).items() if name != "image"},
        {name: value for name, value in json.loads(LINE).items() if name != "version"},
    ],
)
def test_what_is_no_record_is_refused(broken: Any) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        ImageRecord.from_json(broken)


def test_a_record_that_names_no_file_says_so(tmp_path: Any) -> None:
    assert image_record(file="a/b.tng").file_in(tmp_path) == tmp_path / "a" / "b.tng"
    with pytest.raises(TngexpError, match=r"kodim01\.png does not name its file"):
        image_record(file=None).file_in(tmp_path)
