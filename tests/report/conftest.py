"""A small comparison with everything a report can hold, hostile names included."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from tngexp.metrics.curves import Curve, ImagePoint, RDPoint
from tngexp.report.html import write_report
from tngexp.report.pictures import Reconstruction, ViewerImage
from tngexp.report.table import Cell, Column, Table

HOSTILE = "a</script><script>alert('label')</script>"
SIZES = {"one.png": (96, 64), "two & three.png": (64, 96)}  # width, height


class Report(NamedTuple):
    path: Path
    text: str
    curves: list[Curve]
    images: list[ViewerImage]


def rd_curve(key: str, label: str, kind: str, rates: tuple[float, ...], gain: float) -> Curve:
    """Concave like real ones; every image a little different. 4 dB are worth half of the bits."""
    points = tuple(
        RDPoint(
            f"quality {number}",
            tuple(
                ImagePoint(
                    name,
                    width,
                    height,
                    round(rate * shift * width * height / 8),
                    rate * shift,
                    30 + 6 * math.log2(rate) + gain,
                    1 - 10 ** (-(14 + 4 * math.log2(rate) + gain) / 10),
                    metrics={"vif": 0.5},
                )
                for shift, (name, (width, height)) in zip((0.9, 1.1), SIZES.items(), strict=True)
            ),
        )
        for number, rate in enumerate(rates)
    )
    return Curve(key, label, kind, points, f"made up for {key}", {"parameters": 1234567})  # type: ignore[arg-type]


def rd_curves() -> list[Curve]:
    quoted = tuple(RDPoint("", (), rate, 33 + 6 * math.log2(rate), None) for rate in (0.2, 4.0))
    return [
        rd_curve("ours", "ours, MS-SSIM", "codec", (0.1, 0.2, 0.4, 0.8), 4),
        rd_curve("single", HOSTILE, "codec", (0.3,), 1),
        rd_curve("jpeg", "JPEG", "anchor", (0.2, 0.4, 0.8, 1.6), 0),
        Curve("quoted-vtm", "VTM", "published", quoted, "quoted from a paper"),
    ]


def viewer_images(curves: list[Curve]) -> list[ViewerImage]:
    images = []
    for number, (name, (width, height)) in enumerate(SIZES.items()):
        original = _picture(width, height, 1)
        versions = [
            Reconstruction(
                curve.key,
                point.setting,
                point.images[number].bytes,
                point.images[number].bpp,
                point.images[number].psnr_db,
                point.images[number].ms_ssim,
                # Coarser where the rate is lower.
                original // (step := max(1, round(8 / point.bpp))) * step,
            )
            for curve in curves
            for point in curve.points
            if point.images
        ]
        images.append(ViewerImage(name, original, tuple(versions)))
    return images


def _picture(width: int, height: int, seed: int) -> np.ndarray:
    rows, columns = np.mgrid[0:height, 0:width]
    smooth = np.stack([rows * 2, columns * 2, (rows + columns) % 256], -1)
    noise = np.random.default_rng(seed).integers(0, 32, smooth.shape)
    return (smooth + noise).clip(0, 255).astype(np.uint8)


def figures_table() -> Table:
    return Table(
        "figures",
        "Figures of <b>all</b> kinds",
        (Column("Codec", numeric=False), Column("BD-rate (%)", note="negative saves bits")),
        (
            (Cell("JPEG", "JPEG"), Cell("+100.0", 100.0)),
            (Cell("ours, MS-SSIM", "ours, MS-SSIM"), Cell("−9.5", -9.5)),
            (Cell(HOSTILE, HOSTILE), Cell("n/a", None, "1 point of the 4 needed")),
            (Cell("VTM", "VTM"), Cell("+20.0", 20.0)),
        ),
        caption="Figures & more.",
    )


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    path = tmp_path_factory.mktemp("report") / "out" / "report.html"
    curves = rd_curves()
    images = viewer_images(curves)
    write_report(
        path,
        title=f"Title {HOSTILE}",
        subtitle="2 images & no more",
        curves=curves,
        tables=[figures_table()],
        images=images,
        notes=["left out: <img src=x onerror=alert(1)>"],
        meta={"command": "python -m tngexp.compare 'runs=[a,b]'", "tngexp": "0.1"},
    )
    return Report(path, path.read_text(encoding="utf-8"), curves, images)
