"""The file of measured times: what goes into it, and how it is read and written."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.matrix.model import Case, Cell, CellKey, CellStatus, Outcome
from harness.matrix.timings import Timings, TimingsError, expected, read_timings, update, write_timings

_FINISHED, _INTERRUPTED = CellStatus.FINISHED, CellStatus.INTERRUPTED


def _cell(
    cases: dict[str, float],
    *,
    environment: str = "local",
    suite: str = "suites/path",
    status: CellStatus = _FINISHED,
    shard: str = "",
    cut: str = "",
    python: str = "3.13",
) -> Cell:
    return Cell(
        key=CellKey(environment, "python", python, suite.rpartition("/")[2], shard),
        status=status,
        cases=tuple(Case(name, Outcome.PASSED, seconds) for name, seconds in cases.items()),
        rerun=("pytest", suite),
        cut=cut,
    )


_A, _B, _C = (f"suites/path/test_{name}.py::test_it" for name in "abc")
_OTHER = "suites/paths/test_x.py::test_it"
_KNOWN = Timings(seconds={"local": {_A: 1.0, _B: 2.0, _OTHER: 3.0}, "docker": {_A: 5.0}})


def test_cases_of_a_function_count_together_to_two_digits() -> None:
    cells = [
        _cell({f"{_A}[x]": 1.234, f"{_A}[y-[z]]": 2.2, _B: 0.0512, f"{_C}[0]": 0.03, f"{_C}[1]": 0.01999})
    ]
    assert update(Timings(), cells).seconds == {"local": {_A: 3.4, _B: 0.051}}


def test_what_is_measured_replaces_what_was_known() -> None:
    assert update(_KNOWN, [_cell({_A: 9.0, _B: 0.01})]).seconds["local"] == {_A: 9.0, _OTHER: 3.0}
    assert _KNOWN.seconds["local"] == {_A: 1.0, _B: 2.0, _OTHER: 3.0}


def test_other_environments_keep_what_is_known() -> None:
    assert update(_KNOWN, [_cell({_A: 9.0})]).seconds["docker"] == {_A: 5.0}


@pytest.mark.parametrize("suite", ["suites/path", "/opt/lib/site-packages/suites/path", "suites/path/"])
def test_a_function_that_is_gone_from_its_suite_is_forgotten(suite: str) -> None:
    assert update(_KNOWN, [_cell({_A: 1.0}, suite=suite)]).seconds["local"] == {_A: 1.0, _OTHER: 3.0}


@pytest.mark.parametrize("status", [_INTERRUPTED, CellStatus.BROKEN])
def test_a_cell_that_has_not_finished_says_nothing(status: CellStatus) -> None:
    assert update(_KNOWN, [_cell({_A: 9.0}, status=status)]) == _KNOWN


def test_a_single_shard_forgets_nothing() -> None:
    cell = _cell({_A: 9.0}, shard="1/2", cut="x")
    assert update(_KNOWN, [cell]).seconds["local"] == {_A: 9.0, _B: 2.0, _OTHER: 3.0}


def test_all_shards_of_one_cut_are_a_whole_suite() -> None:
    def shards(second_cut: str, status: CellStatus) -> list[Cell]:
        return [
            _cell({_A: 9.0}, shard="1/2", cut="x"),
            _cell({_C: 8.0}, shard="2/2", cut=second_cut, status=status),
        ]

    assert update(_KNOWN, shards("x", _FINISHED)).seconds["local"] == {_A: 9.0, _C: 8.0, _OTHER: 3.0}
    assert _B in update(_KNOWN, shards("y", _FINISHED)).seconds["local"]
    assert _B in update(_KNOWN, shards("x", _INTERRUPTED)).seconds["local"]


def test_several_pythons_count_by_the_longest() -> None:
    cells = [_cell({_A: seconds}, python=python) for python, seconds in (("3.11", 2.0), ("3.13", 1.0))]
    assert update(Timings(), cells).seconds == {"local": {_A: 2.0}}
    assert update(Timings(), cells[::-1]).seconds == {"local": {_A: 2.0}}


@pytest.mark.parametrize(
    ("environment", "suite", "seconds"),
    [
        ("local", "suites/path", 3.0),
        ("local", "/usr/lib/suites/path", 3.0),
        ("local", "suites/paths", 3.0),
        ("local", "suites", 6.0),
        ("local", "suites/path/test_a.py", 1.0),
        ("local", "suites/shell", 0.0),
        ("wine-exec", "suites/path", 0.0),
    ],
)
def test_a_suite_takes_what_its_functions_take(environment: str, suite: str, seconds: float) -> None:
    assert expected(_KNOWN, environment, suite) == seconds


def test_the_file_is_sorted_with_an_entry_a_line(tmp_path: Path) -> None:
    file = tmp_path / "new" / "timings.json"
    write_timings(_KNOWN, file)
    lines = file.read_text().splitlines()
    entries = [line.strip().rstrip(",") for line in lines if "::" in line]
    assert entries == [f'"{_A}": 5.0', f'"{_A}": 1.0', f'"{_B}": 2.0', f'"{_OTHER}": 3.0']
    assert file.read_bytes().endswith(b"}\n")
    assert read_timings(file) == _KNOWN
    before = file.read_bytes()
    backwards = {name: dict(reversed(known.items())) for name, known in reversed(_KNOWN.seconds.items())}
    write_timings(Timings(seconds=backwards), file)
    assert file.read_bytes() == before
    assert list(file.parent.iterdir()) == [file]


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    target = tmp_path / "timings.json"
    (target / "in the way").mkdir(parents=True)
    with pytest.raises(OSError):
        write_timings(_KNOWN, target)
    assert [path.name for path in tmp_path.iterdir()] == ["timings.json"]


def test_no_file_is_no_times(tmp_path: Path) -> None:
    assert read_timings(tmp_path / "timings.json") == Timings()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'{"schema": 99}',
        b'{"seconds": {"local": 1}}',
        b'{"seconds": {"local": {"a": "\xff"}}}',
    ],
)
def test_a_broken_file_says_what_would_help(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "timings.json"
    file.write_bytes(content)
    with pytest.raises(TimingsError, match=r"timings\.json .*--update-timings"):
        read_timings(file)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(TimingsError, match="cannot be read: Is a directory"):
        read_timings(tmp_path)
