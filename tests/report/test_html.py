"""The report is one whole file that needs nothing else, and no name in it becomes markup."""

from __future__ import annotations

import base64
import io
import json
import math
import re
from html.parser import HTMLParser
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tngexp.metrics.curves import Curve, ImagePoint, RDPoint
from tngexp.report import ballot
from tngexp.report import html as report_module
from tngexp.report.html import write_report
from tngexp.report.pictures import Reconstruction, ViewerImage
from tngexp.report.table import Cell, Column, Table

HOSTILE = "a</script><script>alert('label')</script>"  # as in conftest.py


def block(text: str, name: str) -> Any:
    (content,) = re.findall(rf'<script type="application/json" id="{name}">(.*?)</script>', text)
    return json.loads(content)


def without_plotly(text: str) -> str:
    start = text.index("plotly.js v")
    return text[:start] + text[text.index("</script>", start) :]


class Elements(HTMLParser):
    """What a browser makes of a page: elements with the names of their attributes, and texts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, ...]] = []
        self.texts = [""]
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, *(name for name, _ in attrs)))
        self.texts += [value or "" for name, value in attrs if name in ("title", "data-value")]
        self.texts.append("")

    def handle_endtag(self, tag: str) -> None:
        self.found.append((f"/{tag}",))
        self.texts.append("")

    def handle_comment(self, data: str) -> None:
        self.found.append(("comment",))

    def handle_data(self, data: str) -> None:
        self.texts[-1] += data


def write(path: Path, **parts: Any) -> str:
    empty: dict[str, Any] = {
        "title": "t",
        "subtitle": "s",
        "curves": [],
        "tables": [],
        "images": [],
        "notes": [],
        "meta": {},
    }
    write_report(path, **(empty | parts))
    return path.read_text(encoding="utf-8")


def test_nothing_is_fetched(report) -> None:
    own = without_plotly(report.text)
    assert not re.findall(r"(?:https?:)?//[a-z0-9-]+\.[a-z]", own, re.IGNORECASE)
    assert not re.findall(r"<link[^>]+stylesheet|@import|<script[^>]+\bsrc", own)
    # The browser refuses what plotly.js could fetch for maps.
    assert "default-src 'none'" in own


def test_the_file_is_whole_and_alone(report) -> None:
    assert report.text.rstrip().endswith("</html>")
    assert report.text.count("<script") == report.text.count("</script>")
    assert [path.name for path in report.path.parent.iterdir()] == ["report.html"]


def test_a_failure_leaves_the_old_file(tmp_path, monkeypatch) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match="full"):
        write(path)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_no_text_becomes_markup(report) -> None:
    own = without_plotly(report.text)
    assert "<script>alert" not in own
    assert "<img src=x" not in own
    assert "<b>all</b>" not in own
    assert f"Title {HOSTILE}" in Elements(own).texts
    # Inside JSON there is no < at all, so that neither </script> nor <!-- can appear.
    assert block(own, "curves-data")["curves"][1]["label"] == HOSTILE


def named(path: Path, name: str) -> str:
    """A report in which everything that can have a name has this one; without plotly.js."""
    image = ImagePoint(name, 8, 8, 8, 1.0, 30.0, None, metrics={name: 1.0})
    curve = Curve("a", name, "codec", (RDPoint(name, (image,)),), name, {name: name})
    column = Column(name, numeric=False, note=name)
    table = Table("t", name, (column,), ((Cell(name, name, note=name),),), caption=name)
    text = write(
        path,
        title=name,
        subtitle=name,
        curves=[curve],
        tables=[table],
        images=[ViewerImage(name, np.zeros((8, 8, 3), np.uint8), ())],
        notes=[name],
        meta={name: name},
    )
    return without_plotly(text)


@pytest.mark.parametrize(
    "name", [HOSTILE, "<!-- <b>", "\" onclick='alert(1)' x=\"&amp;", "{{ 7 * 7 }} {% if x %} {#"]
)
def test_any_name_is_shown_as_it_is(tmp_path, name: str) -> None:
    text = named(tmp_path / "r.html", name)
    plain, odd = Elements(named(tmp_path / "r.html", "NAME")), Elements(text)
    assert odd.found == plain.found
    # The page's texts are those of a harmless name, but for the name; JSON escapes it.
    json_free = [(a, b) for a, b in zip(plain.texts, odd.texts, strict=True) if a[:1] != "{"]
    assert [a.replace("NAME", name) for a, _ in json_free] == [b for _, b in json_free]
    assert sum("NAME" in a for a, _ in json_free) == 17
    data, page = block(text, "curves-data"), block(text, "page-data")
    (curve,) = data["curves"]
    assert data["title"] == curve["label"] == curve["source"] == curve["details"][name] == name
    assert data["image_columns"][-1] == curve["points"][0]["images"][0][0] == name
    assert page["viewer"][0]["name"] == name


def test_the_data_is_complete(report) -> None:
    data = block(report.text, "curves-data")
    columns = data["image_columns"]
    assert columns[-1] == "vif"
    for written, curve in zip(data["curves"], report.curves, strict=True):
        assert (written["key"], written["kind"]) == (curve.key, curve.kind)
        for at, point in zip(written["points"], curve.points, strict=True):
            assert (at["setting"], at["bpp"]) == (point.setting, point.bpp)
            assert at["drawn"]["psnr_db"] == [point.bpp, point.psnr_db]
            for row, image in zip(at["images"], point.images, strict=True):
                found = dict(zip(columns, row, strict=True))
                assert found["image"] == image.image
                assert found["bytes"] == image.bytes
                assert found["ms_ssim_db"] == image.ms_ssim_db
    assert data["curves"][3]["points"][0]["drawn"]["ms_ssim_db"] is None


def test_what_json_lacks_is_null_or_text(tmp_path) -> None:
    points = (RDPoint("no rate", quoted_psnr_db=math.inf),)
    curve = Curve("a", "a", "codec", points, "", {"path": tmp_path, "cost": math.nan, "n": (1,)})
    (written,) = block(write(tmp_path / "r.html", curves=[curve]), "curves-data")["curves"]
    assert written["details"] == {"path": str(tmp_path), "cost": None, "n": [1]}
    assert written["points"][0]["bpp"] is None


def test_pictures_are_lossless_and_there_once(report) -> None:
    found = dict(
        re.findall(r'<script type="text/plain" id="(pixels-\w+)">(.*?)</script>', report.text)
    )
    distinct = {
        p.tobytes() for i in report.images for p in (i.original, *(v.rgb for v in i.versions))
    }
    assert len(found) == len(distinct)
    for written, image in zip(
        block(report.text, "page-data")["viewer"], report.images, strict=True
    ):
        shown = [written["pixels"], *(version["pixels"] for version in written["versions"])]
        for key, rgb in zip(shown, (image.original, *(v.rgb for v in image.versions)), strict=True):
            head, data = found[key].split(",")
            assert head == "data:image/webp;base64"
            with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
                assert np.array_equal(np.asarray(picture), rgb)


def test_a_picture_too_long_for_webp_is_png(tmp_path) -> None:
    long = np.zeros((1, 20000, 3), np.uint8)
    version = Reconstruction("a", "", 1, 0.1, None, None, long)
    text = write(tmp_path / "r.html", images=[ViewerImage("long", long, (version,))])
    assert "data:image/png;base64," in text


def test_tables_read_without_scripts(report) -> None:
    (table,) = re.findall(r'<article class="table".*?</article>', report.text, re.DOTALL)
    assert table.count('scope="col" aria-sort="none"') == 2
    assert table.count('<th scope="row"') == 4
    assert 'data-value="-9.5">−9.5<' in table
    assert '<td class="number" title="1 point of the 4 needed">n/a<sup>' in table
    assert '<li id="note-figures-2">1 point of the 4 needed</li>' in table
    assert table.count('class="dot"') == 4  # rows about a curve carry its colour
    assert "Figures &amp; more." in table


def test_equal_notes_share_a_number(tmp_path) -> None:
    rows = tuple((Cell("n/a", None, note),) for note in ("x", "y", "x"))
    text = write(tmp_path / "r.html", tables=[Table("k", "", (Column("c"),), rows)])
    assert re.findall(r'aria-label="note (\d)"', text) == ["1", "2", "1"]


def test_empty_parts_are_hidden_and_cost_nothing(tmp_path) -> None:
    text = write(tmp_path / "r.html")
    for part in ("charts", "viewer", "tables", "notes"):
        assert re.search(rf'<section id="{part}"[^>]* hidden>', text)
    assert len(text) < 100_000


def test_the_pages_have_all_of_their_scripts() -> None:
    folder = resources.files("tngexp.report") / "assets"
    scripts = {entry.name for entry in folder.iterdir() if entry.name.endswith(".js")}
    assert scripts == {*report_module._SCRIPTS, *ballot._SCRIPTS}
