"""A run ends with its own files beside those of real codecs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support import wandb_records

from tngexp.cli.train import main
from tngexp.datasets.folder import FolderDataModule


@pytest.fixture
def words(tiny: list[str], tmp_path: Path) -> list[str]:
    return [
        *(word for word in tiny if word not in ("report=none", "logger=none")),
        "hydra/job_logging=none",
        "hydra/hydra_logging=none",
        "report.anchors=[jpeg]",
        "report.anchor_settings={jpeg:[5,12,25,50,80]}",
        "report.images=4",
        f"report.cache={tmp_path / 'cache'}",
        f"hydra.run.dir={tmp_path / 'run'}",
    ]


def test_the_report_s_path_is_printed_and_wandb_has_its_tables(
    words: list[str],
    photos: Path,
    tmp_path: Path,
    capsys: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert main([*words, "logger=wandb", "logger.system_metrics=false"]) == 0
    shown = capsys.readouterr().out
    report = tmp_path / "run" / "report" / "report.html"
    assert f"report in {report}" in shown.replace("\n", "")
    assert report.is_file()
    assert "Measured points" in shown
    assert "JPEG 4:2:0" in shown
    assert "BD-rate" not in shown  # of one point there is none
    records = [
        json.loads(line) for line in (report.parent / "records.jsonl").read_text().splitlines()
    ]
    # Of six photos two are held out, and only those say something.
    held_out = FolderDataModule(photos, crop=64, val_images=2).photos.val
    assert [record["image"] for record in records] == [photo.name for photo in held_out]
    record = records[0]
    assert record["bytes"] > 0
    assert record["checkpoint"].endswith("best.ckpt")
    tables = {p.name for p in (tmp_path / "run").rglob("media/table/comparison/*.table.json")}
    assert any(name.startswith("complexity") for name in tables)
    summary = {
        item.key or "/".join(item.nested_key)
        for record in wandb_records(tmp_path / "run")
        if record.HasField("summary")
        for item in record.summary.update
    }
    assert any("comparison" in name for name in summary)


def test_a_failed_comparison_leaves_the_run_complete(
    words: list[str], tmp_path: Path, capsys: Any
) -> None:
    bad = [word for word in words if "anchors" not in word and "anchor_settings" not in word]
    assert main([*bad, "logger=none", "report.anchors=[jpg]"]) == 0
    streams = capsys.readouterr()
    assert "warning: no comparison with real codecs" in streams.err
    assert (tmp_path / "run" / "checkpoints" / "best.ckpt").is_file()


def test_jobs_of_a_sweep_are_not_compared_one_by_one(
    words: list[str], tmp_path: Path, capsys: Any
) -> None:
    sweep = f"hydra.sweep.dir={tmp_path / 'sweep'}"
    assert main(["-m", *words, "logger=none", "loss.lmbda=0.01,0.02", sweep]) == 0
    assert capsys.readouterr().out.count("report in") == 1  # of the sweep
