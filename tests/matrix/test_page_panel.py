"""``index.html`` in a real browser: the panel of a square, the ledger of gaps and the times."""

from __future__ import annotations

import shlex
from typing import Any

import pytest

from harness.matrix.model import Details, Outcome
from tests.matrix.browser import Show, chromium, expect_found, row_names, show, square, wait_ready
from tests.matrix.samples import FAILURE, TRANSCRIPT, case, cell, key, large_results, results, sample_results

pytestmark = pytest.mark.usefixtures("chromium")
__all__ = ["chromium", "show"]


def title(page: Any) -> str:
    return str(page.locator("#panel-title bdi").inner_text())


def command(page: Any) -> str:
    return str(page.locator("#panel .command").first.text_content())


def test_a_square_opens_by_mouse_and_tells_everything(show: Show) -> None:
    page = show(sample_results(), "#q=blank")
    square(page, "[blank]", "wine-exec").click()
    assert title(page) == "test_a_name[blank]"
    facts = page.locator("#panel .facts").inner_text().split("\n")
    assert facts[:4] == ["outcome", "failed", "failure", "AssertionError: assert 'a b' == 'a b'"]
    assert page.locator("#panel pre.text").first.text_content().rstrip("\n") == FAILURE
    assert page.locator("#panel pre.text .told").count() == 4
    assert page.get_by_role("heading", name="Captured stdout call").count() == 1
    elsewhere = page.locator("#panel .jumps").inner_text()
    assert elsewhere.split()[:2] == ["local", "passed"]


def test_the_wire_transcript_marks_directions(show: Show) -> None:
    wire = f"{TRANSCRIPT}\n   1.250 2 <- [1, 2]\n   1.300 -- closed -> for good\n3 earlier messages dropped"
    bad = case("test_a", Outcome.FAILED, details=Details(wire=wire))
    page = show(results(cell(cases=[bad])))
    page.keyboard.press("n")
    lines = page.locator("#panel .wire li")
    assert [line.split()[-1] for line in lines.evaluate_all("all => all.map(one => one.className)")] == [
        "out",
        "in",
        "in",
        "in",
        "remark",
        "remark",
    ]
    assert lines.nth(0).locator("code").text_content() == TRANSCRIPT.split("\n")[0].partition("-> ")[2]
    assert lines.nth(3).text_content() == "1.250 #2\u2190from the executor: [1, 2]"
    assert lines.nth(4).text_content() == "   1.300 -- closed -> for good"


def test_a_square_opens_by_keyboard_and_the_focus_returns(show: Show) -> None:
    page = show(sample_results(), "#q=dots")
    page.get_by_role("rowheader", name="[dots]").focus()
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    assert page.locator(":focus").get_attribute("id") == "panel-title"
    facts = page.locator("#panel .facts").inner_text().split("\n")
    assert facts[2:6] == ["reason", "a trailing space of a file's name is lost", "owner", "wine"]
    page.keyboard.press("Escape")
    assert not page.locator("#panel").is_visible()
    assert page.locator(":focus").get_attribute("aria-label") == "gap"
    assert page.locator(":focus").get_attribute("data-column") == "2"


def test_next_and_previous_failure_go_round(show: Show) -> None:
    page = show(sample_results())
    seen = []
    for _ in range(4):
        page.keyboard.press("n")
        seen.append((title(page), page.locator("#panel .where").inner_text()))
    assert seen == [
        ("test_a_name[blank]", "wine-exec \u2013 failure 1 of 3"),
        ("test_drives", "wine-exec \u2013 failure 2 of 3"),
        ("process", "wine-exec \u2013 failure 3 of 3"),
        ("test_a_name[blank]", "wine-exec \u2013 failure 1 of 3"),
    ]
    page.keyboard.press("p")
    assert title(page) == "process"
    assert "pytest ended with exit status 3" in page.locator("#panel").inner_text()
    page.get_by_role("button", name="Close").click()
    page.get_by_role("button", name="Next failure").click()
    assert title(page) == "test_a_name[blank]"
    assert "[blank]" in row_names(page)
    page.keyboard.press("Escape")
    assert page.locator(":focus").inner_text() == "Next failure n"


def test_next_failure_heeds_the_filters(show: Show) -> None:
    page = show(large_results(), "#env=docker")
    page.keyboard.press("p")
    assert page.locator("#panel .where").inner_text() == "docker \u2013 failure 3 of 3"


def test_without_failures_the_button_says_so(show: Show) -> None:
    page = show(results(cell(cases=[case("test_a")])))
    button = page.locator("#next")
    assert (button.inner_text(), button.is_disabled()) == ("No failure", True)
    page.keyboard.press("n")
    assert not page.locator("#panel").is_visible()


def test_a_link_to_a_square_opens_it(show: Show) -> None:
    page = show(large_results())
    page.keyboard.press("n")
    page.keyboard.press("n")
    before = (title(page), page.url)
    page.reload()
    wait_ready(page)
    assert (title(page), page.url) == before
    assert page.locator("#treegrid .square.open").is_visible()


NAMES = ["test_a[it's]", 'test_a["$HOME" `x` \\]', "test_a", "test_a[é € \u05d0]", "test_a[-a b;c&d]"]


@pytest.mark.parametrize("name", NAMES)
def test_the_command_runs_exactly_the_case(show: Show, name: str) -> None:
    bad = case(name, Outcome.FAILED)
    where = cell(
        key("wine-exec"),
        [bad],
        variables={"WINEDEBUG": "-all", "TMP": "/a b"},
        rerun=("python", "-m", "pytest", "--wine=/my wine/wine", "suites/path"),
    )
    page = show(results(where))
    page.keyboard.press("n")
    # It tells for 2 s that it has copied; here it goes on to.
    page.evaluate("window.setTimeout = () => 0")
    page.get_by_role("button", name="Copy").click()
    page.get_by_role("button", name="Copied").wait_for()
    page.locator("#search").focus()
    page.keyboard.press("Control+V")
    pasted = page.locator("#search").input_value()
    assert pasted == command(page)
    assert shlex.split(pasted) == [
        "WINEDEBUG=-all",
        "TMP=/a b",
        "python",
        "-m",
        "pytest",
        "--wine=/my wine/wine",
        bad.test,
    ]


def test_a_suite_s_square_tells_of_its_cell(show: Show) -> None:
    page = show(sample_results())
    square(page, "path", "wine-exec").click()
    assert shlex.split(command(page))[-1] == "suites/path"
    assert "wine-8.0 (Debian 8.0~repack-4)" in page.locator("#panel").inner_text()
    page.locator("#panel .jump").first.click()
    assert title(page) == "test_a_name[blank]"


def test_a_square_of_an_unavailable_place_tells_the_remedy(show: Show) -> None:
    page = show(sample_results())
    square(page, "process", "docker").click()
    facts = page.locator("#panel .facts").inner_text().split("\n")
    assert facts == ["ended", "unavailable", "reason", "no Docker daemon answers", "remedy", "start dockerd"]


def test_a_file_s_square_runs_the_file_again(show: Show) -> None:
    page = show(sample_results())
    page.get_by_role("rowheader", name="path", exact=True).click()
    square(page, "test_names.py", "local").click()
    assert shlex.split(command(page)) == ["pytest", "--env=local", "suites/path/test_names.py"]


def test_the_ledger_counts_by_owner_and_reason_and_leads_to_the_grid(show: Show) -> None:
    run = results(
        cell(
            key("wine-exec"),
            [
                *(case(f"test_a[{n}]", Outcome.GAP, reason="no resize", owner="wine") for n in range(3)),
                case("test_b", Outcome.GAP, reason="other", owner="wine", issue="https://example.org/1"),
                case("test_c", Outcome.GAP, reason="no owner"),
            ],
        ),
        cell(key("local"), [case("test_b", Outcome.GAP, reason="other", owner="wine")]),
    )
    page = show(run)
    owners = page.locator("#ledger h3").all_inner_texts()
    assert owners == ["wine 5 cases, 2 reasons", "Nobody named 1 case, 1 reason"]
    lines = page.get_by_role("table", name="Known gaps: wine").locator("tbody tr").all_inner_texts()
    assert [" ".join(line.split()) for line in lines] == [
        "no resize 3 wine-exec 3",
        "other 2 wine-exec 1 local 1 example.org/1",
    ]
    assert page.get_by_role("link", name="example.org/1").get_attribute("href") == "https://example.org/1"
    page.get_by_role("link", name="no resize").click()
    expect_found(page, "3 of 6 cases match")
    assert page.get_by_label("Reason", exact=True).input_value() == "=no resize"
    page.get_by_role("link", name="1 case, 1 reason").click()
    expect_found(page, "1 of 6 cases matches")
    page.go_back()
    page.wait_for_function("document.querySelector('.found').textContent === '3 of 6 cases match'")


def test_times_are_plotted_and_told(show: Show) -> None:
    run = results(
        cell(key("local"), [case("test_a[1]", seconds=1.0), case("test_a[2]", seconds=0.5)], seconds=2.0),
        cell(key("docker"), [case("test_a[1]", seconds=3.0), case("test_b", seconds=0.25)], seconds=4.0),
    )
    page = show(run)
    cells, tests = page.locator(".plot").all()
    assert cells.locator(".value").evaluate_all("all => all.map(one => one.getAttribute('aria-label'))") == [
        "path, local: 2.00 s (2 cases, 2 workers)",
        "path, docker: 4.00 s (2 cases, 2 workers)",
    ]
    widths = [float(bar.get_attribute("width")) for bar in cells.locator(".bar").all()]
    assert widths[1] == pytest.approx(2 * widths[0])
    assert cells.locator(".tick").last.text_content() == "4 s"
    tests.locator(".value").first.hover()
    assert tests.locator(".readout").inner_text() == "test_a, local: 1.50 s (2 cases)"
    tests.locator('.value[tabindex="0"]').focus()
    page.keyboard.press("ArrowRight")
    assert tests.locator(".readout").inner_text() == "test_a, docker: 3.00 s (1 case)"
    page.keyboard.press("ArrowDown")
    assert page.locator(":focus").get_attribute("aria-label") == "test_b, docker: 0.25 s (1 case)"
    page.keyboard.press("Enter")
    assert title(page) == "test_b"
    page.keyboard.press("Escape")
    tests.get_by_text("The same as a table").click()
    rows = tests.locator("tbody tr").all_inner_texts()
    assert rows == ["test_a\t1.50 s\t3.00 s", "test_b\t\u2013\t0.25 s"]
