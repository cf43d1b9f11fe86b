"""Tables of a comparison: figures where there are some, reasons where there are none."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from tngexp.metrics.curves import Curve, ImagePoint, RDPoint
from tngexp.report.rate_tables import anchors
from tngexp.report.table import Cell, Column, Table, signed
from tngexp.report.tables import check_same_images, comparison_tables, comparison_warnings
from tngexp.report.text import print_table
from tngexp.types import ConfigError, TngexpError

NAMES = ("kodim01", "kodim02", "kodim03")


def curve(key, factor=1.0, kind="anchor", count=6, label="", names=NAMES, **details) -> Curve:
    """A curve whose rate is ``factor`` times that of others at the same quality."""
    points = [
        RDPoint(
            f"quality {10 * i}",
            tuple(
                ImagePoint(
                    image=name,
                    width=192,
                    height=176,
                    bytes=1,
                    bpp=factor * 0.06 * 2**i,
                    psnr_db=25.0 + 2 * i + j,
                    ms_ssim=1 - 10 ** -(0.8 + 0.25 * i),
                    encode_s=0.5,
                    decode_s=0.25,
                )
                for j, name in enumerate(names)
            ),
        )
        for i in range(count)
    ]
    return Curve(key, label or key.upper(), kind, tuple(points), f"{key} 1.0", details)


def quoted(key="quoted-vtm") -> Curve:
    points = tuple(
        RDPoint(f"point {i}", (), 0.05 * 2**i, 25.0 + 2 * i, 1 - 10 ** -(0.8 + 0.25 * i))
        for i in range(6)
    )
    return Curve(key, "VTM (quoted)", "published", points, "vtm.json")


BPG = curve("bpg", label="BPG 4:4:4")
JPEG = curve("jpeg-4-2-0", 2.0, label="JPEG 4:2:0")
CODEC = curve("gmm", 0.5, "codec", parameters=4_700_000, encoder_kmac=55.34)


def rows(tables, key) -> dict[str, dict[str, Cell]]:
    """First cell's text → column label → cell."""
    table = next(table for table in tables if table.key == key)
    labels = [column.label for column in table.columns]
    return {row[0].text: dict(zip(labels, row, strict=True)) for row in table.rows}


def test_every_table_is_complete() -> None:
    tables = comparison_tables([CODEC, BPG, JPEG, quoted()], "bpg")
    assert [table.key for table in tables] == [
        "bd-rate-psnr",
        "bd-rate-ms-ssim",
        "equal-ms-ssim",
        "equal-psnr",
        "own-points",
        "bd-matrix-psnr",
        "bd-matrix-ms-ssim",
        "points",
        "complexity",
    ]
    for table in tables:
        assert table.rows
        for row in table.rows:
            assert len(row) == len(table.columns)
            for cell in row:
                assert cell.text
                assert cell.text != "n/a" or cell.note  # never without a reason


def test_bd_rate_stands_beside_its_range() -> None:
    row = rows(comparison_tables([CODEC, BPG], "bpg"), "bd-rate-psnr")["GMM"]
    assert row["BD-rate (%)"].text == "−50.0"
    assert row["BD-rate (%)"].value == pytest.approx(-50)
    assert row["compared at (dB)"].text == "26.0–36.0"
    assert row["reference bpp"].text == "0.06–1.92"
    assert row["overlap"].text == "100%"
    assert row["0.1–0.5 bpp (%)"].text == "−50.0"
    assert row["per image (%)"].text == "−50.0 ± 0.0"


def test_low_rates_that_are_not_filled_say_so() -> None:
    reference = replace(BPG, points=BPG.points[2:])  # from 0.24 bpp
    row = rows(comparison_tables([CODEC, reference], "bpg"), "bd-rate-psnr")["GMM"]
    assert row["0.1–0.5 bpp (%)"].note == "only 0.24–0.50 bpp overlap"


def test_refusals_are_no_numbers_and_have_a_note() -> None:
    single = curve("single", 0.5, "codec", count=1)
    row = rows(comparison_tables([single, BPG], "bpg"), "bd-rate-psnr")["SINGLE"]
    for column in ("BD-rate (%)", "0.1–0.5 bpp (%)", "per image (%)"):
        assert row[column].text == "n/a"
        assert row[column].value is None
        assert "1 point of the 4 needed" in row[column].note
    assert row["compared at (dB)"].text == "–"
    of_quoted = rows(comparison_tables([quoted(), BPG], "bpg"), "bd-rate-psnr")["VTM (quoted)"]
    assert of_quoted["per image (%)"].note == "quoted means, no images"


def test_the_matrix_has_every_pair() -> None:
    matrix = rows(comparison_tables([CODEC, BPG, JPEG], "bpg"), "bd-matrix-ms-ssim")
    assert matrix["GMM"]["JPEG 4:2:0"].text == "−75.0"
    assert matrix["JPEG 4:2:0"]["GMM"].text == "+300.0"
    assert matrix["BPG 4:4:4"]["BPG 4:4:4"].text == "–"


def test_bits_at_equal_quality_are_shares_of_bpg_and_jpeg() -> None:
    tables = comparison_tables([CODEC, BPG, JPEG], "bpg")
    table = next(table for table in tables if table.key == "equal-ms-ssim")
    assert [column.label for column in table.columns[3:]] == ["% of BPG 4:4:4", "% of JPEG 4:2:0"]
    at = {(row[0].text, row[1].text): row[2:] for row in table.rows}
    assert [cell.text for cell in at["0.96", "GMM"]][1:] == ["50", "25"]
    assert [cell.text for cell in at["0.96", "JPEG 4:2:0"]][1:] == ["200", "100"]
    assert len(table.rows) == 4 * 3


def test_a_codec_of_one_point_is_compared_at_its_own_quality() -> None:
    single = replace(curve("single", 0.5, "codec"), points=CODEC.points[2:3])
    row = rows(comparison_tables([single, BPG, JPEG], "bpg"), "own-points")["SINGLE"]
    assert row["Setting"].text == "quality 20"
    for metric in ("PSNR", "MS-SSIM"):
        assert row[f"% of BPG 4:4:4, {metric}"].text == "50"
        assert row[f"% of JPEG 4:2:0, {metric}"].text == "25"
    beyond = replace(BPG, points=BPG.points[3:])
    cell = rows(comparison_tables([single, beyond], "bpg"), "own-points")["SINGLE"]
    assert "BPG 4:4:4: outside of" in cell["% of BPG 4:4:4, PSNR"].note


def test_anchors_are_measured_bpg_and_jpeg_but_not_its_namesakes() -> None:
    others = [
        curve("jpeg-2000"),
        curve("jpeg-xl"),
        curve("jpegxl"),
        curve("bpg-of-mine", 1, "codec"),
    ]
    published = quoted("quoted-jpeg")
    found = anchors([*others, CODEC, published, JPEG, BPG], CODEC)
    assert [c.key for c in found] == ["gmm", "bpg", "jpeg-4-2-0"]
    assert anchors([*others, published], None) == [published]


def test_points_and_complexity() -> None:
    tables = comparison_tables([CODEC, quoted()], "gmm")
    points = next(table for table in tables if table.key == "points")
    first = dict(zip([c.label for c in points.columns], points.rows[0], strict=True))
    assert first["images"].value == 3
    assert first["PSNR (dB)"].text == "26.00 ± 1.00"
    assert first["MS-SSIM"].text == "0.8415"
    assert first["in dB"].text == "8.00"
    cost = rows(tables, "complexity")
    assert cost["GMM"]["parameters"].text == "4.70 M"
    assert cost["GMM"]["encoder kMAC/pixel"].text == "55.3"
    assert cost["GMM"]["decoder kMAC/pixel"].text == "–"
    assert cost["GMM"]["encode s"].text == "0.500"
    assert cost["VTM (quoted)"]["encode s"].text == "–"
    assert cost["VTM (quoted)"]["Source"].text == "vtm.json"


def test_hulls_make_zigzags_comparable() -> None:
    zigzag = replace(CODEC, points=Curve.sorted([*CODEC.points, *JPEG.points]))
    refused, compared = (
        rows(comparison_tables([zigzag, BPG], "bpg", hull=hull), "bd-rate-psnr")["GMM"]
        for hull in (False, True)
    )
    assert "two points at" in refused["BD-rate (%)"].note
    assert compared["BD-rate (%)"].value == pytest.approx(-50, abs=0.5)
    assert "convex hull" in comparison_tables([zigzag, BPG], "bpg", hull=True)[0].caption


def test_without_ms_ssim_there_are_no_tables_of_it() -> None:
    small = [
        replace(
            c,
            points=tuple(
                replace(p, images=tuple(replace(i, ms_ssim=None) for i in p.images))
                for p in c.points
            ),
        )
        for c in (CODEC, BPG)
    ]
    tables = comparison_tables(small, "bpg")
    assert not [table.key for table in tables if "ms-ssim" in table.key]
    assert "3 of 3 images have a side under 176 pixels" in tables[0].caption


def test_further_metrics_have_a_table_where_some_were_measured() -> None:
    images = [
        replace(image, metrics={"swd_fine": 0.1 * (i + 1)} if i < 2 else {})
        for i, image in enumerate(CODEC.points[0].images)
    ]
    measured = replace(CODEC, points=(RDPoint("q=0", tuple(images)), *CODEC.points[1:]))
    tables = comparison_tables([measured, BPG], "bpg")
    table = next(table for table in tables if table.key == "metrics")
    assert [column.label for column in table.columns] == ["Codec", "Setting", "bpp", "swd_fine"]
    ((label, setting, bpp, value),) = table.rows  # settings without a figure have no row
    assert (label.text, setting.text) == ("GMM", "q=0")
    assert bpp.value == pytest.approx(measured.points[0].bpp)
    assert value.text == "0.1500"
    assert value.note == "2 of 3 have swd_fine"


def test_means_of_some_of_the_images_say_so() -> None:
    first = CODEC.points[0]
    images = (replace(first.images[0], psnr_db=None, ms_ssim=None), *first.images[1:])
    measured = replace(CODEC, points=(replace(first, images=images), *CODEC.points[1:]))
    tables = comparison_tables([measured, BPG], "bpg")
    for key in ("points", "own-points"):
        table = next(table for table in tables if table.key == key)
        labels = [column.label for column in table.columns]
        row = dict(zip(labels, table.rows[0], strict=True))
        assert row["PSNR (dB)"].note == "2 of 3 have PSNR"
        assert row["MS-SSIM"].note == "2 of 3 have MS-SSIM"


def test_without_a_reference_nothing_is_against_it() -> None:
    keys = [table.key for table in comparison_tables([CODEC], None)]
    assert keys == ["equal-ms-ssim", "equal-psnr", "points", "complexity"]
    with pytest.raises(ConfigError, match="reference=vvc is none of the curves: gmm"):
        comparison_tables([CODEC], "vvc")
    with pytest.raises(TngexpError, match="two curves are called gmm"):
        comparison_tables([CODEC, CODEC], "gmm")


def test_curves_of_different_images_are_refused() -> None:
    check_same_images([CODEC, BPG, quoted()])
    other = curve("webp", names=(*NAMES[:2], "kodim04"))
    with pytest.raises(TngexpError, match="GMM, quality 0 lacks kodim04") as error:
        check_same_images([CODEC, other])
    assert "measure all codecs on the same ones" in str(error.value)
    cut_off = replace(BPG.points[1], images=BPG.points[1].images[:1])
    broken = replace(BPG, points=(BPG.points[0], cut_off))
    with pytest.raises(TngexpError, match="BPG 4:4:4, quality 10 lacks kodim02, kodim03"):
        check_same_images([broken])
    resized = RDPoint("q", tuple(replace(i, width=200) for i in BPG.points[0].images))
    with pytest.raises(TngexpError, match="kodim01 is 200×176 in WEBP, q, but 192×176 in GMM"):
        check_same_images([CODEC, Curve("webp", "WEBP", "anchor", (resized,), "")])
    with pytest.raises(TngexpError, match="holds images twice: kodim01"):
        check_same_images([curve("x", names=("kodim01", "kodim01"))])


def test_warnings_name_what_is_wrong() -> None:
    assert comparison_warnings([CODEC, BPG]) == []
    flat = replace(BPG, points=(*BPG.points, replace(BPG.points[0], images=JPEG.points[5].images)))
    perfect = RDPoint("lossless", tuple(replace(i, psnr_db=None) for i in JPEG.points[5].images))
    warnings = comparison_warnings([flat, replace(JPEG, points=(perfect,)), quoted()])
    assert warnings[0] == "Quoted, so that their images could not be checked: VTM (quoted)."
    assert any("BPG 4:4:4, PSNR: the curve is not monotone" in line for line in warnings)
    assert any("JPEG 4:2:0: images came back perfect" in line for line in warnings)
    # A reader of the report sees them.
    caption = comparison_tables([CODEC, quoted()], "gmm")[0].caption
    assert caption.endswith("could not be checked: VTM (quoted).")


def test_differences_are_signed_with_a_real_minus() -> None:
    assert [signed(v).text for v in (12.34, -5.0, 0.0, -0.01)] == ["+12.3", "−5.0", "0.0", "0.0"]


def printed(table: Table, width: int) -> str:
    file = io.StringIO()
    print_table(Console(file=file, width=width, color_system=None), table)
    return file.getvalue()


def test_the_main_tables_fit_80_columns() -> None:
    for table in comparison_tables([CODEC, BPG, JPEG], "bpg"):
        if table.key != "points":  # nine columns of figures
            assert max(map(len, printed(table, 80).splitlines())) <= 80, table.key


def test_notes_become_footnotes_and_equal_ones_share_a_number() -> None:
    table = Table(
        "t",
        "Title",
        (Column("Codec", numeric=False), Column("bpp", note="of files"), Column("Source", False)),
        (
            (Cell("[bold]a"), Cell("n/a", None, "too short"), Cell("x" * 50)),
            (Cell("b"), Cell("n/a", None, "too short"), Cell("short")),
        ),
        "Caption.",
    )
    text = printed(table, 80)
    assert text.count("n/a²") == 2
    lines = text.splitlines()
    assert lines[0] == "Title"
    assert [line.strip() for line in lines if line[:1] in "¹²³"][:3] == [
        "¹ of files",
        "² too short",
        f"³ {'x' * 50}",
    ]
    assert "Caption." in lines
    assert "[bold]a" in text  # names are no markup


def test_figures_are_never_cut() -> None:
    columns = (Column("Codec", numeric=False), *(Column(f"figure {i}") for i in range(12)))
    row = (Cell("a codec"), *(Cell("123.456 ± 7.890") for _ in range(12)))
    text = printed(Table("t", "T", columns, (row,)), 60)
    assert text.count("123.456 ± 7.890") == 12
