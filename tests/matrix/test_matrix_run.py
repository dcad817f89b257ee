"""``crossexec matrix`` from its command line to its report."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from harness.matrix.model import CellStatus
from tests.matrix.folder import ROOT, MatrixFolder

ALL_OUTCOMES = """
import pytest

def test_passes(shell):
    assert shell.run(shell.echo("a b")).text.strip() == "a b"

def test_fails():
    assert "found" == "wanted"

@pytest.mark.known_gap("it is missing there", owner="somebody")
def test_gap():
    assert False

def test_skipped():
    pytest.skip("for a reason")

@pytest.fixture
def broken():
    raise RuntimeError("no such thing")

def test_error(broken):
    pass
"""
PASSES = "def test_passes():\n    pass\n"
NO_DAEMON = "unix:///nonexistent/docker.sock"


def test_what_came_of_every_case_is_reported(matrix: MatrixFolder) -> None:
    matrix.suite("kinds", ALL_OUTCOMES)
    matrix.suite("good", PASSES)
    matrix.define("kinds", "good")
    result = matrix.run("-n2")
    assert result.returncode == 1
    assert result.stdout.splitlines()[-1] == f"report: {Path('matrix-results', 'index.html')}"
    assert "2 passed, 1 gap, 1 skipped" in result.stdout
    cell = matrix.cell("kinds")
    assert cell.status == CellStatus.FINISHED
    assert {case.test: (case.outcome.value, case.reason) for case in cell.cases} == {
        "kinds/test_kinds.py::test_passes": ("passed", ""),
        "kinds/test_kinds.py::test_fails": ("failed", "AssertionError: assert 'found' == 'wanted'"),
        "kinds/test_kinds.py::test_gap": ("gap", "it is missing there"),
        "kinds/test_kinds.py::test_skipped": ("skipped", "for a reason"),
        "kinds/test_kinds.py::test_error": ("error", "RuntimeError: no such thing"),
    }
    assert cell.versions["platform"] == sys.platform
    results = matrix.results()
    assert results.command == ("-n2",)
    assert results.machine["crossexec"] and results.machine["kernel"]
    assert not results.interrupted and results.failed
    written = {path.name for path in (matrix.folder / "matrix-results").iterdir()}
    assert written == {"index.html", "results.json", "summary.md", "junit-local.xml", "logs"}
    assert "test_fails" in (matrix.folder / "matrix-results/logs/local-kinds.log").read_text()
    for case, status, words in (("test_fails", 1, "1 failed"), ("test_passes", 0, "1 passed")):
        again = matrix.rerun(cell, f"kinds/test_kinds.py::{case}")
        assert again.returncode == status, again.stdout + again.stderr
        assert words in again.stdout


def test_an_environment_that_is_missing_fails_only_who_named_it(matrix: MatrixFolder) -> None:
    matrix.environ["DOCKER_HOST"] = NO_DAEMON
    matrix.suite("good", PASSES)
    matrix.define("good", environments="[environments.local]\n[environments.docker]\n")
    result = matrix.run()
    assert result.returncode == 0, result.stderr
    cell = matrix.cell("good", "docker")
    assert cell.status == CellStatus.UNAVAILABLE
    assert cell.reason and "docker" in cell.remedy.lower()
    assert matrix.outcomes() == {"test_passes": "passed"}

    result = matrix.run("--env=local,docker")
    assert result.returncode == 1
    [failure] = matrix.results().failures
    assert failure.startswith("--env=docker was asked for, and is unavailable: ")
    assert failure in result.stdout
    assert matrix.outcomes() == {"test_passes": "passed"}


def test_what_else_fails_is_told(matrix: MatrixFolder) -> None:
    gap = '@pytest.mark.known_gap("it is so")\ndef test_gap():\n    assert False\n'
    matrix.suite("gaps", f"import pytest\n{PASSES}{gap}")
    matrix.define("gaps", environments='[environments.local]\nallowed-gaps = "49%"\n')
    result = matrix.run()
    assert result.returncode == 1
    [failure] = matrix.results().failures
    assert "1 of 2 cases are known gaps" in failure
    assert failure in result.stdout


def test_an_executor_that_is_not_required_fails_only_who_named_it(matrix: MatrixFolder) -> None:
    gap = '@pytest.mark.known_gap("it was so", executor="python")\ndef test_closed():\n    pass\n'
    matrix.suite("bad", f"import pytest\n{gap}def test_fails():\n    assert False\n")
    matrix.define("bad", head='executors = [{ name = "python", required = false }]')
    result = matrix.run()
    assert result.returncode == 0, result.stdout + result.stderr
    verdict = "Everything that is required holds; beside that, 2 failed in local."
    assert result.stdout.splitlines()[0] == verdict
    assert matrix.outcomes() == {"test_fails": "failed", "test_closed": "failed"}
    summary = (matrix.folder / "matrix-results/summary.md").read_text()
    assert "**2 FAILED**" in summary and "**FAILED** local (not required)" in summary
    assert matrix.run("--executor=python").returncode == 1


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("def test_a(:\n", ["SyntaxError", "test_bad.py"]),
        (
            "import os\ndef test_a():\n    pass\ndef test_b():\n    os._exit(7)\n",
            ["status 7"],
        ),
        ("import os\ndef test_a():\n    os.kill(os.getpid(), 9)\n", ["SIGKILL"]),
    ],
)
def test_a_cell_that_breaks_says_why_and_spoils_no_other(
    matrix: MatrixFolder, source: str, words: list[str]
) -> None:
    matrix.suite("good", PASSES)
    matrix.suite("bad", source)
    matrix.define("bad", "good")
    result = matrix.run("-n1")
    assert result.returncode == 1
    cell = matrix.cell("bad")
    assert cell.status == CellStatus.BROKEN
    log = str(Path("matrix-results", "logs", "local-bad.log"))
    assert [word for word in [*words, log] if word not in cell.reason] == []
    assert matrix.cell("good").status == CellStatus.FINISHED
    assert matrix.outcomes()["test_passes"] == "passed"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--env=http://127.0.0.1:1"], ["http://127.0.0.1:1", "ws://HOST:PORT"]),
        (["--suite=other"], ["'other'", "good"]),
        (["--suite=gone"], ["gone", "No such file", "current directory"]),
        (["-n0"], ["a worker at least"]),
        (["--definition=elsewhere.toml"], ["elsewhere.toml", "No such file"]),
        (["--update-timings"], ["timings ="]),
        (["--env=docker", "--docker-pids=many"], ["'many' is no number"]),
    ],
)
def test_wrong_usage_is_2_and_runs_nothing(
    matrix: MatrixFolder, arguments: list[str], words: list[str]
) -> None:
    matrix.suite("good", PASSES)
    matrix.define("good", "gone")
    result = matrix.run(*(arguments if "--suite" in arguments[0] else ["--suite=good", *arguments]))
    assert (result.returncode, result.stdout) == (2, "")
    said = result.stderr.splitlines()[-1]
    assert said.startswith("crossexec matrix: error: ")
    assert [word for word in words if word not in said] == []
    assert not (matrix.folder / "matrix-results" / "results.json").exists()


def test_a_folder_that_cannot_be_written_is_told_before_anything_runs(matrix: MatrixFolder) -> None:
    matrix.suite("good", "from pathlib import Path\ndef test_a():\n    Path('ran').touch()\n")
    matrix.define("good")
    (matrix.folder / "taken").write_text("a file")
    result = matrix.run("--out=taken")
    assert result.returncode == 1
    assert "taken: File exists; name another folder with --out" in result.stderr
    (matrix.folder / "site").mkdir()
    page = matrix.folder / "site" / "index.html"
    page.write_text("my own")
    result = matrix.run("--out=site")
    assert result.returncode == 2
    assert "none of ours" in result.stderr
    assert page.read_text() == "my own"
    assert not (matrix.folder / "ran").exists()


def test_an_old_report_is_replaced_whole(matrix: MatrixFolder) -> None:
    matrix.environ["DOCKER_HOST"] = NO_DAEMON
    matrix.suite("good", PASSES)
    matrix.suite("more", PASSES)
    matrix.define("good", "more", environments="[environments.local]\n[environments.docker]\n")
    matrix.run("--out=deep/er")
    out = matrix.folder / "deep" / "er"
    (out / "notes.txt").write_text("mine")
    assert (out / "junit-docker.xml").exists() and (out / "logs" / "local-more.log").exists()
    matrix.run("--out=deep/er", "--env=local", "--suite=good")
    assert sorted(path.name for path in out.iterdir()) == [
        "index.html",
        "junit-local.xml",
        "logs",
        "notes.txt",
        "results.json",
        "summary.md",
    ]
    assert [path.name for path in (out / "logs").iterdir()] == ["local-good.log"]


def test_shards_are_parts_of_the_whole(matrix: MatrixFolder) -> None:
    names = [f"test_{letter}" for letter in "abcdefg"]
    matrix.suite("many", "".join(f"def {name}():\n    pass\n" for name in names))
    matrix.define("many", head='timings = "times.json"')
    functions = {f"many/test_many.py::{name}": 5.0 if name == "test_d" else 1.0 for name in names}
    times = matrix.folder / "times.json"
    times.write_text(json.dumps({"schema": 1, "seconds": {"local": functions}}))
    parts = []
    for shard in ("1/2", "2/2"):
        assert matrix.run(f"--shard={shard}").returncode == 0
        parts.append(set(matrix.outcomes()))
        assert {cell.key.shard for cell in matrix.results().cells} == {shard}
        assert all(cell.cut for cell in matrix.results().cells)
    assert parts[0] | parts[1] == set(names)
    assert not parts[0] & parts[1]
    # The long one weighs as much as most of the others together.
    assert [sorted(part) for part in parts if "test_d" in part and len(part) <= 2]


def test_times_are_kept_on_this_machine_and_shared_when_asked_for(matrix: MatrixFolder) -> None:
    matrix.suite("slow", "import time\ndef test_slow():\n    time.sleep(0.1)\n")
    matrix.define("slow", head='timings = "times.json"')
    matrix.run()
    times = matrix.folder / "times.json"
    assert not times.exists()
    kept = json.loads((matrix.cache / "matrix" / "timings.json").read_text())
    assert kept["seconds"]["local"]["slow/test_slow.py::test_slow"] >= 0.1
    result = matrix.run("--update-timings")
    assert "times that --shard cuts by: times.json" in result.stdout
    assert "slow/test_slow.py::test_slow" in json.loads(times.read_text())["seconds"]["local"]


def test_what_passes_at_last_is_flaky(matrix: MatrixFolder) -> None:
    matrix.suite(
        "flaky",
        "from pathlib import Path\n"
        "def test_a():\n"
        "    tried = Path('tried')\n"
        "    if not tried.exists():\n"
        "        tried.touch()\n"
        "        assert False, 'not yet'\n",
    )
    matrix.define("flaky")
    assert matrix.run("--retries=2").returncode == 0
    [case] = matrix.cell("flaky").cases
    assert (case.outcome, case.tries) == ("flaky", 2)


def test_packages_of_the_current_directory_are_not_taken_for_ours(matrix: MatrixFolder) -> None:
    for name in ("fixtures", "harness", "msgspec"):
        (matrix.folder / name).mkdir()
        (matrix.folder / name / "__init__.py").write_text("raise RuntimeError('the wrong one')\n")
    matrix.suite("good", PASSES)
    matrix.define("good")
    result = matrix.run()
    assert result.returncode == 0, result.stderr


def test_an_executor_that_runs_already_has_the_name_it_is_given(matrix: MatrixFolder) -> None:
    matrix.suite("good", "def test_passes(client):\n    assert client.info.shell\n")
    matrix.define("good")
    with subprocess.Popen(
        [sys.executable, "-m", "executors", "--exit-with-parent"],
        env=matrix.environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as executor:
        assert executor.stdin and executor.stdout
        url = executor.stdout.readline().strip()
        result = matrix.run(f"--env={url}", "--executor=another")
        executor.stdin.close()
    assert result.returncode == 0, result.stderr
    [cell] = matrix.results().cells
    assert (cell.key.environment, cell.key.executor) == (url, "another")
    assert {f"--env={url}", "--executor=another"} <= set(cell.rerun)


def test_installed_suites_run_from_anywhere(matrix: MatrixFolder, tmp_path: Path) -> None:
    pytest.importorskip("hatchling")
    build = "import sys, hatchling.build as b; print(b.build_wheel(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", build, tmp_path], cwd=ROOT, check=True, capture_output=True)
    site = tmp_path / "site"
    [wheel] = tmp_path.glob("*.whl")
    zipfile.ZipFile(io.BytesIO(wheel.read_bytes())).extractall(site)
    # It lies in a folder whose own configuration would break every run of pytest.
    (tmp_path / "pyproject.toml").write_text("[tool.pytest.ini_options]\naddopts = '--no-such-option'\n")
    matrix.environ["PYTHONPATH"] = str(site)
    result = matrix.run("--env=local", "--suite=protocol", "-k", "test_handshake", "-n2")
    assert result.returncode == 0, result.stdout + result.stderr
    cell = matrix.cell("protocol")
    assert {case.test.partition("::")[0] for case in cell.cases} == {"suites/protocol/test_handshake.py"}
    assert "could not be" not in result.stderr
    again = matrix.rerun(cell, cell.cases[0].test)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "1 passed" in again.stdout
