"""``index.html`` in a real browser: the whole page."""

from __future__ import annotations

from html import unescape
from typing import Any

import pytest

from harness.matrix.model import CellStatus, Details, Outcome, Results
from harness.matrix.report.page_head import show as show_as_markup
from tests.matrix.browser import Show, chromium, show, square, wait_ready
from tests.matrix.samples import HOSTILE, case, cell, key, large_results, results, sample_results

pytestmark = pytest.mark.usefixtures("chromium")
__all__ = ["chromium", "show"]

TEXTS = ("text", "muted", "link", "failed", "error", "flaky", "gap", "skipped", "passed")
GROUNDS = ("ground", "raised", "hover", "bad-ground", "chosen")


def all_green() -> Results:
    names = [case(f"test_{number}") for number in range(5)]
    return results(cell(key("local"), names), cell(key("docker"), names))


def all_away() -> Results:
    return results(
        *(
            cell(key("docker", suite), status=CellStatus.UNAVAILABLE, reason="no daemon", remedy="start it")
            for suite in ("path", "shell")
        )
    )


# The fixture also fails a test whose page asked for anything or complained.
@pytest.mark.parametrize("make", [sample_results, large_results, all_green, all_away, results])
def test_it_opens_and_asks_for_nothing(show: Show, make: Any) -> None:
    page = show(make())
    assert show.address in show.requests
    assert page.locator("#treegrid [role=columnheader]").count() == 1 + len(
        {entry.key.column for entry in make().cells}
    )


def test_the_head_says_what_came_of_it_and_what_would_help(show: Show) -> None:
    page = show(sample_results())
    assert page.locator("h1").inner_text().startswith("1 failed and 1 ended in error in wine-exec;")
    assert page.title().startswith("1 failed and 1 ended in error in wine-exec")
    assert page.locator(".summary").inner_text().split("\n")[:2] == [
        "2026-03-01 12:00 UTC",
        "took 75 s",
    ]
    problems = page.locator(".problems > li").all_inner_texts()
    assert [text.split("\n")[0] for text in problems] == [
        "The run fails. environment docker was named, and this machine cannot give it",
        "Could not be run to the end: wine-exec (process)",
        "Unavailable here: docker (path, process)",
    ]
    assert "Remedy: start dockerd" in problems[2]


def test_versions_are_there_on_demand(show: Show) -> None:
    page = show(sample_results())
    assert not page.locator(".versions").is_visible()
    page.get_by_text("Command, machine and versions").click()
    wine = page.locator(".versions tr").filter(has_text="wine-8.0")
    assert wine.inner_text().startswith("wine\t")
    assert "crossexec matrix --env=local,docker,wine-exec" in page.locator(".about").inner_text()


def test_it_can_be_read_without_scripts(show: Show) -> None:
    page = show(sample_results(), scripts=False)
    assert "1 failed" in page.locator("h1").inner_text()
    counts = page.locator("noscript table tr").all_inner_texts()
    assert counts[1].split("\t") == [
        "path",
        "2 passed, 1 skipped",
        "unavailable",
        "1 failed, 1 error, 2 gaps",
    ]
    assert not page.locator("main").is_visible()


def test_the_policy_lets_nothing_in(show: Show) -> None:
    page = show(all_green())
    assert page.evaluate("fetch('data:text/plain,a').then(() => 'sent', () => 'refused')") == "refused"
    assert page.evaluate("try { document.body.innerHTML = '<b>'; 'made' } catch { 'refused' }") == "refused"
    assert any("Content Security Policy" in text for text in show.complaints)
    show.complaints.clear()


HOSTILE_TEXTS = [
    HOSTILE,
    "</script></style></textarea></title><script>alert(1)</script>",
    "\x00\x01\x07\x1b[31m\x7f\x9b",
    "\u202egnp.exe\u2066\u05d0\u05d1 \u2028\u2029",
    "long " + "y" * 10_000,
    "' \" ` ${x} \\ &lt; %0a {{x}}",
]


@pytest.mark.parametrize(
    "text", HOSTILE_TEXTS, ids=["mixed", "ends", "controls", "turning", "long", "quotes"]
)
def test_hostile_texts_are_shown_as_text(show: Show, text: str) -> None:
    details = Details(text=text, wire=f"0.1 -> {text}", output={text: text})
    bad = case(f"test_x[{text}]", Outcome.FAILED, reason=text, details=details)
    gap = case(f"test_y[{text}]", Outcome.GAP, reason=text, owner=text, issue="javascript://x%0aalert(1)")
    page = show(
        results(
            cell(
                key(text, text), [bad, gap], versions={text: text}, variables={"A": text.replace("\x00", "")}
            ),
            cell(key("b", text), status=CellStatus.BROKEN, reason=text, remedy=text),
            failures=(text,),
            machine={text: text},
            commit=text,
        )
    )
    page.keyboard.press("n")
    page.keyboard.press("n")
    told = unescape(show_as_markup(text)).removeprefix("<bdi>").removesuffix("</bdi>")
    panel = page.locator("#panel")
    assert panel.locator("pre.text").all_text_contents() == [f"{told}\n", told]
    assert panel.locator("h2 bdi").text_content() == f"test_x[{told}]"
    assert told in page.locator(".problems").text_content()
    for character in "\x00\x1b\u202e":
        assert character not in page.locator("body").inner_text()
    assert page.locator("img, iframe, body > script ~ :not(script)").count() == 0
    assert page.locator('a[href^="javascript"]').count() == 0
    # Nothing of it makes the page wider than the window.
    assert page.evaluate("document.documentElement.scrollWidth") <= 1400


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_texts_have_contrast(show: Show, dark: bool) -> None:
    page = show(all_green(), dark=dark)
    colours = page.evaluate(
        """names => {
            const probe = document.body.appendChild(document.createElement("i"));
            const read = (name) => {
                probe.style.color = `var(--${name})`;
                return getComputedStyle(probe).color.match(/[0-9.]+/g).slice(0, 3).map(Number);
            };
            return Object.fromEntries(names.map((name) => [name, read(name)]));
        }""",
        [*TEXTS, *GROUNDS],
    )
    assert (sum(colours["ground"]) < 200) is dark
    weak = {
        (text, ground): ratio
        for text in TEXTS
        for ground in GROUNDS
        if (ratio := contrast(colours[text], colours[ground])) < 4.5
    }
    assert weak == {}


def contrast(one: list[float], other: list[float]) -> float:
    """As WCAG 2.2 defines the contrast ratio."""
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: list[float]) -> float:
    shares = [value / 255 for value in colour]
    red, green, blue = [s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares]
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_the_chosen_theme_stays(show: Show) -> None:
    page = show(all_green())
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    page.get_by_role("button", name="Show the page dark").click()
    dark = page.evaluate(ground)
    assert dark != light
    page.reload()
    wait_ready(page)
    assert page.evaluate(ground) == dark
    page.get_by_role("button", name="Show the page light").click()
    assert page.evaluate(ground) == light


@pytest.mark.parametrize(
    "make", [sample_results, lambda: large_results(9, 200)], ids=["sample", "nine-places"]
)
def test_a_narrow_window_scrolls_only_what_is_wide(show: Show, make: Any) -> None:
    page = show(make(), width=400)
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    page.keyboard.press("n")
    page.locator("#panel-title").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    assert page.locator("#panel").bounding_box()["width"] == 400


def test_all_rows_are_printed(show: Show) -> None:
    page = show(large_results())
    page.get_by_role("button", name="Expand all").click()
    rows = int(page.locator("#treegrid").get_attribute("aria-rowcount")) - 1
    assert page.locator("#treegrid .body .row").count() < 100 < rows
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("#treegrid .body .row").count() == rows
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("#treegrid .body .row").count() < 100


def test_accessibility_rules_find_nothing(show: Show) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed").Axe()
    for dark in (False, True):
        page = show(sample_results(), dark=dark)
        for key_pressed in ("", "n", "?"):
            if key_pressed:
                page.keyboard.press(key_pressed)
            found = axe.run(page).response["violations"]
            assert [(rule["id"], [node["target"] for node in rule["nodes"]]) for rule in found] == []


def test_the_grid_says_what_it_is_to_a_screen_reader(show: Show) -> None:
    page = show(sample_results())
    grid = page.get_by_role("treegrid", name="Outcomes by suite and environment")
    assert grid.get_by_role("columnheader", name="wine-exec").count() == 1
    row = grid.get_by_role("row").filter(has=page.get_by_role("rowheader", name="path", exact=True))
    assert (row.get_attribute("aria-level"), row.get_attribute("aria-expanded")) == ("1", "false")
    assert square(page, "path", "wine-exec").get_attribute("aria-label") == "1 failed, 1 error, 2 gaps"
    assert square(page, "path", "docker").get_attribute("aria-label") == "unavailable"
    assert page.get_by_role("button", name="2 gaps").get_attribute("aria-pressed") == "false"
