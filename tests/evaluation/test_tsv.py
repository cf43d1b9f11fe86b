"""What is kept of every image is enough to compute a comparison's figures anew."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from support import image_record

from tngexp.evaluation import to_curves
from tngexp.evaluation.tsv import COLUMNS, read_tsv, write_tsv
from tngexp.metrics.comparison import curve_bd_rate, per_image_bd_rate
from tngexp.metrics.curves import Curve
from tngexp.metrics.records import ImageRecord
from tngexp.report.tables import comparison_tables
from tngexp.types import TngexpError


def records() -> list[ImageRecord]:
    """Two images at five settings by two codecs, one of which needs about a fifth less."""
    found = []
    for name, kind, share in (("mine", "codec", 0.8), ("JPEG 4:2:0", "anchor", 1.0)):
        for step in range(5):
            for image, easier in (("a\tb.png", 1.0), ("ü\udcff.png", 0.7)):
                size = round(20_000 * share * easier * 1.7**step) + 13 * step
                measured = replace(
                    image_record().measured,
                    bytes=size,
                    bpp=8 * size / (768 * 512),
                    psnr_db=27.123456 + 2.1 * step - easier,
                    ms_ssim=1 - 0.0712345 / 1.8**step,
                    metrics={"ssim": 0.9, "gmsd": None},
                )
                found.append(
                    image_record(
                        kind=kind,
                        codec=name,
                        model=name,
                        image=image,
                        quality=step / 4,
                        setting=f"q={step / 4:g}",
                        effort=0,
                        measured=measured,
                    )
                )
    return found


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "images.tsv"
    write_tsv(path, records())
    return path


def said(curves: list[Curve]) -> list[str]:
    tables = comparison_tables(curves, "jpeg-4-2-0")[:2]  # the BD-rates
    return [cell.text for table in tables for row in table.rows for cell in row]


def test_a_bd_rate_is_that_of_the_comparison(table: Path) -> None:
    measured, kept = to_curves(records()), read_tsv(table)
    for metric in ("psnr_db", "ms_ssim_db"):
        wanted, found = (curve_bd_rate(*curves, metric).value for curves in (measured, kept))
        assert wanted is not None
        assert wanted == pytest.approx(-20, abs=1)
        assert found == pytest.approx(wanted, abs=1e-3)
        one, other = (per_image_bd_rate(*curves, metric) for curves in (measured, kept))
        assert other.compared == 2
        assert other.mean == pytest.approx(one.mean, abs=1e-3)
    # As people see it, in every table.
    assert said(measured) == said(kept)


def test_everything_that_was_measured_comes_back(table: Path) -> None:
    for wanted, found in zip(to_curves(records()), read_tsv(table), strict=True):
        assert (found.key, found.label, found.kind) == (wanted.key, wanted.label, wanted.kind)
        for one, other in zip(wanted.points, found.points, strict=True):
            assert other.setting == one.setting
            for a, b in zip(one.images, other.images, strict=True):
                assert (b.image, b.bytes, b.bpp) == (a.image, a.bytes, a.bpp)
                assert b.psnr_db == pytest.approx(a.psnr_db, abs=1e-5)
                assert b.ms_ssim == pytest.approx(a.ms_ssim, abs=1e-8)
                assert (b.encode_s, b.decode_s) == (a.encode_s, a.decode_s)
                assert b.metrics == a.metrics == {"ssim": 0.9}


def test_the_table_is_plain(tmp_path: Path) -> None:
    path = tmp_path / "t.tsv"
    perfect = replace(image_record().measured, psnr_db=None, ms_ssim=None)
    write_tsv(path, [image_record(quality=None, measured=perfect)])
    head, row = (line.split("\t") for line in path.read_text(encoding="utf-8").splitlines())
    assert head == [*COLUMNS, "ssim"]
    found = dict(zip(head, row, strict=True))
    assert found["effort"] == "3"
    assert found["pixels"] == str(768 * 512)
    assert found["bytes"] == "24576"
    assert found["quality"] == found["psnr_db"] == found["ms_ssim"] == ""
    ((point,),) = [curve.points for curve in read_tsv(path)]
    assert (point.images[0].psnr_db, point.images[0].ms_ssim) == (None, None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: "", "no column 'codec'"),
        (lambda text: text.replace("ms_ssim", "msssim"), "no column 'ms_ssim'"),
        (lambda text: text.replace("\t768\t", "\twide\t", 1), "row 2: not the figures"),
        (lambda text: text.replace("\t768\t", "\t0\t", 1), "row 2: not the figures"),
        (lambda text: text.replace("\tanchor\t", "\tquoted\t", 1), "row 12: not the figures"),
        (lambda text: text + "mine\tcodec\n", "row 22: not the figures"),
    ],
)
def test_what_is_no_table_is_one_message(change, message: str, table: Path) -> None:
    text = table.read_text(encoding="utf-8", errors="surrogateescape")
    table.write_text(change(text), encoding="utf-8", errors="surrogateescape")
    with pytest.raises(TngexpError, match=message) as error:
        read_tsv(table)
    assert str(table) in str(error.value)


def test_a_missing_table_is_one_message(tmp_path: Path) -> None:
    with pytest.raises(TngexpError, match=r"none\.tsv cannot be read"):
        read_tsv(tmp_path / "none.tsv")
