"""The files of a report, the schema of its results, and the commands that work on results."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.matrix.model import CellStatus, Outcome, read_results, write_results
from harness.matrix.report import write_report
from harness.matrix.report.schema import formatted_schema, results_schema
from tests.matrix.samples import case, cell, key, large_results, results, sample_results

ROOT = Path(__file__).resolve().parents[2]
ENVIRON = {**os.environ, "PYTHONPATH": str(ROOT)}
SCHEMA = ROOT / "docs" / "results.schema.json"
FILES = {"results.json", "summary.md", "index.html"}


def crossexec(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "harness.cli", *map(str, arguments)],
        cwd=cwd,
        env=ENVIRON,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


# The folder.


def test_a_report_has_all_its_files_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "report"
    write_report(sample_results(), folder)
    assert names(folder) == {*FILES, "junit-local.xml", "junit-docker.xml", "junit-wine-exec.xml"}
    assert read_results(folder) == sample_results()
    assert (folder / "summary.md").read_text("utf-8").startswith("## crossexec matrix: ")
    assert "test_a_name" in (folder / "index.html").read_text("utf-8")


def test_an_old_report_is_replaced_and_other_files_are_left_alone(tmp_path: Path) -> None:
    write_report(sample_results(), tmp_path)
    (tmp_path / "notes.xml").write_text("mine")
    write_report(results(cell(cases=[case("test_new")])), tmp_path)
    assert names(tmp_path) == {*FILES, "junit-local.xml", "notes.xml"}
    for name in (*FILES, "junit-local.xml"):
        text = (tmp_path / name).read_text("utf-8")
        assert "test_a_name" not in text, name
    assert "test_new" in (tmp_path / "junit-local.xml").read_text("utf-8")


def test_the_old_report_stays_where_the_new_one_cannot_be_written(tmp_path: Path) -> None:
    write_report(sample_results(), tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    # No text in JSON can hold it, as a name of a file that is no UTF-8 would have it.
    with pytest.raises(UnicodeEncodeError):
        write_report(results(machine={"name": "\udcff"}), tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_report_on_nothing_has_no_junit(tmp_path: Path) -> None:
    write_report(results(), tmp_path)
    assert names(tmp_path) == FILES


# The schema.


def complaints(document: Any) -> list[str]:
    jsonschema = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft202012Validator(results_schema())
    return sorted(error.json_path for error in validator.iter_errors(document))


@pytest.mark.skipif(not SCHEMA.exists(), reason="the documentation is not here")
def test_the_schema_of_the_documentation_is_that_of_the_code() -> None:
    assert SCHEMA.read_text("utf-8") == formatted_schema(), (
        "run: python -m harness.matrix.report.schema > docs/results.schema.json"
    )


def test_the_schema_is_one() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.Draft202012Validator.check_schema(results_schema())


def test_each_field_of_the_schema_is_described() -> None:
    bare = {
        f"{name}.{field}"
        for name, definition in results_schema()["$defs"].items()
        for field, about in definition.get("properties", {}).items()
        if not about.get("description") and "$ref" not in about
    }
    # What these are, their names and types say.
    assert bare <= {"Results.cells", "Cell.cases", "Case.outcome"}


@pytest.mark.parametrize("run", [sample_results(), large_results(tests=100)], ids=["small", "large"])
def test_results_are_what_the_schema_says(tmp_path: Path, run: Any) -> None:
    write_results(run, tmp_path / "results.json")
    assert complaints(json.loads((tmp_path / "results.json").read_bytes())) == []


def test_what_is_no_result_is_none_by_the_schema_either(tmp_path: Path) -> None:
    write_results(sample_results(), tmp_path / "results.json")
    document = json.loads((tmp_path / "results.json").read_bytes())
    document["schema"] = 2
    document["cells"][0]["status"] = "fine"
    document["cells"][0]["cases"][0]["outcome"] = "ok"
    del document["started"]
    assert complaints(document) == [
        "$",
        "$.cells[0].cases[0].outcome",
        "$.cells[0].status",
        "$.schema",
    ]


# The command report.


def test_a_report_is_made_anew_from_its_results(tmp_path: Path) -> None:
    write_report(sample_results(), tmp_path / "old")
    done = crossexec("report", "old", "--out", "new", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == os.path.join("new", "index.html")
    assert "environment docker was named" in done.stdout
    old, new = (
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("old", "new")
    )
    assert new == old


def test_the_reports_of_shards_become_one(tmp_path: Path) -> None:
    for part in (1, 2):
        run = results(cell(key(shard=f"{part}/2"), [case(f"test_{part}")], cut="c"))
        write_report(run, tmp_path / str(part))
    done = crossexec("report", "1", tmp_path / "2" / "results.json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (whole,) = read_results(tmp_path / "matrix-results").cells
    assert (whole.key.shard, len(whole.cases)) == ("", 2)


def test_results_that_overlap_are_wrong_usage_and_nothing_is_written(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_report(results(cell()), tmp_path / name)
    done = crossexec("report", "one", "two", cwd=tmp_path)
    assert done.returncode == 2
    assert "one and two both hold local python py3.11 path" in done.stderr
    assert names(tmp_path) == {"one", "two"}


@pytest.mark.parametrize(
    ("content", "says"),
    [(None, "cannot be read"), (b"{", "is no results.json"), (b'{"schema": 7}', "has schema 7")],
)
@pytest.mark.parametrize("command", ["report", "compare"])
def test_what_is_no_result_is_wrong_usage(
    tmp_path: Path, command: str, content: bytes | None, says: str
) -> None:
    if content is not None:
        (tmp_path / "x.json").write_bytes(content)
    done = crossexec(command, "x.json", *["x.json"] * (command == "compare"), cwd=tmp_path)
    assert done.returncode == 2
    assert "x.json" in done.stderr and says in done.stderr


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    write_report(results(cell()), tmp_path / "old")
    (tmp_path / "file").touch()
    done = crossexec("report", "old", "--out", tmp_path / "file" / "new", cwd=tmp_path)
    assert done.returncode == 1
    assert str(tmp_path / "file") in done.stderr


# The command compare.


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    """A folder with results ``good`` and ``bad``; what fails in the latter takes long, too."""
    write_report(results(cell(cases=[case("test_a"), case("test_b", seconds=1.0)])), tmp_path / "good")
    bad = [case("test_a", Outcome.FAILED), case("test_b", seconds=1.7)]
    write_report(results(cell(cases=bad)), tmp_path / "bad")
    return tmp_path


def test_the_exit_status_tells_whether_anything_broke(pair: Path) -> None:
    broke = crossexec("compare", "good", "bad/results.json", cwd=pair)
    assert (broke.returncode, broke.stdout.splitlines()[0]) == (1, "1 case broke; 1 as before")
    mended = crossexec("compare", "bad", "good", cwd=pair)
    assert (mended.returncode, mended.stdout.splitlines()[0]) == (0, "nothing broke; 1 mended; 1 as before")


def test_the_comparison_as_json(pair: Path) -> None:
    done = crossexec("compare", "--json", "--slower=1.5", "good", "bad", cwd=pair)
    assert done.returncode == 1
    document = json.loads(done.stdout)
    (broke,) = document["broke"]
    assert broke["test"] == "suites/path/test_names.py::test_a"
    assert (broke["before"], broke["after"]) == ("passed", "failed")
    assert broke["rerun"] == "pytest --env=local suites/path/test_names.py::test_a"
    assert [(entry["before"], entry["after"]) for entry in document["slower"]] == [(1.0, 1.7)]


@pytest.mark.parametrize("factor", ["1", "0", "-2", "nan", "x"])
def test_a_factor_that_makes_nothing_slower_is_wrong_usage(pair: Path, factor: str) -> None:
    done = crossexec("compare", f"--slower={factor}", "good", "bad", cwd=pair)
    assert done.returncode == 2
    assert "--slower" in done.stderr


def test_an_interrupted_run_is_no_worse_than_a_whole_one(tmp_path: Path) -> None:
    write_report(results(cell(cases=[case("test_a"), case("test_b")])), tmp_path / "whole")
    part = cell(cases=[case("test_a")], status=CellStatus.INTERRUPTED)
    write_report(results(part, interrupted=True), tmp_path / "part")
    done = crossexec("compare", "whole", "part", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        "nothing broke; 1 as before",
        "",
        "Cells (1)",
        "  local path: finished -> interrupted",
    ]
