"""What the page's script is given, and how the page is put together; no browser."""

import json
import re
import shlex
from html.parser import HTMLParser
from importlib.resources import files

import pytest

from harness.matrix.model import Details, Outcome, Results
from harness.matrix.report import html, page_data
from harness.matrix.report.page_head import show
from harness.matrix.summary import rerun_words
from tests.matrix.samples import HOSTILE, case, cell, key, large_results, results, sample_results

MODULES = (html.EARLY_SCRIPT, *html.SCRIPTS)


class Blocks(HTMLParser):
    """The page's script elements as a browser delimits them: type and id, then the text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: dict[str, str] = {}
        self._current: str | None = None
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "script":
            self._current = dict(attrs).get("id") or f"script {len(self.found)}"
            self.found[self._current] = ""

    def handle_endtag(self, tag: str) -> None:
        if tag == "script":
            self._current = None

    def handle_data(self, data: str) -> None:
        if self._current is not None:
            self.found[self._current] += data


def test_the_data_blocks_hold_what_the_results_hold() -> None:
    run = sample_results()
    blocks = Blocks(html.render(run)).found
    data = json.loads(blocks["data"])
    told = [
        (data["tests"][test], data["outcomes"][outcome], data["strings"][reason])
        for part in data["cells"]
        for test, outcome, reason in zip(
            *(part["cases"][name] for name in ("test", "outcome", "reason")), strict=True
        )
    ]
    assert told == [(entry.test, entry.outcome, entry.reason) for _, entry in run.cases()]
    details = json.loads(blocks["details-4"])
    assert details[1]["text"] == details[1]["wire"] == HOSTILE


def test_no_text_can_end_a_data_block() -> None:
    block = page_data.script_json({"a": "</script><!--<script>"})
    assert "<" not in block
    assert json.loads(block) == {"a": "</script><!--<script>"}


def test_texts_that_many_cases_share_are_there_once() -> None:
    page = html.render(large_results())
    assert page.count("way 3 in which a program sees its console differs") == 1
    assert page.count("[parameters-1996]") == 1


def test_every_module_of_the_page_is_in_it_after_those_that_it_imports() -> None:
    folder = files("harness.matrix.report").joinpath("page")
    assert sorted(MODULES) == sorted(file.name for file in folder.iterdir() if file.name.endswith(".js"))
    for place, name in enumerate(MODULES):
        imported = re.findall(r'^import .* from "\./(.*)";$', folder.joinpath(name).read_text(), re.MULTILINE)
        assert set(imported) <= set(MODULES[:place]), name


def test_the_bundle_has_no_import_left() -> None:
    assert not re.search(r"^(import|export)\b", html.bundle(), re.MULTILINE)


def test_details_beyond_the_budget_keep_their_end_and_failures_come_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(page_data, "DETAILS_BYTES", 6000)
    long = Details(text="x" * 4000 + "the end", wire="w" * 1000, output={"Captured stdout call": "o"})
    gap = case("test_gap", Outcome.GAP, reason="known", details=Details(text=long.text + "."))
    failed = case("test_failed", Outcome.FAILED, details=long)
    small = case("test_small", Outcome.GAP, reason="known", details=Details(text="small"))
    _, [details] = page_data.make_page_data(results(cell(cases=[gap, failed, small])))
    assert details[1:] == [long, Details(text="small")]
    assert details[0].text.endswith("xthe end.")
    assert "results.json has it" in details[0].text
    assert len(details[0].text) < 2000


def test_the_command_to_run_again_is_for_a_shell() -> None:
    again = cell(
        variables={"WINEDEBUG": "-all", "A": "it's", "ProgramFiles(x86)": "C:\\P F"},
        rerun=("py test", "--env=local", "suites/path"),
    )
    assert shlex.split(rerun_words(again)) == [
        "WINEDEBUG=-all",
        "A=it's",
        "env",
        "ProgramFiles(x86)=C:\\P F",
        "py test",
        "--env=local",
    ]


@pytest.mark.parametrize(
    ("run", "labels"),
    [
        (results(cell(key("local")), cell(key("docker"))), ["local", "docker"]),
        (results(cell(key("local")), cell(key("local", python="3.13"))), ["local py3.11", "local py3.13"]),
    ],
    ids=["one-python", "two-pythons"],
)
def test_a_column_is_named_by_what_differs(run: Results, labels: list[str]) -> None:
    data, _ = page_data.make_page_data(run)
    assert [column["label"] for column in data["columns"]] == labels


def test_markup_and_what_has_no_shape_are_shown_as_text() -> None:
    assert (
        show("<b>\x00\x1b \u202e&\n")
        == "<bdi>&lt;b&gt;\u2039NUL\u203a\u2039ESC\u203a \u2039U+202E\u203a&amp;\n</bdi>"
    )
