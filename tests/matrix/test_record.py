"""What a cell tells of its cases, without pytest-xdist and with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from fixtures.record import plain, without_group
from harness.matrix.model import Outcome
from tests.support.cell import Told, run_cell

_MODULE = """
import os, pytest

def test_passes(): pass

def test_fails():
    print("on stdout")
    assert 1 == 2, "the reason\\nand more"

@pytest.fixture
def no_setup():
    raise OSError("no set-up")

def test_no_setup(no_setup): pass

@pytest.fixture
def no_teardown():
    yield
    raise OSError("no tear-down")

def test_no_teardown(no_teardown): pass

def test_fails_twice(no_teardown):
    raise ValueError("first")

def test_no_fixture(there_is_none): pass

def test_says_why():
    pytest.fail("plain words\\nand more", pytrace=False)

@pytest.mark.skip(reason="not: here")
def test_marked_skip(): pass

def test_skips_itself():
    pytest.skip("Skipped: by its own word")

@pytest.mark.skip_unless_target_windows("needs a drive")
def test_skipped_by_our_marker(): pass

@pytest.mark.known_gap(reason="broken there", owner="wine", issue="https://example.org/1")
def test_gap():
    raise ValueError("what was seen")

@pytest.mark.known_gap(reason="hangs there", run=False)
def test_gap_not_run(): raise AssertionError

@pytest.mark.known_gap(reason="was broken")
def test_gap_closed(): pass

@pytest.mark.known_gap(reason="broken there")
def test_gap_and_teardown(no_teardown):
    raise ValueError("what was seen")

@pytest.mark.xfail(reason="of others")
def test_xfail(): raise ValueError("what was seen")

@pytest.mark.xfail(reason="of others", strict=True)
def test_strict_xpass(): pass

@pytest.mark.xfail(reason="of others", strict=False)
def test_xpass(): pass

def test_parts(subtests):
    for number in range(3):
        with subtests.test(number=number):
            if number == 1:
                pytest.skip("a part")

def test_bad_part(subtests):
    for number in range(3):
        with subtests.test(number=number):
            assert number != 1

@pytest.mark.parametrize("value", ["a@b", "a::b", "@g", "\\u00e9"])
@pytest.mark.xdist_group("g")
def test_grouped(value): pass

def test_odd_characters():
    print("\\x1b[31mred\\x1b[0m")
    assert False, "\\x1b]0;title\\x07name \\udcff"

def test_much():
    print("begin" + "x" * 200_000 + "end")
    assert False
"""
_P, _F, _E, _S, _G = Outcome.PASSED, Outcome.FAILED, Outcome.ERROR, Outcome.SKIPPED, Outcome.GAP
_EXPECTED = {
    "test_passes": (_P, ""),
    "test_fails": (_F, "AssertionError: the reason"),
    "test_no_setup": (_E, "OSError: no set-up"),
    "test_no_teardown": (_E, "OSError: no tear-down"),
    "test_fails_twice": (_F, "ValueError: first"),
    "test_no_fixture": (_E, "fixture 'there_is_none' not found"),
    "test_says_why": (_F, "Failed: plain words"),
    "test_marked_skip": (_S, "not: here"),
    "test_skips_itself": (_S, "Skipped: by its own word"),
    "test_skipped_by_our_marker": (_S, "skip_unless_target_windows: needs a drive"),
    "test_gap": (_G, "broken there"),
    "test_gap_not_run": (_G, "hangs there"),
    "test_gap_closed": (
        _F,
        "gap closed: remove the marker known_gap('was broken') from test_it.py::test_gap_closed",
    ),
    "test_gap_and_teardown": (_E, "OSError: no tear-down"),
    "test_xfail": (_G, "of others"),
    "test_strict_xpass": (_F, "[XPASS(strict)] of others"),
    "test_xpass": (_P, ""),
    "test_parts": (_P, ""),
    "test_bad_part": (_F, "assert 1 != 1"),
    "test_grouped[a@b]": (_P, ""),
    "test_grouped[a::b]": (_P, ""),
    "test_grouped[@g]": (_P, ""),
    "test_grouped[\\xe9]": (_P, ""),
    "test_odd_characters": (_F, "AssertionError: name \\udcff"),
    "test_much": (_F, "assert False"),
}


@pytest.fixture(scope="module", params=["-n0", "-n2"])
def told(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Told:
    folder = tmp_path_factory.mktemp("record")
    return run_cell(folder, _MODULE, "--env=local", "--color=yes", "--dist=loadgroup", request.param)


def test_every_case_has_its_outcome_and_reason(told: Told) -> None:
    assert {name: (case.outcome, case.reason) for name, case in told.cases.items()} == _EXPECTED
    assert [event.total for event in told.collected] == [len(_EXPECTED)]
    assert told.broken == []
    assert told.status == pytest.ExitCode.TESTS_FAILED


def test_details_hold_what_was_seen(told: Told) -> None:
    with_details = {name for name, case in told.cases.items() if case.details is not None}
    assert with_details == {name for name, (outcome, _) in _EXPECTED.items() if outcome in (_F, _E, _G)} - {
        "test_gap_not_run"
    }
    fails = told.cases["test_fails"].details
    assert fails is not None
    assert fails.text.startswith("def test_fails():")
    assert "E       AssertionError: the reason" in fails.text
    assert fails.output == {"Captured stdout call": "on stdout\n"}
    twice = told.cases["test_fails_twice"].details
    assert twice is not None
    assert twice.text.index("call:") < twice.text.index("ValueError: first") < twice.text.index("teardown:")
    assert "OSError: no tear-down" in twice.text
    gap = told.cases["test_gap"]
    assert (gap.owner, gap.issue) == ("wine", "https://example.org/1")
    assert gap.details is not None and "ValueError: what was seen" in gap.details.text


def test_details_are_plain_text_of_bounded_size(told: Told) -> None:
    odd, much = told.cases["test_odd_characters"].details, told.cases["test_much"].details
    assert odd is not None and much is not None
    assert odd.output == {"Captured stdout call": "red\n"}
    assert "\x1b" not in odd.text and "name \\udcff" in odd.text
    [output] = much.output.values()
    assert len(output.encode()) <= 64 * 1024
    assert output.startswith("begin") and output.endswith("end\n")
    assert "bytes left out" in output


def test_facts_come_once_from_each_process_that_has_the_environment(told: Told) -> None:
    assert 1 <= len(told.facts) <= 2
    for facts in told.facts:
        assert facts.versions["platform"] == "linux"
        assert facts.versions["executor"]


def test_ordinary_runs_have_no_properties_of_the_recorder(tmp_path: Path) -> None:
    source = "def test_it(env): pass\n"
    (tmp_path / "conftest.py").write_text(
        "def pytest_runtest_logreport(report):\n    assert report.user_properties == []\n"
    )
    recorded = run_cell(tmp_path, source)
    assert recorded.broken != []
    ordinary = run_cell(tmp_path, source, "-p", "no:fixtures.facts")
    assert (ordinary.broken, list(ordinary.cases)) == ([], ["test_it"])


_FLAKY = """
    import pytest

    tries = []

    @pytest.fixture(scope="session")
    def whole_session():
        yield
        tries.clear()
        open("session-ended", "x").close()

    def test_flaky(env, whole_session):
        tries.append(env.url)
        print("try", len(tries))
        assert len(tries) == 3, f"at try {len(tries)}"
        assert len(set(tries)) == 1

    def test_always():
        assert False

    @pytest.fixture
    def at_the_second():
        yield
        tries.append("x")
        assert tries[-2:] == ["x", "x"], "tear-down"

    def test_teardown(at_the_second): pass

    def test_passes(): pass

    @pytest.mark.flaky(reruns=5)
    @pytest.mark.known_gap(reason="broken")
    def test_gap(whole_session):
        open("gap", "x")
        assert False
"""


@pytest.mark.parametrize("workers", ["-n0", "-n1"])
def test_what_passes_on_a_retry_is_flaky(tmp_path: Path, workers: str) -> None:
    told = run_cell(tmp_path, _FLAKY, "--env=local", "--reruns=2", workers)
    assert {name: (case.outcome, case.tries, case.reason) for name, case in told.cases.items()} == {
        "test_flaky": (Outcome.FLAKY, 3, "AssertionError: at try 1"),
        "test_always": (_F, 3, "assert False"),
        "test_teardown": (Outcome.FLAKY, 2, "AssertionError: tear-down"),
        "test_passes": (_P, 1, ""),
        "test_gap": (_G, 1, "broken"),
    }
    details = told.cases["test_flaky"].details
    assert details is not None
    assert details.output == {"Captured stdout call": "try 1\n"}
    assert "at try 1" in details.text and "at try 2" not in details.text
    # The last test, a gap that is not tried again, must not keep the fixtures of the session alive.
    assert (tmp_path / "session-ended").exists()
    assert told.broken == []


def test_a_closed_gap_is_not_tried_again(tmp_path: Path) -> None:
    source = """
        import pytest
        tries = []

        @pytest.mark.known_gap(reason="comes and goes")
        def test_it():
            tries.append(1)
            assert len(tries) == 1
    """
    case = run_cell(tmp_path, source, "--reruns=2").cases["test_it"]
    assert (case.outcome, case.tries) == (_F, 1)


def test_a_case_that_kills_its_worker_is_an_error(tmp_path: Path) -> None:
    source = """
        import os, pytest
        @pytest.mark.xdist_group("g")
        def test_it(): os._exit(7)
        def test_other(): pass
    """
    told = run_cell(tmp_path, source, "-n1", "--dist=loadgroup", "--reruns=1")
    crash = told.cases["test_it"]
    assert crash.outcome == _E
    assert crash.reason.startswith("worker 'gw0' crashed while running")
    assert told.cases["test_other"].outcome == _P
    assert [text for text in told.broken if "gw0" in text] == told.broken != []


@pytest.mark.parametrize("workers", ["-n0", "-n1"])
@pytest.mark.parametrize(
    ("source", "text"),
    [("import there_is_no_such_module\n", "there_is_no_such_module"), ("def test_it(:\n", "SyntaxError")],
)
def test_a_module_that_cannot_be_collected_is_told(
    tmp_path: Path, source: str, text: str, workers: str
) -> None:
    told = run_cell(tmp_path, source, workers)
    assert text in told.broken[0] and told.broken[0].startswith("test_it.py: ")
    assert len(told.broken) == 1


@pytest.mark.parametrize("workers", ["-n0", "-n1"])
@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--bogus"], "unrecognized arguments: --bogus"),
        (["not-there"], "file or directory not found: not-there"),
        (["--shard=3/2"], "--shard: '3/2' is no shard"),
        (["--env=local", "--docker-pull=often"], "often"),
    ],
)
def test_wrong_arguments_are_told(tmp_path: Path, arguments: list[str], text: str, workers: str) -> None:
    told = run_cell(tmp_path, "def test_it(env): pass\n", workers, *arguments)
    assert len(told.broken) == 1 and text in told.broken[0]
    assert told.status == pytest.ExitCode.USAGE_ERROR
    assert told.cases == {}


@pytest.mark.parametrize("workers", ["-n0", "-n1"])
def test_an_environment_that_does_not_come_up_is_told_once(tmp_path: Path, workers: str) -> None:
    source = "def test_a(env): pass\ndef test_b(env): pass\n"
    told = run_cell(tmp_path, source, workers, "--env=ws://127.0.0.1:1")
    assert len(told.broken) == 1 and "cannot connect to ws://127.0.0.1:1" in told.broken[0]
    assert (told.status, told.cases) == (3, {})


def test_an_internal_error_is_told(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text("def pytest_runtest_logfinish():\n    raise LookupError('ours')\n")
    told = run_cell(tmp_path, "def test_it(): pass\n")
    assert len(told.broken) == 1 and "LookupError: ours" in told.broken[0]


def test_a_run_that_stops_early_says_why(tmp_path: Path) -> None:
    told = run_cell(tmp_path, "def test_a(): assert 0\ndef test_b(): pass\n", "--maxfail=1")
    assert told.broken == ["stopping after 1 failures"]


@pytest.mark.parametrize(
    ("nodeid", "domain", "expected"),
    [
        ("a/t.py::test[x@y]", "test[x@y]", "a/t.py::test[x@y]"),
        ("a/t.py::test[x@y]@g", "test[x@y]", "a/t.py::test[x@y]"),
        ("a@b/t.py::C::test@g@h::i", "C.test", "a@b/t.py::C::test"),
        ("a.txt::a.txt@g", "[doctest] a.txt", "a.txt::a.txt@g"),
    ],
)
def test_the_group_is_taken_off_the_name(nodeid: str, domain: str, expected: str) -> None:
    assert without_group(nodeid, domain) == expected


def test_plain_text_keeps_what_a_person_can_read() -> None:
    assert plain("\x1b[1;31ma\x1b[K\x1b]8;;http://x\x1b\\b\tc\n\u00e9\udc80") == "ab\tc\n\u00e9\\udc80"
