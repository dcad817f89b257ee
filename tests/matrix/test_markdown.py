"""The summary for the page of a CI job, as a renderer of Markdown shows it."""

from __future__ import annotations

import re

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from harness.matrix.model import CellStatus, Outcome, Results
from harness.matrix.report.markdown import LIMIT, markdown
from harness.matrix.summary import printable
from tests.matrix.samples import (
    HOSTILE,
    case,
    cell,
    key,
    large_results,
    results,
    sample_results,
)

RENDERER = MarkdownIt("commonmark").enable(["table", "strikethrough"])


def tokens(text: str) -> list[Token]:
    return [token for block in RENDERER.parse(text) for token in (block, *(block.children or []))]


def sections(text: str) -> dict[str, str]:
    """What a reader sees under each heading, as plain text."""
    shown: dict[str, str] = {}
    title = ""
    in_heading = False
    for token in tokens(text):
        if token.type in ("heading_open", "heading_close"):
            in_heading = token.type == "heading_open"
        elif token.type in ("text", "code_inline"):
            if in_heading and token.level == 0:
                title = token.content
            shown[title] = shown.get(title, "") + token.content
        elif token.type in ("softbreak", "hardbreak", "paragraph_close", "td_close", "th_close", "tr_close"):
            shown[title] = shown.get(title, "") + "\n"
    return shown


def table(text: str, heading: str) -> list[list[str]]:
    """The rows of the table under that heading, head first, as HTML of each square."""
    html = RENDERER.render(text.partition(f"### {heading}\n")[2].partition("\n### ")[0])
    return [
        re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in re.findall(r"<tr>(.*?)</tr>", html, re.S)
    ]


def test_the_sections_stand_in_the_order_of_their_weight() -> None:
    titles = re.findall(r"^### (.*)$", markdown(sample_results()), re.M)
    assert titles == [
        "Suites and places",
        "Failures",
        "Not run to the end",
        "Unavailable",
        "Flaky",
        "Known gaps",
        "Times",
        "Versions",
    ]


def test_what_there_is_none_of_has_no_section() -> None:
    text = markdown(results(cell(cases=[case("test_a")])))
    assert re.findall(r"^### (.*)$", text, re.M) == ["Suites and places", "Times", "Versions"]


def test_the_table_shows_suites_against_places() -> None:
    rows = table(markdown(sample_results()), "Suites and places")
    assert rows == [
        ["suite", "local", "docker", "wine-exec"],
        [
            "path",
            "2 passed, 1 skipped",
            "unavailable",
            "<strong>1 FAILED</strong>, <strong>1 ERROR</strong>, 2 gaps",
        ],
        ["process", "1 flaky, 1 passed", "unavailable", "<strong>BROKEN</strong>, 1 passed"],
        [
            "all",
            "1 flaky, 3 passed, 1 skipped",
            "unavailable",
            "<strong>BROKEN</strong>, <strong>1 FAILED</strong>, <strong>1 ERROR</strong>, 1 passed, 2 gaps",
        ],
    ]


def test_shards_of_a_suite_are_one_square() -> None:
    parts = [cell(key(shard=f"{part}/2"), [case(f"test_{part}")]) for part in (1, 2)]
    assert table(markdown(results(*parts)), "Suites and places")[1:] == [["path", "2 passed"]]


def test_places_are_told_apart_by_what_differs() -> None:
    text = markdown(results(cell(key(python="3.11")), cell(key(python="3.13"))))
    assert table(text, "Suites and places")[0] == ["suite", "local py3.11", "local py3.13"]


def test_a_failure_tells_where_why_and_how_to_run_it_again() -> None:
    failed = case("test_a[x y]", Outcome.FAILED, reason="it differs")
    again = ("pytest", "--env=wine-exec", "suites/path")
    where = cell(key("wine-exec"), [failed], rerun=again, variables={"WINE": "/opt/a b"})
    text = markdown(results(where))
    command = "WINE='/opt/a b' pytest --env=wine-exec 'suites/path/test_names.py::test_a[x y]'"
    assert sections(text)["Failures"].removeprefix("Failures").strip().split("\n") == [
        "FAILED wine-exec: suites/path/test_names.py::test_a[x y]",
        "it differs",
        command,
    ]
    assert command in [token.content for token in tokens(text) if token.type == "code_inline"]


def test_a_command_that_cannot_be_shown_as_it_is_is_not_shown() -> None:
    failed = case("test_a[\x1b]", Outcome.FAILED)
    text = markdown(results(cell(cases=[failed])))
    assert "pytest --env=local" not in text
    assert "is in `index.html`" in text


@pytest.mark.parametrize(
    "text",
    [
        HOSTILE,
        "# no heading",
        "1. no list",
        "- no list",
        "+ no list",
        "=====",
        "*no* _emphasis_ ~~at~~ **all**",
        "[no](link) ![no](image) <no@link.org> https://no.link www.no.link",
        "a | b | c",
        "&lt; &amp; \\ \\* `code` ``more``",
        "`",
        "two  spaces",
        "@someone $1+1$",
        "several\nlines\r\nof it",
    ],
)
def test_text_is_shown_as_it_is(text: str) -> None:
    shown = printable(text)
    failed = case(f"test_a[{text}]", Outcome.FAILED, reason=text)
    gap = case("test_b", Outcome.GAP, reason=text, owner=text)
    summary = markdown(
        results(
            cell(cases=[failed, gap], rerun=(), versions={text: text}),
            cell(key(suite=text), status=CellStatus.BROKEN, reason=text),
            cell(key("docker"), status=CellStatus.UNAVAILABLE, reason=text, remedy=text),
            failures=(text,),
        )
    )
    found = {title: content.replace("\xa0", " ") for title, content in sections(summary).items()}
    for title in ("Suites and places", "Failures", "Not run to the end", "Known gaps", "Versions"):
        assert shown in found[title], title
    assert found["Unavailable"].count(shown) == 2
    assert f"test_a[{shown}]" in found["Failures"]
    kinds = {token.type for token in tokens(summary)}
    assert kinds.isdisjoint({"html_inline", "html_block", "link_open", "image", "em_open", "s_open", "fence"})
    bullets = sum(token.type in ("bullet_list_open", "ordered_list_open") for token in tokens(summary))
    plain = markdown(
        results(
            cell(
                cases=[case("test_a[x]", Outcome.FAILED, reason="x"), case("test_b", Outcome.GAP, reason="x")]
            ),
            cell(key(suite="x"), status=CellStatus.BROKEN, reason="x"),
            cell(key("docker"), status=CellStatus.UNAVAILABLE, reason="x", remedy="x"),
            failures=("x",),
        )
    )
    assert bullets == sum(token.type in ("bullet_list_open", "ordered_list_open") for token in tokens(plain))


def test_gaps_are_counted_by_owner_and_reason() -> None:
    gaps = [case(f"test_a[{n}]", Outcome.GAP, reason="spaces", owner="wine") for n in range(3)]
    more = [case("test_b", Outcome.GAP, reason="quotes")]
    text = markdown(results(cell(key("wine-exec"), gaps), cell(key("docker"), [*gaps[:1], *more])))
    shown = sections(text)["Known gaps"].split("\n")
    assert [line.removeprefix("Known gaps") for line in shown if line] == [
        "wine: 4 cases",
        "spaces (3 in wine-exec, 1 in docker)",
        "nobody named: 1 case",
        "quotes (1 in docker)",
    ]


def endless() -> Results:
    """More than fits of everything there is."""
    long = "reason " * 500
    cells = []
    for place in range(40):
        for suite in range(12):
            where = key(f"environment-{place}-{'x' * 40}", f"suite-{suite}-{'y' * 40}")
            status = list(CellStatus)[place % 4]
            cases = [
                case(f"test_{n}[{'ä' * 400}]", outcome, reason=f"{n} {long}", owner=f"{suite} {n}")
                for n, outcome in enumerate(list(Outcome) * 2)
                if outcome != Outcome.UNAVAILABLE
            ]
            cells.append(
                cell(where, cases, status, reason=long, remedy=long, seconds=9.0, versions={long: long})
            )
    return results(*cells, failures=(long,) * 500)


def test_it_fits_whatever_there_is() -> None:
    text = markdown(endless())
    assert LIMIT * 3 // 4 < len(text.encode()) <= LIMIT
    shown = sections(text)
    assert len(shown) == 9
    assert all("cut here: see index.html" in content for content in shown.values())


def test_nothing_is_cut_from_a_large_run_in_three_environments() -> None:
    assert "cut here" not in markdown(large_results())


def test_a_commit_is_shown_short() -> None:
    commits = f"{'0123456789' * 4}+, {'abcdef0123' * 4}"
    assert "commit 012345678901+, abcdef0123ab\n" in markdown(results(commit=commits))


def test_a_run_of_nothing_says_so() -> None:
    assert "othing was run" in markdown(results())
