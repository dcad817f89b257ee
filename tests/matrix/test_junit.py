"""The JUnit reports, read by a parser of XML, and against those that pytest itself writes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import pytest

from harness.matrix.model import Cell, CellStatus, Details, Outcome, Results
from harness.matrix.report.junit import file_name, junit_documents
from tests.matrix.samples import FAILURE, HOSTILE, TRANSCRIPT, case, cell, key, results, sample_results

TALLY = Path(__file__).resolve().parents[2] / "ci" / "tally.py"


def only_document(*cells: Cell) -> Element:
    (document,) = junit_documents(results(*cells)).values()
    return ElementTree.fromstring(document)


def only_case(*cells: Cell) -> Element:
    (element,) = only_document(*cells).iter("testcase")
    return element


def child(element: Element, tag: str) -> Element:
    (found,) = element.findall(tag)
    return found


def test_each_environment_has_a_document() -> None:
    assert list(junit_documents(sample_results())) == [
        "junit-local.xml",
        "junit-docker.xml",
        "junit-wine-exec.xml",
    ]


def test_the_name_of_a_file_is_one_on_every_operating_system() -> None:
    assert file_name("wss://[::1]:9000/a?b=c") == "junit-wss-1-9000-a-b-c.xml"
    assert file_name("unix:///run/x.sock") == "junit-unix-run-x.sock.xml"


def test_environments_whose_names_become_alike_have_files_of_their_own() -> None:
    documents = junit_documents(results(cell(key("ws://a:1")), cell(key("ws://a/1")), cell(key("ws://a.1"))))
    assert list(documents) == ["junit-ws-a-1.xml", "junit-ws-a-1-2.xml", "junit-ws-a.1.xml"]


def test_totals_are_those_of_the_test_cases() -> None:
    root = ElementTree.fromstring(junit_documents(sample_results())["junit-wine-exec.xml"])
    totals = {name: root.get(name) for name in ("tests", "failures", "errors", "skipped")}
    assert totals == {"tests": "6", "failures": "1", "errors": "2", "skipped": "2"}
    for suite in root.findall("testsuite"):
        cases = suite.findall("testcase")
        assert int(suite.get("tests", "")) == len(cases)
        for total, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            assert int(suite.get(total, "")) == sum(entry.find(tag) is not None for entry in cases)


def tally(folder: Path, run: Results) -> tuple[int, str]:
    reports = []
    for name, document in junit_documents(run).items():
        (folder / name).write_bytes(document)
        reports.append(str(folder / name))
    done = subprocess.run([sys.executable, str(TALLY), *reports], capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout.strip()


@pytest.mark.skipif(not TALLY.exists(), reason="the scripts of CI are not here")
def test_the_tally_of_ci_counts_the_same(tmp_path: Path) -> None:
    # Broken and unavailable cells add one case each.
    assert tally(tmp_path, sample_results()) == (1, "5 passed, 3 failed, 5 skipped")
    good = results(cell(cases=[case("test_a"), case("test_b", Outcome.GAP), case("test_c", Outcome.FLAKY)]))
    assert tally(tmp_path, good) == (0, "2 passed, 0 failed, 1 skipped")


def test_a_failure_has_its_text_its_output_and_its_transcript() -> None:
    element = only_case(cell(cases=[case("test_a[x]", Outcome.FAILED, reason="it differs")]))
    failure = child(element, "failure")
    assert (failure.get("message"), failure.text) == ("it differs", FAILURE)
    output = child(element, "system-out").text or ""
    assert "--- Captured stdout call ---\nwritten\n" in output
    assert f"--- Wire transcript ---\n{TRANSCRIPT}" in output


def test_an_error_is_no_failure() -> None:
    element = only_case(cell(cases=[case("test_a", Outcome.ERROR, reason="no set-up", details=None)]))
    assert [entry.tag for entry in element] == ["error"]
    assert (child(element, "error").get("message"), child(element, "error").text) == (
        "no set-up",
        "no set-up",
    )


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.ERROR])
def test_what_goes_wrong_where_nothing_is_required_is_skipped_and_keeps_its_text(outcome: Outcome) -> None:
    root = only_document(
        cell(cases=[case("test_a", outcome, reason="boom")], required=False),
        cell(key(suite="shell"), status=CellStatus.BROKEN, reason="it died", required=False),
    )
    assert (root.get("failures"), root.get("errors"), root.get("skipped")) == ("0", "0", "2")
    skipped = [child(element, "skipped") for element in root.iter("testcase")]
    assert [element.get("type") for element in skipped] == [f"{outcome}, not required", "broken cell"]
    assert [element.get("message") for element in skipped] == ["boom", "it died"]
    assert skipped[0].text == FAILURE


def test_a_known_gap_is_skipped_and_tells_its_owner_and_its_issue() -> None:
    gap = case("test_a", Outcome.GAP, reason="differs", owner="wine", issue="https://example.org/1")
    skipped = child(only_case(cell(cases=[gap])), "skipped")
    assert skipped.get("type") == "known gap"
    assert skipped.get("message") == "differs (wine); https://example.org/1"


def test_a_skipped_case_tells_why() -> None:
    skipped = child(only_case(cell(cases=[case("test_a", Outcome.SKIPPED, reason="no drives")])), "skipped")
    assert (skipped.get("type"), skipped.get("message")) == ("skipped", "no drives")


def test_a_flaky_case_has_passed_and_keeps_its_first_failure() -> None:
    details = Details("it failed first")
    root = only_document(cell(cases=[case("test_a", Outcome.FLAKY, reason="late", details=details)]))
    assert {root.get(total) for total in ("failures", "errors", "skipped")} == {"0"}
    flaky = child(next(root.iter("testcase")), "flakyFailure")
    assert flaky.get("message") == "late"
    assert child(flaky, "stackTrace").text == "it failed first"


@pytest.mark.parametrize(
    ("status", "tag", "kind"),
    [
        (CellStatus.BROKEN, "error", "broken cell"),
        (CellStatus.UNAVAILABLE, "skipped", "unavailable"),
        (CellStatus.INTERRUPTED, "skipped", "interrupted"),
    ],
)
def test_a_cell_that_has_not_finished_says_so(status: CellStatus, tag: str, kind: str) -> None:
    element = only_case(cell(key("docker", "shell"), status=status, reason="no daemon"))
    assert (element.get("classname"), element.get("name")) == ("docker", "all of shell")
    told = child(element, tag)
    assert (told.get("type"), told.get("message")) == (kind, "no daemon")


def test_what_would_help_stands_with_an_unavailable_cell() -> None:
    element = only_case(cell(status=CellStatus.UNAVAILABLE, reason="no daemon", remedy="start it"))
    assert child(element, "skipped").get("message") == "no daemon; start it"


def test_characters_that_xml_lacks_are_escaped_and_all_else_is_kept() -> None:
    bad = case(
        "test_a[\x01]", Outcome.FAILED, reason=HOSTILE, details=Details(HOSTILE, "\x00", {"\x07": "\x08"})
    )
    element = only_case(cell(cases=[bad], versions={"shell\x02": "\x03"}))
    assert element.get("name") == r"test_a[\x01]"
    text = child(element, "failure").text or ""
    assert text == HOSTILE.replace("\x00", r"\x00").replace("\x1b", r"\x1b").replace("\ufffe", r"\ufffe")
    assert "\\x00" in (child(element, "system-out").text or "")


def test_versions_and_status_are_properties() -> None:
    suite = child(only_document(cell(cases=[case("test_a")], versions={"wine": "8.0"})), "testsuite")
    properties = {entry.get("name"): entry.get("value") for entry in suite.iter("property")}
    assert properties == {"status": "finished", "wine": "8.0"}
    assert suite.get("timestamp") == "2026-03-01T12:00:00"


def test_several_pythons_of_an_environment_are_told_apart() -> None:
    cases = [case("test_a")]
    root = only_document(cell(key(python="3.11"), cases), cell(key(python="3.13"), cases))
    names = [element.get("classname") for element in root.iter("testcase")]
    assert names == ["local-py3-11.suites.path.test_names", "local-py3-13.suites.path.test_names"]


PYTESTS_OWN = """
import pytest

@pytest.mark.parametrize("text", ["a", "a.py::b/c[d]", "[", "::"])
def test_a(text):
    pass

class TestB:
    class TestC:
        def test_d(self):
            pass
"""


def test_class_and_name_are_those_that_pytest_gives(tmp_path: Path) -> None:
    folder = tmp_path / "suites" / "path"
    folder.mkdir(parents=True)
    (folder / "test_names.py").write_text(PYTESTS_OWN)
    report = tmp_path / "report.xml"
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    pytest_here = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "suites"]
    listed = subprocess.run(
        [*pytest_here, "--collect-only"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    subprocess.run(
        [*pytest_here, f"--junit-xml={report}", "--junit-prefix=local"],
        cwd=tmp_path,
        capture_output=True,
        check=True,
    )
    nodes = [line for line in listed.stdout.splitlines() if "::" in line]
    assert len(nodes) == 5
    cases = [case("", test=node) for node in nodes]
    theirs, ours = (
        [(element.get("classname"), element.get("name")) for element in root.iter("testcase")]
        for root in (ElementTree.parse(report).getroot(), only_document(cell(cases=cases)))
    )
    assert ours == theirs
