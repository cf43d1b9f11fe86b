"""The report in a real browser: what it shows and what it does when touched."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from report.browser import browser as start_browser

DESKTOP = {"viewport": {"width": 1280, "height": 900}}
PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with start_browser() as chromium:
        yield chromium


@contextmanager
def opened(browser: Any, path: Path, **context: Any) -> Iterator[Any]:
    """The page; complaints of any kind, and requests for anything else, fail the test."""
    complaints: list[str] = []
    holder = browser.new_context(**(DESKTOP | context))
    page = holder.new_page()
    page.set_default_timeout(5_000)
    page.on("console", lambda message: complaints.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: complaints.append(f"script ran: {dialog.message}"))
    page.on(
        "request",
        lambda request: (
            request.url.startswith(("file:", "data:", "blob:"))
            or complaints.append(f"fetched {request.url}")
        ),
    )
    try:
        page.goto(path.as_uri())
        page.wait_for_selector("#plot .scatterlayer .point")
        yield page
        assert complaints == []
    finally:
        holder.close()


@pytest.fixture
def page(browser, report) -> Iterator[Any]:
    with opened(browser, report.path) as page:
        yield page


def pick(page: Any, group: str, text: str) -> None:
    page.locator(f"#{group}").get_by_label(text, exact=True).click()


def side(page: Any, letter: str) -> str:
    return page.locator(f'.side[data-side="{letter}"]').inner_text()


def split(page: Any) -> int:
    return int(page.locator("#divider").get_attribute("aria-valuenow"))


def scale(page: Any) -> float:
    return float(page.locator("#stage").get_attribute("data-scale"))


def offset(page: Any) -> tuple[float, float]:
    transform = page.locator('.layer[data-side="a"] img').evaluate("e => e.style.transform")
    x, y = re.findall(r"(-?[\d.]+)px", transform)
    return float(x), float(y)


def hover(page: Any, curve: int, point: int) -> str:
    """The tooltip of a point, where Plotly has drawn it."""
    at = page.evaluate(
        """([curve, point]) => {
            const plot = document.getElementById("plot");
            const { xaxis, yaxis } = plot._fullLayout;
            const box = plot.getBoundingClientRect();
            const { x, y } = plot.data[curve];
            return [
                box.x + xaxis._offset + xaxis.d2p(x[point]),
                box.y + yaxis._offset + yaxis.d2p(y[point]),
            ];
        }""",
        [curve, point],
    )
    page.mouse.move(0, 0)
    page.mouse.move(*at)
    page.wait_for_selector("#plot .hovertext")
    return page.locator("#plot .hovertext").text_content()


def test_hovering_tells_codec_setting_and_figures(page, report) -> None:
    last = report.curves[0].points[-1]
    text = hover(page, 0, 3)
    for words in ("ours, MS-SSIM", last.setting, f"{last.bpp:.3f} bpp", f"{last.psnr_db:.2f} dB"):
        assert words in text
    assert f"{last.ms_ssim:.4f}" in text
    assert "a</script>" in hover(page, 1, 0)


def test_one_image_metric_zoom_and_log(page) -> None:
    ranges = "document.getElementById('plot').layout"
    page.select_option("#chart-image", label="one.png")
    assert "one.png" in hover(page, 0, 0)
    assert page.locator("#legend button", has_text="VTM").is_disabled()  # quoted means have none
    page.select_option("#chart-image", index=0)
    pick(page, "metric", "MS-SSIM in dB")
    assert page.evaluate(f"{ranges}.yaxis.title.text") == "MS-SSIM (dB)"
    page.check("#low-rate")
    assert page.evaluate(f"{ranges}.xaxis.range") == [0, 0.6]
    page.check("#log-rate")
    assert page.evaluate(f"{ranges}.xaxis.type") == "log"


def test_the_legend_hides_curves_and_shows_one_alone(page) -> None:
    shown = "document.getElementById('plot').data.filter(t => t.visible).length"
    button = page.locator("#legend button", has_text="JPEG")
    assert page.evaluate(shown) == 4
    button.focus()
    page.keyboard.press("Enter")
    assert (page.evaluate(shown), button.get_attribute("aria-pressed")) == (3, "false")
    button.click()
    assert page.evaluate(shown) == 4
    button.dblclick()
    assert page.evaluate(shown) == 1


def test_hostile_names_are_shown_as_they_are(page) -> None:
    hostile = "a</script><script>alert('label')</script>"
    assert page.locator("h1").inner_text() == f"Title {hostile}"
    assert page.locator("#legend button").nth(1).inner_text() == hostile
    assert "<img src=x onerror=alert(1)>" in page.locator("#notes").inner_text()


def test_tables_sort_by_mouse_and_keyboard_with_missing_figures_last(page) -> None:
    figures = lambda: page.locator("#table-figures tbody td").all_inner_texts()  # noqa: E731
    heading = page.locator("#table-figures thead th").nth(1)
    heading.locator("button").click()
    assert figures() == ["−9.5", "+20.0", "+100.0", "n/a2"]
    assert heading.get_attribute("aria-sort") == "ascending"
    page.keyboard.press("Enter")
    assert figures() == ["+100.0", "+20.0", "−9.5", "n/a2"]
    assert heading.get_attribute("aria-sort") == "descending"
    page.locator("#table-figures thead button").first.click()
    assert figures()[1:3] == ["+100.0", "−9.5"]  # a</script>, JPEG, ours, VTM
    assert heading.get_attribute("aria-sort") == "none"


def test_choices_change_pictures_and_labels(page, report) -> None:
    assert "JPEG" in side(page, "a")  # a real codec beside a trained one
    assert "ours, MS-SSIM" in side(page, "b")
    first = page.locator('.layer[data-side="b"] img').get_attribute("src")
    assert first.startswith("data:image/webp;base64,")

    page.select_option("#side-a", label="Original")
    assert "96 × 64 pixels" in side(page, "a")
    assert "of the original" in page.locator("#outcome").inner_text()
    page.select_option("#side-a", label="ours, MS-SSIM")
    pick(page, "target", "0.75")
    version = report.images[0].versions[3]
    for words in (version.setting, f"{version.bytes:,} bytes", f"{version.bpp:.3f} bpp"):
        assert words in side(page, "a")
    assert f"{version.psnr_db:.2f} dB" in side(page, "a")
    assert f"{version.ms_ssim:.4f}" in side(page, "a")

    page.select_option("#viewer-image", label="two & three.png")
    assert page.locator('.layer[data-side="b"] img').get_attribute("src") != first
    assert "two & three.png" in page.locator('.layer[data-side="b"] img').get_attribute("alt")


def test_a_poor_match_is_called_one(page) -> None:
    assert "Poor match" not in side(page, "b")
    page.select_option("#side-b", index=2)  # has one point, at 0.27 bpp
    pick(page, "target", "0.75")
    assert "Poor match: 64 % below 0.75 bpp" in side(page, "b")
    assert "bytes than A" in page.locator("#outcome").inner_text()


def test_matching_by_ms_ssim_compares_bytes(page) -> None:
    pick(page, "match", "MS-SSIM")
    assert page.locator("#target-label").inner_text() == "Target MS-SSIM"
    assert page.locator("#target label").count() > 1
    assert "B takes 50 % fewer bytes than A" in page.locator("#outcome").inner_text()


def test_the_divider_moves_by_keyboard_and_mouse(page) -> None:
    divider = page.locator("#divider")
    divider.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    assert split(page) == 61
    page.keyboard.press("Home")
    assert split(page) == 0
    stage = page.locator("#stage").bounding_box()
    middle = stage["y"] + stage["height"] / 2
    page.mouse.move(stage["x"] + 1, middle)
    page.mouse.down()
    page.mouse.move(stage["x"] + stage["width"] * 0.25, middle, steps=4)
    page.mouse.up()
    assert split(page) == 25
    clip = page.locator('.layer[data-side="a"]').evaluate("e => e.style.clipPath")
    assert clip.startswith("inset(0px 75")


def test_zooming_and_panning(page) -> None:
    stage = page.locator("#stage")
    assert scale(page) == 1  # as large as it is: it fits
    pick(page, "zoom", "8×")
    assert scale(page) == 8
    picture = page.locator('.layer[data-side="a"] img')
    assert picture.evaluate("e => getComputedStyle(e).imageRendering") == "pixelated"
    assert picture.bounding_box()["width"] == pytest.approx(8 * 96)

    _, y = offset(page)
    stage.focus()
    page.keyboard.press("ArrowDown")
    assert offset(page)[1] == y - 40
    box = stage.bounding_box()
    page.mouse.move(box["x"] + 100, box["y"] + 100)
    page.mouse.wheel(0, -40)
    page.wait_for_function(
        f"document.querySelector('.layer img').style.transform.includes('{y:.0f}px')"
    )
    page.mouse.down()
    page.mouse.move(box["x"] + 100, box["y"] + 70)
    page.mouse.up()
    assert offset(page)[1] == y - 30
    assert split(page) == 50  # dragging the picture leaves the divider alone

    for key, expected in (("-", 4), ("+", 8), ("0", 1)):
        page.keyboard.press(key)
        assert scale(page) == expected


def test_flipping_while_a_key_or_the_button_is_held(page) -> None:
    tags = lambda: page.locator("#stage .tag").all_inner_texts()  # noqa: E731
    page.locator("#stage").focus()
    page.keyboard.down(" ")
    assert tags() == ["B", "A"]
    clip = page.locator('.layer[data-side="a"]').evaluate("e => e.style.clipPath")
    assert clip.endswith("50%)")
    page.keyboard.up(" ")
    assert tags() == ["A", "B"]
    page.locator("#flip").hover()
    page.mouse.down()
    assert tags() == ["B", "A"]
    page.mouse.up()
    assert tags() == ["A", "B"]
    page.locator("#flip").focus()
    page.keyboard.down("Enter")
    assert tags() == ["B", "A"]
    page.keyboard.up("Enter")
    assert tags() == ["A", "B"]


def test_dark_by_the_system_and_by_the_button(browser, report) -> None:
    dark = "getComputedStyle(document.body).backgroundColor"
    line = "document.getElementById('plot').data[0].line.color"
    with opened(browser, report.path, color_scheme="dark") as page:
        night = page.evaluate(dark), page.evaluate(line)
        page.click("#theme")  # auto → light
        day = page.evaluate(dark), page.evaluate(line)
        assert night[0] != day[0]
        assert night[1] != day[1]
        page.click("#theme")  # light → dark
        assert (page.evaluate(dark), page.evaluate(line)) == night


def test_the_data_can_be_saved(page, report) -> None:
    def saved(button: str) -> str:
        with page.expect_download() as download:
            page.click(button)
        return Path(download.value.path()).read_text(encoding="utf-8")

    data = json.loads(saved("#save-json"))
    assert [c["key"] for c in data["curves"]] == [c.key for c in report.curves]
    rows = list(csv.DictReader(io.StringIO(saved("#save-csv"))))
    assert len(rows) == sum(max(1, len(p.images)) for c in report.curves for p in c.points)
    first = report.curves[0].points[0].images[0]
    assert (rows[0]["image"], int(rows[0]["bytes"])) == (first.image, first.bytes)
    assert float(rows[0]["psnr_db"]) == first.psnr_db
    assert (rows[-1]["codec"], rows[-1]["image"], float(rows[-1]["bpp"])) == ("VTM (quoted)", "", 4)


def test_a_phone_shows_all_without_scrolling_sideways(browser, report) -> None:
    with opened(browser, report.path, **PHONE) as page:
        assert page.evaluate("document.documentElement.scrollWidth") == 360
        page.locator("#stage").scroll_into_view_if_needed()
        pick(page, "zoom", "8×")
        assert page.locator("#stage").bounding_box()["width"] <= 360
        box = page.locator("#flip").bounding_box()
        assert box["height"] >= 36
        assert page.evaluate("document.documentElement.scrollWidth") == 360


def test_everything_to_operate_has_a_name(page) -> None:
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("button, select, input, [role=slider], [tabindex]")]
            .filter((e) => !(e.getAttribute("aria-label") || e.getAttribute("aria-labelledby")
                || e.labels?.length || e.textContent.trim()))
            .map((e) => e.outerHTML)"""
    )
    assert nameless == []


def test_on_paper_there_are_no_controls(page) -> None:
    page.emulate_media(media="print")
    for part in (".controls", ".panel", "#theme", "#divider"):
        assert not page.locator(part).first.is_visible()
    assert page.locator("#table-figures").is_visible()
