"""The scripts of ci/, in a scratch copy of the project where other commands stand in for Python and apt."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the scripts are for a POSIX shell")

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = ["ci/setup", "ci/test", "ci/matrix", "ci/pythons", "ci/docker-daemon", ".ci/run"]

# What the scripts may use besides the stand-ins; nothing else is on their PATH.
TOOLS = ["sh", "bash", "cat", "cksum", "cut", "dirname", "env", "grep", "id", "mkdir", "rm", "sed"]

# Answers ci/pythons' probe, makes a venv of itself, and writes every other call to a file.
PYTHON = r"""#!/bin/sh
case "$1 ${2-}" in
    "--version "*) echo "Python VERSION" ;;
    "-m venv") mkdir -p .venv/bin && cat "$0" >.venv/bin/python && chmod +x .venv/bin/python ;;
    "-c "*version_info*executable*) echo "VERSION $0" ;;
    "-c "*version_info*) echo "VERSION" ;;
    "-c "*) ;;
    *) echo "${CROSSEXEC_PLAIN:+CROSSEXEC_PLAIN=$CROSSEXEC_PLAIN }$*" >>calls; [ ! -e "fail-$2" ] ;;
esac
"""

# The run of the shared suites without what only makes things quicker.
PLAIN = "CROSSEXEC_PLAIN=1 -m harness.cli matrix --out=.tox/matrix-plain --env=local --executor=python"


@dataclass
class Project:
    """A scratch copy of what the scripts read, with a PATH of their own."""

    root: Path
    env: dict[str, str] = field(default_factory=dict)

    def command(self, name: str, text: str) -> Path:
        path = self.root / "bin" / name
        path.write_text(text)
        path.chmod(0o755)
        return path

    def run(self, *argv: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            argv, cwd=self.root, env=self.env | dict(env or {}), capture_output=True, text=True, timeout=60
        )

    def calls(self) -> list[str]:
        """Every call of .venv's Python but probes, one string each, since the last time asked."""
        path = self.root / "calls"
        calls = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return calls


@pytest.fixture
def project(tmp_path: Path) -> Project:
    for folder in ["ci", ".ci"]:
        shutil.copytree(ROOT / folder, tmp_path / folder)
    for name in ["executors", "suites", "bin", "home"]:
        (tmp_path / name).mkdir()
    # It asks the machine's own daemon; what becomes of its answer is seen here.
    (tmp_path / "ci/docker-daemon").write_text("#!/bin/sh\n[ ! -e fail-docker-daemon ]\n")
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    (tmp_path / "executors/__init__.py").write_text('__version__ = "1"\n')
    for tool in [*TOOLS, "chmod"]:
        found = shutil.which(tool)
        assert found, f"{tool} is not on PATH"
        (tmp_path / "bin" / tool).symlink_to(found)
    return Project(tmp_path, {"PATH": str(tmp_path / "bin"), "HOME": str(tmp_path / "home")})


@pytest.fixture
def ready(project: Project) -> Project:
    """A project whose set-up is done."""
    project.command("python3", PYTHON.replace("VERSION", "3.12"))
    assert project.run("ci/setup").returncode == 0
    project.calls()
    return project


@pytest.mark.parametrize("script", SCRIPTS)
def test_shellcheck_finds_nothing(script: str) -> None:
    shellcheck = shutil.which("shellcheck")
    if not shellcheck:
        pytest.skip("shellcheck is not installed")
    result = subprocess.run([shellcheck, ROOT / script], capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (0, "")


@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts_are_executable(script: str) -> None:
    assert os.access(ROOT / script, os.X_OK)


class TestSetup:
    def test_makes_the_venv_once(self, project: Project) -> None:
        project.command("python3", PYTHON.replace("VERSION", "3.12"))
        first = project.run("ci/setup")
        assert first.returncode == 0
        assert "making .venv with" in first.stderr
        assert [call for call in project.calls() if "install" in call and ".[dev]" in call]

        second = project.run("ci/setup")
        assert (second.returncode, second.stdout, second.stderr, project.calls()) == (0, "", "", [])

    @pytest.mark.parametrize("changed", ["pyproject.toml", "executors/__init__.py"])
    def test_installs_anew_after_a_change(self, ready: Project, changed: str) -> None:
        with (ready.root / changed).open("a") as file:
            file.write("# changed\n")
        assert ready.run("ci/setup").returncode == 0
        assert len(ready.calls()) == 1

    def test_makes_a_moved_venv_anew(self, ready: Project) -> None:
        moved = ready.root / "moved"
        shutil.copytree(ready.root, moved, symlinks=True)
        result = Project(moved, ready.env).run("ci/setup")
        assert (result.returncode, len(Project(moved).calls())) == (0, 1)

    def test_makes_a_broken_venv_anew(self, ready: Project) -> None:
        (ready.root / ".venv/bin/python").write_text("#!/bin/sh\nexit 1\n")
        assert ready.run("ci/setup").returncode == 0
        assert len(ready.calls()) == 1

    def test_makes_it_where_tox_has_left_a_file_of_that_name(self, project: Project) -> None:
        project.command("python3", PYTHON.replace("VERSION", "3.12"))
        (project.root / ".venv").write_text(".tox/py312\n")
        assert project.run("ci/setup").returncode == 0
        assert (project.root / ".venv/bin/python").exists()

    def test_a_failed_install_is_told_and_tried_again(self, project: Project) -> None:
        project.command("python3", PYTHON.replace("VERSION", "3.12"))
        (project.root / "fail-pip").touch()
        failed = project.run("ci/setup")
        assert failed.returncode == 1
        assert "package index that answers" in failed.stderr
        project.calls()

        (project.root / "fail-pip").unlink()
        assert project.run("ci/setup").returncode == 0
        assert len(project.calls()) == 1

    def test_installs_missing_packages_and_no_others(self, project: Project) -> None:
        project.command("python3", PYTHON.replace("VERSION", "3.12"))
        project.command("dpkg-query", '#!/bin/sh\n[ "$4" != zsh ] || exit 1\necho "ii "\n')
        project.command("apt-get", '#!/bin/sh\necho "apt-get $*" >>calls\n')
        project.command("id", "#!/bin/sh\necho 0\n")
        assert project.run("ci/setup").returncode == 0
        update, install = (call for call in project.calls() if call.startswith("apt-get"))
        assert update.startswith("apt-get update")
        assert install.endswith(" --no-install-recommends zsh")

    def test_goes_on_without_a_docker_daemon(self, ready: Project) -> None:
        (ready.root / "fail-docker-daemon").touch()
        result = ready.run("ci/setup")
        assert (result.returncode, ready.calls()) == (0, [])
        assert "going on without a Docker daemon" in result.stderr

    def test_says_what_to_install_when_it_may_not(self, project: Project) -> None:
        project.command("python3", PYTHON.replace("VERSION", "3.12"))
        project.command("dpkg-query", '#!/bin/sh\n[ "$4" != zsh ] || exit 1\necho "ii "\n')
        project.command("id", "#!/bin/sh\necho 1000\n")
        result = project.run("ci/setup")
        assert result.returncode == 0
        assert "as root: apt-get install zsh" in result.stderr

    def test_names_what_it_tried_when_every_python_is_too_old(self, project: Project) -> None:
        project.command("python3", "#!/bin/sh\necho 'is Python 3.9, too old' >&2; exit 1\n")
        project.command("python3.12", "#!/bin/sh\n")
        result = project.run("ci/setup")
        assert result.returncode == 1
        assert "python3: is Python 3.9, too old" in result.stderr
        assert "PYTHON=/path/to/python3 ci/pythons" in result.stderr

    def test_installs_a_newer_python_where_the_archive_has_one(self, project: Project) -> None:
        newer = project.root / "newer"
        newer.write_text(PYTHON.replace("VERSION", "3.11"))
        newer.chmod(0o755)
        (project.root / "bin/cp").symlink_to(shutil.which("cp") or "cp")
        project.command("apt-cache", '#!/bin/sh\n[ "$2" = python3.11-venv ]\n')
        project.command(
            "apt-get", '#!/bin/sh\ncase "$*" in *python3.11-venv) cp newer bin/python3.11 ;; esac\n'
        )
        project.command("id", "#!/bin/sh\necho 0\n")
        result = project.run("ci/setup")
        assert result.returncode == 0, result.stderr
        assert "installing python3.11" in result.stderr


class TestPythons:
    def test_lists_each_version_once_and_passes_over_what_fails(self, project: Project) -> None:
        project.command("python3", PYTHON.replace("VERSION", "3.12"))
        project.command("python3.12", PYTHON.replace("VERSION", "3.12"))
        project.command("python3.13", "#!/bin/sh\necho 'python3.13: command not found' >&2; exit 127\n")
        project.command("python3.11", PYTHON.replace("VERSION", "3.11"))
        bin = project.root / "bin"
        result = project.run("ci/pythons")
        assert result.stdout == f"3.12 {bin}/python3\n3.11 {bin}/python3.11\n"

    def test_finds_a_version_managers_pythons(self, project: Project) -> None:
        folder = project.root / "home/.pyenv/versions/3.13.0/bin"
        folder.mkdir(parents=True)
        shutil.move(project.command("python", PYTHON.replace("VERSION", "3.13")), folder / "python")
        assert project.run("ci/pythons").stdout == f"3.13 {folder}/python\n"

    def test_tries_the_named_one_first(self, project: Project) -> None:
        project.command("python3", PYTHON.replace("VERSION", "3.12"))
        mine = project.command("mine", PYTHON.replace("VERSION", "3.11"))
        result = project.run("ci/pythons", env={"PYTHON": str(mine)})
        assert result.stdout.splitlines()[0] == f"3.11 {mine}"

    def test_finds_the_one_that_runs_this_test(self) -> None:
        result = subprocess.run(
            [ROOT / "ci/pythons"], env=os.environ | {"PYTHON": sys.executable}, capture_output=True, text=True
        )
        version, _, path = result.stdout.splitlines()[0].partition(" ")
        assert version == f"{sys.version_info[0]}.{sys.version_info[1]}"
        assert Path(path).samefile(sys.executable)


class TestArguments:
    def test_matrix_hands_its_arguments_to_crossexec(self, ready: Project) -> None:
        assert ready.run("ci/matrix", "--env=local", "-k", "one and two").returncode == 0
        assert ready.calls() == ["-m harness.cli matrix --env=local -k one and two"]

    def test_matrix_sets_up_what_is_missing(self, project: Project) -> None:
        project.command("python3", PYTHON.replace("VERSION", "3.12"))
        assert project.run("ci/matrix").returncode == 0
        install, matrix = project.calls()
        assert (install.split()[:3], matrix) == (["-m", "pip", "install"], "-m harness.cli matrix")

    def test_matrix_is_the_command_itself(self, ready: Project) -> None:
        """Ctrl-C and the signals that CI sends reach it, and its exit status is theirs."""
        python = ready.root / ".venv/bin/python"
        python.write_text('#!/bin/sh\n[ "$1" != -m ] || kill -TERM $$\n')
        assert ready.run("ci/matrix").returncode == -signal.SIGTERM

    def test_test_hands_its_arguments_to_pytest(self, ready: Project) -> None:
        ready.run("ci/test", "-k", "one and two")
        assert ready.calls() == ["-m pytest -k one and two"]

    @pytest.mark.parametrize("script, fails", [("ci/test", "pytest"), ("ci/matrix", "harness.cli")])
    def test_the_exit_code_is_the_commands(self, ready: Project, script: str, fails: str) -> None:
        (ready.root / f"fail-{fails}").touch()
        assert ready.run(script, "-x").returncode == 1

    def test_works_from_another_folder(self, ready: Project) -> None:
        result = ready.run("sh", "-c", "cd home && ../ci/test -x")
        assert (result.returncode, ready.calls()) == (0, ["-m pytest -x"])


class TestWholeRun:
    def test_every_check_on_every_tested_python(self, ready: Project) -> None:
        ready.command("python3.11", PYTHON.replace("VERSION", "3.11"))
        ready.command("python3.14", PYTHON.replace("VERSION", "3.14"))
        assert ready.run("ci/test").returncode == 0
        tox, matrix, plain, tally = ready.calls()
        assert " -e lint,types,layers,py312,py311 " in tox
        folder = ready.root / "bin"
        assert tox.endswith(f" --discover {folder}/python3 {folder}/python3.11 {folder}/python3.14")
        assert matrix == "-m harness.cli matrix --out=.tox/matrix --executor=python"
        assert plain == PLAIN
        assert tally == "ci/tally.py .tox/*.xml .tox/matrix/junit-*.xml .tox/matrix-plain/junit-*.xml"

    def test_the_suites_run_only_where_they_are_asked_for(self, ready: Project) -> None:
        assert ready.run("ci/test", env={"SUITES": "local,docker"}).returncode == 0
        _, matrix, plain, _ = ready.calls()
        assert matrix == "-m harness.cli matrix --out=.tox/matrix --executor=python --env=local,docker"
        assert plain == PLAIN

    def test_nothing_runs_here_that_is_asked_for_elsewhere(self, ready: Project) -> None:
        assert ready.run("ci/test", env={"SUITES": "docker"}).returncode == 0
        _, matrix, _ = ready.calls()
        assert matrix == "-m harness.cli matrix --out=.tox/matrix --executor=python --env=docker"

    def test_the_suites_run_with_the_executors_that_are_asked_for(self, ready: Project) -> None:
        assert ready.run("ci/test", env={"SUITES": "docker", "EXECUTORS": "python,codex"}).returncode == 0
        _, matrix, _ = ready.calls()
        assert matrix == "-m harness.cli matrix --out=.tox/matrix --executor=python,codex --env=docker"

    def test_no_suites_run_when_none_is_asked_for(self, ready: Project) -> None:
        assert ready.run("ci/test", env={"SUITES": ""}).returncode == 0
        _, tally = ready.calls()
        assert tally == "ci/tally.py .tox/*.xml"

    def test_no_report_of_an_earlier_run_is_counted(self, ready: Project) -> None:
        stale = [ready.root / ".tox/py310.xml", ready.root / ".tox/matrix/junit-local.xml"]
        for path in stale:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        assert ready.run("ci/test").returncode == 0
        assert [path for path in stale if path.exists()] == []

    @pytest.mark.parametrize("failing", ["fail-harness.cli", "fail-tox", "fail-.tox/*.xml"])
    def test_a_failure_is_its_exit_code(self, ready: Project, failing: str) -> None:
        path = ready.root / failing
        path.parent.mkdir(exist_ok=True)
        path.touch()
        assert ready.run("bash", ".ci/run").returncode == 1
        # What follows a failure runs all the same.
        assert ready.calls()[-1].startswith("ci/tally.py")


class TestTally:
    def tally(self, *reports: Path) -> tuple[int, str]:
        result = subprocess.run(
            [sys.executable, ROOT / "ci/tally.py", *reports], capture_output=True, text=True, timeout=60
        )
        return result.returncode, result.stdout

    def report(self, path: Path, *, tests: int, failures: int = 0, errors: int = 0, skipped: int = 0) -> Path:
        path.write_text(
            f'<testsuites><testsuite tests="{tests}" failures="{failures}" errors="{errors}"'
            f' skipped="{skipped}"/></testsuites>'
        )
        return path

    def test_adds_up(self, tmp_path: Path) -> None:
        one = self.report(tmp_path / "1.xml", tests=10, skipped=2)
        two = self.report(tmp_path / "2.xml", tests=5)
        assert self.tally(one, two) == (0, "13 passed, 0 failed, 2 skipped\n")

    @pytest.mark.parametrize("kind", ["failures", "errors"])
    def test_a_failure_fails(self, tmp_path: Path, kind: str) -> None:
        report = self.report(tmp_path / "1.xml", tests=3, **{kind: 1})
        assert self.tally(report) == (1, "2 passed, 1 failed, 0 skipped\n")

    def test_no_test_run_fails(self, tmp_path: Path) -> None:
        assert self.tally(self.report(tmp_path / "1.xml", tests=2, skipped=2))[0] == 1

    def test_a_missing_report_fails(self, tmp_path: Path) -> None:
        assert self.tally(self.report(tmp_path / "1.xml", tests=1), tmp_path / "2.xml") == (1, "")
