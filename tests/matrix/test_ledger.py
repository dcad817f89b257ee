"""The ledger of known gaps, which is read from the text of tests, and our own suites held to it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from textwrap import dedent

import pytest

from harness.matrix.blame import NOT_COMMITTED, blame, parse_blame
from harness.matrix.definition import suites_folder
from harness.matrix.ledger import KnownGap, read_gaps
from harness.matrix.marks import SourceError

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def gaps_of(tmp_path: Path, **files: str) -> list[KnownGap]:
    """Those of the files, named by their module with ``__`` for a slash."""
    for name, text in files.items():
        path = tmp_path / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return read_gaps([tmp_path])


def one(tmp_path: Path, mark: str, before: str = "") -> KnownGap:
    text = f"import pytest\n{before}\n@{mark}\ndef test_it():\n    pass\n"
    (gap,) = gaps_of(tmp_path, test_one=text)
    return gap


def names(gap: KnownGap) -> list[str]:
    return [test.rpartition("/")[2] for test in gap.tests]


def test_all_arguments_are_told(tmp_path: Path) -> None:
    gap = one(
        tmp_path,
        "pytest.mark.known_gap('why', env=('docker', 'wine-exec'), executor='codex', owner='o',\n"
        "    version='1.2', issue='https://example.org/1', run=False)",
    )
    assert (gap.reason, gap.env, gap.executor) == ("why", ("docker", "wine-exec"), ("codex",))
    assert (gap.owner, gap.version, gap.issue, gap.run) == ("o", "1.2", "https://example.org/1", False)
    assert (gap.problems, gap.warnings) == ((), ())
    assert gap.place == f"{tmp_path.as_posix()}/test_one.py:3"
    assert gap.tests == (f"{tmp_path.as_posix()}/test_one.py::test_it",)
    assert (gap.concerns("docker"), gap.concerns("local")) == (True, False)
    assert (gap.concerns("remote-docker"), gap.concerns("remote-local")) == (True, False)


@pytest.mark.parametrize(
    ("reason", "before"),
    [
        ("'one ' 'two'", ""),
        ("'one ' + 'two'", ""),
        ("WHY", "WHY = 'one two'"),
        ("WHY", "WHY: str = 'one two'"),
        ("f'one {WHAT}'", "WHAT = 'two'"),
        ("f'{A + B}two'", "A = 'one'; B = ' '"),
        ("WHY", "if True:\n    WHY = 'one two'"),
        ("WHY", "from reasons import WHY"),
        ("because", "from reasons import WHY as because"),
        ("reasons.WHY", "import reasons as reasons"),
    ],
)
def test_a_reason_may_be_put_together_of_constants(tmp_path: Path, reason: str, before: str) -> None:
    (tmp_path / "reasons.py").write_text("WHY = 'one two'\n")
    gap = one(tmp_path, f"pytest.mark.known_gap(reason={reason}, owner='o')", before)
    assert (gap.reason, gap.problems) == ("one two", ())


@pytest.mark.parametrize(
    ("mark", "problem"),
    [
        ("known_gap", "known_gap is not called: it needs a reason"),
        ("known_gap()", "it has no reason"),
        ("known_gap(reason='')", "reason is empty"),
        ("known_gap(reason=f'  ')", "reason is empty"),
        ("known_gap(None)", "reason is empty"),
        ("known_gap(8)", "reason is no text: 8"),
        ("known_gap(str(8))", "reason is no constant: str(8)"),
        ("known_gap(f'{len(a):3}')", "reason is no constant: f'{len(a):3}'"),
        ("known_gap(NOWHERE)", "reason is no constant: NOWHERE"),
        ("known_gap(ITSELF)", "reason is no constant: ITSELF"),
        ("known_gap(TWICE)", "reason is no constant: TWICE"),
        ("known_gap(**WHAT)", "its arguments are not all written out"),
        ("known_gap('r', 'local')", "only the reason may be given without a name"),
        ("known_gap('r', owner='')", "owner is empty"),
        ("known_gap('r', owner='o', version='8.x')", "version '8.x' is not made of numbers with dots"),
        ("known_gap('r', version='8')", "version '8' has no owner"),
        ("known_gap('r', environment='local')", "unknown argument 'environment'"),
        ("known_gap('r', env='wine')", "there is no environment 'wine'; there are local, docker, wine-exec"),
        ("known_gap('r', env=[])", "env is empty"),
        ("known_gap('r', env=8)", "env is no name or list of names: 8"),
        ("known_gap('r', run='no')", "run is neither True nor False"),
        *(
            (f"known_gap('r', issue={issue!r})", f"issue {issue!r} is no absolute http or https URL")
            for issue in ("#1", "owner/repo#1", "example.org/1", "ftp://example.org/1", "https:///1")
        ),
        *((f"known_gap('r', issue={issue!r})", "issue") for issue in ("", "https://[", "http://a b")),
    ],
)
def test_a_mark_that_is_not_told_properly_has_a_problem(tmp_path: Path, mark: str, problem: str) -> None:
    before = "ITSELF = ITSELF\nTWICE = 'a'\nTWICE = 'b'\n"
    (found, *rest) = one(tmp_path, f"pytest.mark.{mark}", before).problems
    assert found.startswith(problem) and rest == []


def test_a_missing_owner_is_a_warning(tmp_path: Path) -> None:
    gap = one(tmp_path, "pytest.mark.known_gap('r')")
    assert (gap.problems, gap.warnings) == ((), ("no owner says who would have to mend it",))


def test_the_tests_that_have_a_gap_are_found(tmp_path: Path) -> None:
    found = gaps_of(
        tmp_path,
        pack____init__="",
        pack__marks=(
            "import pytest\nLINKS = pytest.mark.known_gap('links')\nUNUSED = pytest.mark.known_gap('no')\n"
        ),
        pack__conftest=(
            "import pytest\nfrom pack.marks import LINKS\n"
            "@pytest.fixture(params=['a', pytest.param('b', marks=LINKS)])\ndef kind(request): ...\n"
            "@pytest.fixture\ndef indirect(kind): ...\n"
        ),
        pack__test_a=(
            "from pytest import mark, param\nimport pytest\n"
            "from pack import marks\nfrom .marks import LINKS as L\n"
            "CASES = [1, *(param(n, marks=L) for n in (2, 3))]\n"
            "def cases():\n    return CASES\n"
            "@L\ndef test_decorated(): ...\n"
            "@marks.LINKS\nasync def test_by_module(): ...\n"
            "@mark.parametrize('n', CASES)\ndef test_one_case(n): ...\n"
            "@mark.parametrize('n', cases())\ndef test_by_function(n): ...\n"
            "def test_by_fixture(kind): ...\n"
            "def test_by_fixture_of_fixture(*, indirect): ...\n"
            "def test_while_it_runs(request):\n    request.applymarker(L)\n"
            "@L\nclass TestAll:\n    def test_of_class(self): ...\n"
            "def test_without(n):\n    return CASES, L\n"
            "@L\ndef helper(): ...\n"
        ),
        pack__test_b="from pack.marks import LINKS\npytestmark = [LINKS]\ndef test_of_module(): ...\n",
    )
    by_reason = {gap.reason: names(gap) for gap in found}
    assert by_reason["no"] == []
    assert sorted(by_reason["links"]) == [
        "test_a.py::TestAll::test_of_class",
        "test_a.py::test_by_fixture",
        "test_a.py::test_by_fixture_of_fixture",
        "test_a.py::test_by_function",
        "test_a.py::test_by_module",
        "test_a.py::test_decorated",
        "test_a.py::test_one_case",
        "test_a.py::test_while_it_runs",
        "test_b.py::test_of_module",
    ]


def test_a_table_beside_the_tests_gives_marks_by_name(tmp_path: Path) -> None:
    table = """
        import pytest
        TABLE = (
            (pytest.mark.known_gap("first", owner="o"), ["test_one.py::test_a[x-*", "test_one.py::test_b*"]),
            (pytest.mark.known_gap("second", owner="o"), ["test_two.py::test_a", *more]),
            (pytest.mark.known_gap("none", owner="o"), ["test_two.py::test_c"]),
        )
    """
    one_two = "def test_a():\n    pass\n\ndef test_b_one():\n    pass\n\ndef test_b_two():\n    pass\n"
    gaps = gaps_of(
        tmp_path, s__differences=dedent(table), s__test_one=one_two, s__test_two=one_two, t__test_one=one_two
    )
    folder = (tmp_path / "s").as_posix()
    assert {gap.reason: [test.removeprefix(f"{folder}/") for test in gap.tests] for gap in gaps} == {
        "first": ["test_one.py::test_a", "test_one.py::test_b_one", "test_one.py::test_b_two"],
        "second": ["test_two.py::test_a"],
        "none": [],
    }


def test_a_mark_from_outside_of_the_paths_counts_if_it_is_used(tmp_path: Path) -> None:
    gaps_of(
        tmp_path,
        marks=(
            "import pytest\nUSED = pytest.mark.known_gap('used')\nUNUSED = pytest.mark.known_gap('unused')\n"
        ),
        sub__test_a="from marks import USED\n@USED\ndef test_a(): ...\n",
    )
    (gap,) = read_gaps([tmp_path / "sub", tmp_path / "sub/test_a.py"])
    assert (gap.reason, names(gap), Path(gap.file).name) == ("used", ["test_a.py::test_a"], "marks.py")


def test_nothing_is_imported(tmp_path: Path) -> None:
    text = "raise SystemExit('imported')\nimport pytest\npytestmark = pytest.mark.known_gap('r')\n"
    assert [gap.reason for gap in gaps_of(tmp_path, test_a=text)] == ["r"]


def git(folder: Path, *arguments: str) -> str:
    identity = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull, "HOME": str(folder)}
    for role in ("AUTHOR", "COMMITTER"):
        identity |= {f"GIT_{role}_NAME": "A", f"GIT_{role}_EMAIL": "a@example.org"}
        identity |= {f"GIT_{role}_DATE": "2024-02-03T12:00:00Z"}
    return subprocess.run(
        ["git", "-C", folder, *arguments],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | identity,
    ).stdout.strip()


@needs_git
def test_the_commit_of_each_line_is_told(tmp_path: Path) -> None:
    file = tmp_path / "work/test_a.py"
    file.parent.mkdir()
    git(file.parent, "init", "-q")
    commits = []
    for count in (2, 3):
        file.write_text("".join(f"line {number}\x0c\x85\u2028\n" for number in range(count)))
        git(file.parent, "add", file.name)
        git(file.parent, "commit", "-qm", f"{count} lines")
        commits.append(git(file.parent, "rev-parse", "HEAD")[:8])
    file.write_text(file.read_text() + "line 3\n")
    old, new, none = (commits[0], "2024-02-03"), (commits[1], "2024-02-03"), (NOT_COMMITTED, "")
    assert blame(file, [1, 3, 4]) == {1: old, 3: new, 4: none}

    untracked = file.with_name("test_b.py")
    untracked.write_text("line\n")
    assert blame(untracked, [1]) == {1: none}

    git(tmp_path, "clone", "-q", "--depth=1", file.parent.as_uri(), "shallow")
    assert blame(tmp_path / "shallow/test_a.py", [1]) == {1: ("", "")}


def test_without_git_the_commit_is_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gap = one(tmp_path, "pytest.mark.known_gap('r')")
    assert (gap.commit, gap.date) == ("", "")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert blame(Path(__file__), [1]) == {}


def test_blame_of_a_whole_history_takes_its_first_commit_at_its_word() -> None:
    porcelain = f"{'a' * 40} 1 1 2\nauthor-time 86400\nboundary\n\tx\n{'a' * 40} 2 2\n\ty\n"
    assert parse_blame(porcelain, is_shallow=False) == dict.fromkeys((1, 2), ("aaaaaaaa", "1970-01-02"))


@pytest.mark.parametrize(
    ("text", "told"),
    [("def f(:\n", "test_a.py:1 cannot be parsed as Python"), ("\0", "cannot be parsed as Python")],
)
def test_a_file_that_is_no_python_is_told(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(SourceError, match=told):
        gaps_of(tmp_path, test_a=text)


def crossexec(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "harness.cli", "gaps", *map(str, arguments)]
    root = str(Path(__file__).resolve().parents[2])
    environment = os.environ | {"PYTHONPATH": root, "NO_COLOR": "1"}
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, timeout=60)


@pytest.fixture
def told(tmp_path: Path) -> Path:
    gaps_of(
        tmp_path,
        test_a=(
            "import pytest\n"
            "@pytest.mark.known_gap('of all', env='docker')\ndef test_a(): ...\n"
            "@pytest.mark.known_gap('of wine', env='wine-exec', owner='wine', version='8.0', run=False)\n"
            "def test_b(): ...\n"
        ),
    )
    return tmp_path


def test_lines_are_for_programs(told: Path) -> None:
    done = crossexec("test_a.py", cwd=told)
    assert (done.returncode, done.stdout.splitlines()) == (
        0,
        [
            "test_a.py:4: of wine (wine 8.0; wine-exec; 1 test; not run)",
            "test_a.py:2: of all (nobody named; docker; 1 test)",
        ],
    )
    done = crossexec(told, "--env=wine-exec", "--json")
    assert [gap["reason"] for gap in json.loads(done.stdout)] == ["of wine"]
    assert crossexec(told, "--env=local").stdout == "no known gaps in local\n"


def check(options: Sequence[str | Path], status: int, *lines: str) -> None:
    done = crossexec("--check", *options)
    assert (done.returncode, done.stderr) == (status, "")
    assert done.stdout.splitlines() == list(lines)


def test_check_fails_on_problems_and_not_on_warnings(told: Path) -> None:
    warning = f"{told.as_posix()}/test_a.py:2: warning: no owner says who would have to mend it"
    check([told], 0, warning, "2 known gaps, all told properly")
    (told / "test_b.py").write_text("import pytest\npytestmark = pytest.mark.known_gap('', owner='o')\n")
    error = f"{told.as_posix()}/test_b.py:2: error: reason is empty"
    check([told], 1, error, warning, "3 known gaps, 1 not told properly")
    check([told, "--env=wine-exec"], 1, error, "2 known gaps, 1 not told properly")
    assert crossexec("--check", "--json", told).returncode == 1


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        (["nowhere"], 1, "crossexec gaps: there is no nowhere: give files or directories of tests"),
        (
            ["--env=nowhere"],
            2,
            "there is no environment 'nowhere'; there are local, docker, wine-exec, remote-local, "
            "remote-docker, remote-wine-exec, url",
        ),
        (["broken.py"], 1, "broken.py:1 cannot be parsed as Python"),
    ],
)
def test_wrong_use_is_told(tmp_path: Path, arguments: list[str], status: int, text: str) -> None:
    (tmp_path / "broken.py").write_text("def f(:\n")
    done = crossexec(*arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (status, "")
    assert text in done.stderr and "Traceback" not in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="terminals of POSIX")
def test_a_person_sees_a_table(told: Path) -> None:
    import pexpect

    root = str(Path(__file__).resolve().parents[2])
    environment = os.environ | {"PYTHONPATH": root, "NO_COLOR": "1", "TERM": "xterm"}
    child = pexpect.spawn(
        sys.executable,
        ["-m", "harness.cli", "gaps", "test_a.py"],
        cwd=str(told),
        env=environment,
        dimensions=(24, 80),
        encoding="utf-8",
        timeout=60,
    )
    lines = re.sub(r"\x1b\[[\d;]*m", "", child.read()).splitlines()
    child.close()
    assert child.exitstatus == 0
    assert max(map(len, lines)) <= 80
    text = "\n".join(lines)
    assert (
        text.index("wine")
        < text.index("of wine (not run)")
        < text.index("nobody named")
        < text.index("of all")
    )
    assert "test_a.py:4" in text and "wine 8.0" in text


def test_our_own_suites_tell_their_gaps() -> None:
    found = read_gaps([suites_folder()])
    assert len(found) > 10
    assert {gap.place: gap.problems + gap.warnings for gap in found if gap.problems + gap.warnings} == {}
    assert [gap.place for gap in found if not (gap.owner and gap.version and gap.reason and gap.tests)] == []
    check([suites_folder()], 0, f"{len(found)} known gaps, all told properly")
