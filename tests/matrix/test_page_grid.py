"""``index.html`` in a real browser: the grid, its filters and its keyboard."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from harness.matrix.model import Outcome, Results
from tests.matrix.browser import Show, chromium, expect_found, row_names, show, square, wait_ready
from tests.matrix.samples import case, cell, key, large_results, results, sample_results

pytestmark = pytest.mark.usefixtures("chromium")
__all__ = ["chromium", "show"]


def label(page: Any, row: str, column: str) -> str:
    return str(square(page, row, column).get_attribute("aria-label"))


def two_gaps() -> Results:
    wine = {"reason": "no resize", "owner": "wine"}
    other = {"reason": "no signals", "owner": "windows"}
    return results(
        cell(key("local"), [case("test_a"), case("test_b"), case("test_Signals", Outcome.FAILED)]),
        cell(
            key("wine-exec"),
            [
                case("test_a", Outcome.GAP, **wine),
                case("test_b", Outcome.GAP, **other),
                case("test_c", Outcome.SKIPPED, reason="no sandbox there"),
            ],
        ),
    )


def test_counts_are_those_of_the_results(show: Show) -> None:
    run = large_results()
    page = show(run)
    for part in run.cells:
        words = label(page, part.key.suite, part.key.environment).split(", ")
        told = {word.split()[1].rstrip("s"): int(word.split()[0].replace(",", "")) for word in words}
        assert told == {str(outcome): number for outcome, number in part.counts().items()}
    assert label(page, "All suites", "docker").endswith("1,946 passed")


def test_a_name_expands_to_files_functions_and_cases(show: Show) -> None:
    page = show(sample_results())
    assert row_names(page) == ["All suites", "path", "process"]
    for name in ("path", "test_names.py", "test_a_name"):
        page.get_by_role("rowheader", name=name, exact=True).click()
    assert row_names(page)[:6] == ["All suites", "path", "test_names.py", "test_a_name", "[blank]", "[dots]"]
    assert label(page, "[blank]", "wine-exec") == "failed"
    assert label(page, "[blank]", "docker") == "not run"
    assert square(page, "[dots]", "wine-exec").locator(".mark.gap").count() == 1
    page.get_by_role("rowheader", name="path", exact=True).click()
    assert row_names(page) == ["All suites", "path", "process"]


def test_what_passed_everywhere_is_one_row_until_asked_for(show: Show) -> None:
    fine = [case(f"test_{number}") for number in range(9)]
    page = show(results(cell(cases=[*fine, case("test_bad", Outcome.FAILED)])))
    page.get_by_role("button", name="Expand all").click()
    folded = "9 more functions passed wherever run"
    assert row_names(page) == ["All suites", "path", "test_names.py", "test_bad", folded]
    assert label(page, folded, "local") == "9 passed"
    page.get_by_role("rowheader", name=folded).click()
    assert len(row_names(page)) == 13


def test_only_rows_in_sight_are_elements(show: Show) -> None:
    page = show(large_results())
    page.get_by_role("button", name="Expand all").click()
    total = int(page.locator("#treegrid").get_attribute("aria-rowcount"))
    assert total > 300
    assert len(row_names(page)) < 80
    page.evaluate("document.getElementById('treegrid').scrollTop = 1e6")
    page.wait_for_selector(f'#treegrid [aria-rowindex="{total}"]')
    assert len(row_names(page)) < 80


@pytest.mark.parametrize(
    ("fragment", "matches", "rows"),
    [
        ("#q=test_a", "2 of 6 cases match", ["test_a"]),
        ("#q=TEST_A", "2 of 6 cases match", ["test_a"]),
        ("#q=signals", "2 of 6 cases match", ["test_b", "test_Signals"]),
        ("#q=resize+no", "1 of 6 cases matches", ["test_a"]),
        ("#outcome=failed", "1 of 6 cases matches", ["test_Signals"]),
        ("#outcome=failed,skipped", "2 of 6 cases match", ["test_Signals", "test_c"]),
        ("#owner=windows", "1 of 6 cases matches", ["test_b"]),
        ("#reason=no+resize", "1 of 6 cases matches", ["test_a"]),
        ("#env=wine-exec&q=test_a", "1 of 6 cases matches", ["test_a"]),
        ("#outcome=gap&owner=wine&q=test_&env=wine-exec&env=local", "1 of 6 cases matches", ["test_a"]),
        ("#q=nothing+such", "0 of 6 cases match", []),
        ("#outcome=nonsense&env=nowhere", "6 cases", None),
    ],
)
def test_a_link_restores_its_filters(
    show: Show, fragment: str, matches: str, rows: Sequence[str] | None
) -> None:
    page = show(two_gaps(), fragment)
    expect_found(page, matches)
    if rows is None:
        assert row_names(page) == ["All suites", "path"]
    else:
        assert row_names(page)[3:] == rows
        assert page.locator(".nothing").is_visible() is (not rows)
    page.reload()
    wait_ready(page)
    expect_found(page, matches)


def test_filters_are_chosen_by_hand_and_kept_in_the_address(show: Show) -> None:
    page = show(two_gaps())
    page.keyboard.press("/")
    page.keyboard.type("test_")
    page.get_by_role("button", name="2 gaps").click()
    page.get_by_role("button", name="wine-exec").click()
    page.get_by_label("Owner", exact=True).select_option(label="windows (1)")
    page.get_by_label("Reason", exact=True).select_option(label="no signals (1)")
    expect_found(page, "1 of 6 cases matches")
    assert row_names(page)[3:] == ["test_b"]
    assert page.get_by_role("button", name="wine-exec").get_attribute("aria-pressed") == "true"
    assert page.url.partition("#")[2] == "q=test_&outcome=gap&env=wine-exec&owner=windows&reason=no+signals"
    page.reload()
    wait_ready(page)
    expect_found(page, "1 of 6 cases matches")
    assert page.get_by_label("Owner", exact=True).input_value() == "=windows"
    page.get_by_role("button", name="Clear filters").click()
    expect_found(page, "6 cases")
    assert "#" not in page.url


def test_an_environment_alone_hides_the_other_columns(show: Show) -> None:
    page = show(two_gaps(), "#env=local")
    assert page.locator("#treegrid [role=columnheader]").all_inner_texts()[1:] == ["local"]
    expect_found(page, "3 of 6 cases match")


def test_a_row_that_matches_keeps_its_neighbours_for_comparison(show: Show) -> None:
    page = show(two_gaps(), "#outcome=gap")
    assert label(page, "test_a", "local") == "passed"
    assert "aside" in square(page, "test_a", "local").get_attribute("class")
    assert label(page, "path", "local") == "nothing that matches"
    assert label(page, "path", "wine-exec") == "2 gaps"


def test_a_long_list_of_matches_is_not_expanded_by_itself(show: Show) -> None:
    page = show(large_results(), "#outcome=passed")
    assert row_names(page) == ["All suites", "filesystem", "path", "process", "shell"]


def test_the_keyboard_reaches_everything_in_the_grid(show: Show) -> None:
    page = show(sample_results())
    focused = page.locator(":focus")
    page.get_by_role("button", name="Collapse all").focus()
    page.keyboard.press("Tab")
    assert focused.inner_text() == "All suites"
    press(page, "ArrowDown", "ArrowRight", "ArrowDown", "ArrowRight", "ArrowDown", "ArrowRight", "ArrowDown")
    assert focused.inner_text() == "[blank]"
    press(page, "End")
    assert focused.get_attribute("aria-label") == "failed"
    press(page, "ArrowLeft")
    assert focused.get_attribute("aria-label") == "not run"
    press(page, "Home", "ArrowLeft")
    assert focused.inner_text() == "test_a_name"
    press(page, "ArrowLeft")
    assert focused.locator("..").get_attribute("aria-expanded") == "false"
    press(page, "Control+End")
    assert focused.locator("..").get_attribute("data-key") == "process"
    press(page, "Control+Home")
    assert focused.locator("..").get_attribute("data-key") == ""
    # One stop for Tab; the next is outside of the grid.
    assert page.locator('#treegrid [tabindex="0"]').count() == 1
    press(page, "Tab")
    assert page.locator("#treegrid :focus").count() == 0


def press(page: Any, *keys: str) -> None:
    for name in keys:
        page.keyboard.press(name)


def test_the_focus_stays_on_its_row_while_that_is_out_of_sight(show: Show) -> None:
    page = show(large_results())
    page.get_by_role("button", name="Expand all").click()
    page.get_by_role("rowheader", name="filesystem", exact=True).focus()
    page.evaluate("document.getElementById('treegrid').scrollTop = 1e6")
    last = page.locator("#treegrid").get_attribute("aria-rowcount")
    page.wait_for_selector(f'#treegrid [aria-rowindex="{last}"]')
    assert "test_part_0.py" not in row_names(page)
    assert page.locator(":focus").inner_text() == "filesystem"
    press(page, "ArrowDown")
    assert page.locator(":focus").inner_text() == "test_part_0.py"


def test_the_keys_are_told_and_can_be_switched_off(show: Show) -> None:
    page = show(two_gaps())
    page.keyboard.press("?")
    dialog = page.get_by_role("dialog", name="Keys")
    assert "next and previous failure" in dialog.inner_text()
    dialog.get_by_label("single keys").uncheck()
    page.keyboard.press("Escape")
    assert not dialog.is_visible()
    page.keyboard.press("n")
    assert not page.locator("#panel").is_visible()
    page.reload()
    wait_ready(page)
    page.keyboard.press("n")
    assert not page.locator("#panel").is_visible()
