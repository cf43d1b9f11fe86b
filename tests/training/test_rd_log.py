"""Curves, tables and figures to sort by arrive in W&B's file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support import image_record, key_of, wandb_records

from tngexp.logs.rd_log import (
    log_curves,
    log_points,
    log_records,
    log_table,
    run_logger,
)
from tngexp.metrics.curves import Curve, ImagePoint, RDPoint
from tngexp.report.table import Cell, Column, Table

CONFIG = {
    "logger": {
        "_target_": "tngexp.logs.loggers.OfflineWandb",
        "mode": "offline",
        "system_metrics": False,
    },
    "seed": 3,
}


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_PROJECT"):
        monkeypatch.delenv(name, raising=False)


def curve(label: str, rates: tuple[float, ...]) -> Curve:
    return Curve(
        key=label,
        label=label,
        kind="codec",
        points=tuple(
            RDPoint(f"q={r}", (ImagePoint("a.png", 200, 180, 100, r, 30 + r, 0.9 + r / 20),))
            for r in rates
        ),
        source="a test",
    )


def history(folder: Path) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for record in wandb_records(folder):
        if record.HasField("history"):
            for item in record.history.item:
                found.setdefault(key_of(item), []).append(json.loads(item.value_json))
    return found


def summary(folder: Path) -> dict[str, Any]:
    return {
        key_of(item): json.loads(item.value_json)
        for record in wandb_records(folder)
        if record.HasField("summary")
        for item in record.summary.update
    }


def test_a_codec_s_run_can_be_sorted_and_drawn_by_rate(tmp_path: Path) -> None:
    with run_logger(CONFIG, tmp_path / "out", "mine", "pair", job="curve") as logger:
        log_points(
            logger,
            curve("mine", (0.25, 0.5, 1.0)),
            {"bd_rate_psnr": -12.5, "bd_rate_ms_ssim": None},
        )
    found = history(tmp_path / "out")
    assert found["rd/bpp"] == [0.25, 0.5, 1.0]
    assert found["rd/psnr_db"] == [30.25, 30.5, 31.0]
    figures = summary(tmp_path / "out")
    assert figures["bpp"] == 0.5
    assert figures["ms_ssim"] == pytest.approx(0.925)
    assert figures["bd_rate_psnr"] == -12.5
    assert "bd_rate_ms_ssim" not in figures  # refused: no number
    records = wandb_records(tmp_path / "out")
    metrics = {
        r.metric.name or r.metric.glob_name: r.metric for r in records if r.HasField("metric")
    }
    assert metrics["rd/*"].step_metric == "rd/bpp"
    started = next(r.run for r in records if r.HasField("run"))
    assert (started.run_group, started.job_type) == ("pair", "curve")


def test_quality_is_drawn_over_the_rate_of_its_images(tmp_path: Path) -> None:
    points = tuple(
        RDPoint(
            f"q={rate}",
            (
                ImagePoint("a.png", 200, 180, 100, rate, 30.0, 0.9),
                ImagePoint("small.png", 20, 18, 100, 3 * rate, psnr, None),
            ),
        )
        for rate, psnr in ((0.25, 28.0), (0.5, None))
    )
    mixed = Curve("mixed", "mixed", "codec", points, "a test")
    with run_logger(CONFIG, tmp_path / "out", "mixed", None, job="curve") as logger:
        log_points(logger, mixed)
    with run_logger(CONFIG, tmp_path / "all", "pair", None, job="compare") as logger:
        log_curves(logger, [mixed])
    found = history(tmp_path / "out")
    assert found["rd/bpp"] == [0.5, 0.25, 1.0, 0.5]  # of both images, of the large one, …
    assert found["rd/psnr_db"] == [29.0]  # the other one came back exactly
    assert found["rd/ms_ssim"] == [0.9, 0.9]
    figures = summary(tmp_path / "out")
    assert figures["bpp"] == 1.0
    assert not {"psnr_db", "ms_ssim"} & figures.keys()
    contents = [
        json.loads(path.read_text())
        for path in (tmp_path / "all").rglob("media/table/**/*.table.json")
    ]
    charts = [content for content in contents if "lineKey" in content["columns"]]
    drawn = [[row[chart["columns"].index("step")] for row in chart["data"]] for chart in charts]
    assert sorted(drawn) == [[0.25, 0.5], [0.5]]  # MS-SSIM and PSNR


def test_all_curves_share_a_chart_and_tables_keep_their_numbers(tmp_path: Path) -> None:
    table = Table(
        "bd-rate",
        "BD-rate",
        (Column("codec", numeric=False), Column("BD-rate, %")),
        ((Cell("mine", "mine"), Cell("−12.5", -12.5)), (Cell("other", "other"), Cell("n/a"))),
    )
    with run_logger(CONFIG, tmp_path / "out", "pair", None, job="compare") as logger:
        log_curves(logger, [curve("mine", (0.25, 0.5)), curve("other", (0.3,))])
        log_table(logger, table)
        log_records(logger, "comparison/records", [image_record()])
    tables = {
        path.name.partition("_")[0] + "/" + path.parent.name: json.loads(path.read_text())
        for path in (tmp_path / "out").rglob("media/table/**/*.table.json")
    }
    contents = list(tables.values())
    assert {
        "columns": ["codec", "BD-rate, %"],
        "data": [["mine", -12.5], ["other", None]],
    }.items() <= (next(c for c in contents if "BD-rate, %" in c["columns"]).items())
    rows = next(c for c in contents if "metrics.ssim" in c["columns"])
    (row,) = (dict(zip(rows["columns"], data, strict=True)) for data in rows["data"])
    assert (row["image"], row["bpp"], row["metrics.ssim"]) == ("kodim01.png", 0.5, 0.9)
    assert "versions" not in row
    chart = next(c for c in contents if "lineKey" in c["columns"])
    assert {row[1] for row in chart["data"]} == {"mine", "other"}
    assert len(chart["data"]) == 3


def test_other_loggers_get_nothing(tmp_path: Path) -> None:
    with run_logger(
        {"logger": {"_target_": "lightning.pytorch.loggers.CSVLogger"}},
        tmp_path / "out",
        "x",
        None,
        job="j",
    ) as logger:
        assert logger is None
        log_curves(logger, [curve("mine", (0.25,))])
    assert not (tmp_path / "out").exists()
