"""The page in a real browser: voting by key and by touch, and the file that comes of it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from report.browser import browser as start_browser

DESKTOP = {"viewport": {"width": 1280, "height": 760}}
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
ASSETS = Path(__file__).parents[2] / "tngexp" / "report" / "assets"
TOTAL = 11  # nine pairs and two catch trials
SEEDED = """
    let next = %d;
    crypto.getRandomValues = (array) => array.map((_, i) => array[i] = next++);
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with start_browser() as chromium:
        yield chromium


@contextmanager
def opened(
    browser: Any, path: Path, seed: int = 1, script: str = "", **context: Any
) -> Iterator[Any]:
    """The page; complaints of any kind, and requests for anything else, fail the test."""
    complaints: list[str] = []
    holder = browser.new_context(**(DESKTOP | context))
    holder.add_init_script(SEEDED % seed + script)
    page = holder.new_page()
    page.set_default_timeout(10_000)
    page.on("console", lambda message: complaints.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "request",
        lambda request: (
            request.url.startswith(("file:", "data:", "blob:"))
            or complaints.append(f"fetched {request.url}")
        ),
    )
    try:
        page.goto(path.as_uri())
        yield page
        assert complaints == []
    finally:
        holder.close()


def ready(page: Any, number: int) -> None:
    """Waits for a pair, and for the moment from which votes are taken."""
    page.wait_for_selector(f'#trial[data-ready="{number}"]')
    page.wait_for_timeout(300)


def sources(page: Any) -> tuple[str, str]:
    """What the first and the second side show, as ids of the page's data."""
    return tuple(  # type: ignore[return-value]
        page.locator(f'figure[data-side="{side}"] .version').evaluate(
            """(picture) => [...document.querySelectorAll('script[type="text/plain"]')]
                .find((script) => script.textContent === picture.src).id"""
        )
        for side in ("first", "second")
    )


def saved(page: Any, button: str = "#end .save") -> dict[str, Any]:
    with page.expect_download() as download:
        page.click(button)
    assert download.value.suggested_filename.startswith("results-")
    return json.loads(Path(download.value.path()).read_text())


def trials(page: Any) -> dict[str, dict[str, Any]]:
    data = json.loads(page.locator("#page-data").text_content())
    return {pair["id"]: pair for pair in [*data["pairs"], *data["catches"]]}


def check(results: dict[str, Any], made: Any, shown: list[tuple[str, str]], chosen: str) -> None:
    """The file tells of every pair what was where and what was chosen."""
    assert results["study"] == made.study.id
    assert results["complete"] is True
    assert results["finished"] > results["started"]
    votes = results["votes"]
    assert len(votes) == results["trials"] == TOTAL
    catches = {made.study.catch_id(name) for name in made.study.catches}
    asked = Counter(vote["pair"] for vote in votes)
    assert {pair.id for pair in made.study.pairs} < asked.keys()
    assert sum(asked[c] for c in catches) == 2
    for vote, (first, second), choice in zip(votes, shown, chosen, strict=True):
        left, right = vote["left"], {"a": "b", "b": "a"}[vote["left"]]
        pair = PAIRS[vote["pair"]]
        assert (pair[left], pair[right]) == (first, second)
        assert vote["chosen"] == (left if choice == "1" else right)
        assert vote["ms"] >= 250
    assert {vote["left"] for vote in votes} == {"a", "b"}


PAIRS: dict[str, dict[str, Any]] = {}


def test_by_keyboard_at_a_desk(browser, made) -> None:
    labels = set(made.study.codecs) | {"jpeg", "webp", "avif", "photo0"}
    chosen = "12212112122"
    shown, texts = [], []
    with opened(browser, made.page) as page:
        PAIRS.update(trials(page))
        texts.append(page.locator("body").inner_text())
        page.locator("#start").press("Enter")
        for number, choice in enumerate(chosen, 1):
            ready(page, number)
            assert page.locator("#count").inner_text() == f"{number} of {TOTAL}"
            assert page.locator("#bar").evaluate("e => e.value") == number - 1
            texts.append(page.locator("body").inner_text())
            shown.append(sources(page))
            boxes = [
                page.locator(f'[data-side="{s}"] .version').bounding_box()
                for s in ("first", "second")
            ]
            assert boxes[0]["y"] == boxes[1]["y"]
            assert boxes[0]["x"] + boxes[0]["width"] < boxes[1]["x"]
            assert [b["width"] for b in boxes] == [144, 144]  # pixel for pixel
            page.keyboard.press("ArrowLeft" if choice == "1" else "ArrowRight")
        page.wait_for_selector("#end:not([hidden])")
        texts.append(page.locator("body").inner_text())
        results = saved(page)
        assert json.loads(page.input_value("#text"))["votes"] == results["votes"]
    check(results, made, shown, chosen)
    assert all(not vote["stacked"] and vote["scale"] == 1 for vote in results["votes"])
    assert [label for label in labels for text in texts if label.lower() in text.lower()] == []


def test_by_touch_on_a_phone(browser, made) -> None:
    chosen = "21121221211"
    shown = []
    with opened(browser, made.page, seed=5, **PHONE) as page:
        PAIRS.update(trials(page))
        page.tap("#start")
        for number, choice in enumerate(chosen, 1):
            ready(page, number)
            shown.append(sources(page))
            first, second = (
                page.locator(f'[data-side="{s}"] .version').bounding_box()
                for s in ("first", "second")
            )
            assert first["x"] == second["x"]
            assert first["y"] + first["height"] < second["y"]
            page.tap("#first" if choice == "1" else "#second")
        page.wait_for_selector("#end:not([hidden])")
        results = saved(page)
        assert page.evaluate("document.documentElement.scrollWidth") == 390
    check(results, made, shown, chosen)
    assert all(vote["stacked"] for vote in results["votes"])


@pytest.mark.parametrize("context", [DESKTOP, PHONE], ids=["desk", "phone"])
def test_the_original_shows_while_it_is_held(browser, made, context: dict[str, Any]) -> None:
    with opened(browser, made.page, **context) as page:
        pairs = trials(page)
        page.click("#start")
        ready(page, 1)
        originals = page.locator("img.original")
        versions = page.locator("img.version")

        def seen() -> tuple[list[bool], list[bool]]:
            return tuple(  # type: ignore[return-value]
                [group.nth(i).is_visible() for i in range(2)] for group in (originals, versions)
            )

        assert seen() == ([False] * 2, [True] * 2)
        page.keyboard.down(" ")
        assert seen() == ([True] * 2, [False] * 2)
        page.keyboard.press("ArrowLeft")  # a vote between two originals says nothing
        assert page.locator("#count").inner_text() == f"1 of {TOTAL}"
        page.keyboard.up(" ")
        assert seen() == ([False] * 2, [True] * 2)
        box = page.locator("#original").bounding_box()
        page.mouse.move(box["x"] + 9, box["y"] + 9)
        page.mouse.down()
        assert seen() == ([True] * 2, [False] * 2)
        shown = originals.first.evaluate("e => e.src")
        page.mouse.up()
        assert seen() == ([False] * 2, [True] * 2)
        page.keyboard.press("ArrowLeft")
        ready(page, 2)
        (vote,) = saved(page, "#trial .save")["votes"]
        assert vote["looks"] == 2
        original = pairs[vote["pair"]]["original"]
        assert shown == page.locator(f"#{original}").text_content()


def test_the_buttons_of_a_phone_on_its_side_are_in_sight(browser, made) -> None:
    side = PHONE | {"viewport": {"width": 844, "height": 390}}
    with opened(browser, made.page, **side) as page:
        page.click("#start")
        ready(page, 1)
        page.add_style_tag(content="#pair img { height: 400px; }")  # as larger photos have it
        box = page.locator("#second").bounding_box()
        assert box["y"] + box["height"] <= 390


def test_a_reload_goes_on_where_it_was(browser, made) -> None:
    with opened(browser, made.page) as page:
        page.click("#start")
        for number in (1, 2, 3):
            ready(page, number)
            page.keyboard.press("ArrowRight")
        ready(page, 4)
        before = saved(page, "#trial .save"), sources(page)
        page.reload()
        ready(page, 4)
        assert (saved(page, "#trial .save"), sources(page)) == before
        assert before[0]["complete"] is False
        assert len(before[0]["votes"]) == 3
        for number in range(4, TOTAL + 1):
            ready(page, number)
            page.keyboard.press("ArrowLeft")
        page.wait_for_selector("#end:not([hidden])")
        page.reload()
        results = saved(page)
        assert results["votes"][:3] == before[0]["votes"]
        assert results["complete"] is True
        # The next person at this machine starts a session of their own.
        page.click("#again")
        page.click("#start")
        ready(page, 1)
        fresh = saved(page, "#trial .save")
        assert fresh["votes"] == []
        assert fresh["started"] > results["started"]


def test_going_back_takes_the_last_vote_away(browser, made) -> None:
    with opened(browser, made.page) as page:
        page.click("#start")
        ready(page, 1)
        assert page.locator("#back").is_disabled()
        page.keyboard.press("ArrowRight")
        ready(page, 2)
        first = saved(page, "#trial .save")["votes"][0]
        page.keyboard.press("Backspace")
        ready(page, 1)
        page.keyboard.press("ArrowLeft")
        ready(page, 2)
        page.click("#back")
        ready(page, 1)
        page.keyboard.press("ArrowLeft")
        ready(page, 2)
        results = saved(page, "#trial .save")
        (vote,) = results["votes"]
        assert (vote["pair"], vote["left"]) == (first["pair"], first["left"])
        assert vote["chosen"] != first["chosen"]
        assert results["undone"] == 2


def test_a_key_that_stays_down_votes_once(browser, made) -> None:
    with opened(browser, made.page) as page:
        page.click("#start")
        ready(page, 1)
        page.keyboard.down("ArrowLeft")
        ready(page, 2)
        page.keyboard.down("ArrowLeft")  # a repetition, as far as the page can tell
        page.wait_for_timeout(100)
        assert page.locator("#count").inner_text() == f"2 of {TOTAL}"


def test_the_button_that_was_clicked_does_not_catch_the_next_space(browser, made) -> None:
    with opened(browser, made.page) as page:
        page.click("#start")
        ready(page, 1)
        page.click("#first")
        ready(page, 2)
        page.keyboard.press(" ")
        page.wait_for_timeout(100)
        assert page.locator("#count").inner_text() == f"2 of {TOTAL}"


def test_without_a_memory_the_page_says_so_and_goes_on(browser, made) -> None:
    refuse = 'Object.defineProperty(window, "localStorage", { get() { throw new Error("no"); } });'
    with opened(browser, made.page, script=refuse) as page:
        assert page.locator("#forgetful").is_visible()
        page.click("#start")
        ready(page, 1)
        page.keyboard.press("ArrowLeft")
        ready(page, 2)
    with opened(browser, made.page) as page:
        assert page.locator("#forgetful").is_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_follows_the_system_and_the_button(browser, made, scheme: str) -> None:
    with opened(browser, made.page, color_scheme=scheme) as page:
        colour = "getComputedStyle(document.body).backgroundColor"
        dark = page.evaluate(colour) == "rgb(18, 20, 24)"
        assert dark == (scheme == "dark")
        for _ in range(2):
            page.click("#theme")
        assert page.evaluate(colour) == "rgb(18, 20, 24)"


def test_the_plan_of_a_session(browser) -> None:
    page = browser.new_page()
    made = page.evaluate(
        f"""() => {{
        {(ASSETS / "session.js").read_text()}
        const pair = (group, n) => ({{ id: `${{group}}-${{n}}`, group, original: `o${{n}}` }});
        const data = {{ trials: 12, catch_trials: 3, pairs: [], catches: [] }};
        for (let n = 0; n < 20; n++) for (const g of [0, 1, 2]) data.pairs.push(pair(g, n));
        data.catches = [0, 1].map((n) => ({{ id: `c${{n}}`, group: 9, original: `o${{n}}` }}));
        const plans = [];
        for (let seed = 0; seed < 200; seed++) plans.push(plan(data, seed));
        return [plans, plan(data, 7)].map((p) => JSON.parse(JSON.stringify(p)));
        }}"""
    )
    page.close()
    plans, again = made
    assert plans[7] == again  # an order follows from its seed
    assert len({json.dumps(p) for p in plans}) == 200
    lefts: Counter[str] = Counter()
    places: Counter[int] = Counter()
    for one in plans:
        groups = Counter(trial["pair"]["group"] for trial in one)
        assert groups == {0: 4, 1: 4, 2: 4, 9: 3}
        ids = [trial["pair"]["id"] for trial in one if trial["pair"]["group"] != 9]
        assert len(set(ids)) == 12
        lefts.update(trial["left"] for trial in one)
        places.update(n for n, trial in enumerate(one) if trial["pair"]["group"] == 9)
    assert 0.45 < lefts["a"] / lefts.total() < 0.55  # 3,000 coins: 5 standard deviations
    assert len(places) == 15  # a catch trial may come anywhere
    assert max(places.values()) < 3 * min(places.values()) + 60
