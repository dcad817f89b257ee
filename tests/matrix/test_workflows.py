"""``crossexec ci`` and the workflows that it writes."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from harness.matrix.definition import load_definition
from harness.matrix.workflows import workflows
from tests.support.actionlint import actionlint

ROOT = Path(__file__).resolve().parents[2]
GITHUB = ".github/workflows/matrix.yml"
GITLAB = "ci/gitlab.yml"
SCHEMAS = {
    GITHUB: "vendor.github-workflows",
    GITLAB: "vendor.gitlab-ci",
    ".gitlab-ci.yml": "vendor.gitlab-ci",
}

SMALL = """
[suites]
all = "tests"
[environments.local]
runners = ["linux", "windows"]
[environments.docker]
shards = 3
recipes = ["a/**", "b.toml"]
[environments.wine-exec]
"""
BARE = SMALL + '[ci.jobs.lint]\nrun = "ruff check"\n[ci.jobs.unit]\nrun = "pytest"\npythons = ["3.11"]\n'
IN_IMAGE = BARE + '[ci]\nimage = "debian:12"\nprepare = "apt-get update"\nmatrix = "ci/matrix"\n'
EXPECTED = {
    "linux": {
        "--env=local",
        "--env=docker --shard=1/3",
        "--env=docker --shard=2/3",
        "--env=docker --shard=3/3",
        "--env=wine-exec",
    },
    "windows": {"--env=local"},
}
"""Arguments of the parts of these."""

RUNS_CI = [sys.executable, "-m", "harness.cli", "ci"]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "ci").mkdir()
    (tmp_path / "ci/matrix.toml").write_text(SMALL)
    return tmp_path


def run(argv: list[str], cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, cwd=cwd, capture_output=True, text=True, encoding="utf-8", timeout=60)


def ci(cwd: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return run([*RUNS_CI, *options], cwd)


def load(text: str, version: str = "1.2") -> Any:
    yaml = YAML(typ="safe", pure=True)
    yaml.version = version
    return yaml.load(text)


def written(folder: Path, definition: str) -> dict[str, Any]:
    """The workflows of *definition*, also as the files that a service would read."""
    file = folder / "ci/matrix.toml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(definition)
    texts = workflows(load_definition(file), Path("ci/matrix.toml"))
    for path, text in texts.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return {str(path): load(text) for path, text in texts.items()}


def commands(workflow: dict[str, Any]) -> list[str]:
    """Every command of every step of GitHub's workflow, one for each entry of its matrix."""
    found = []
    for job in workflow["jobs"].values():
        matrix = job.get("strategy", {}).get("matrix", {})
        for entry in matrix.get("include", [{}]):
            for step in job["steps"]:
                text = step.get("run", "")
                for key, value in entry.items():
                    text = text.replace(f"${{{{ matrix.{key} }}}}", value)
                found.append(text)
    return list(filter(None, found))


class TestCommand:
    def test_the_projects_own_workflows_are_up_to_date(self) -> None:
        result = ci(ROOT, "--check")
        assert (result.returncode, result.stdout, result.stderr) == (0, "", "")

    def test_writes_what_check_asks_for(self, project: Path) -> None:
        missing = ci(project, "--check")
        assert missing.returncode == 1
        assert f"+++ {GITHUB}, as it should be" in missing.stdout
        assert not (project / GITHUB).exists()

        first = ci(project)
        assert (first.returncode, first.stdout.splitlines()) == (
            0,
            [f"wrote {GITHUB}", f"wrote {GITLAB}", "wrote .gitlab-ci.yml"],
        )
        assert ci(project, "--check").returncode == 0
        assert ci(project).stdout.splitlines() == [f"{GITHUB} is up to date", f"{GITLAB} is up to date"]

    def test_check_shows_the_difference_and_writes_nothing(self, project: Path) -> None:
        ci(project)
        before = {name: (project / name).read_bytes() for name in SCHEMAS}
        (project / "ci/matrix.toml").write_text(SMALL.replace("shards = 3", "shards = 4"))
        result = ci(project, "--check")
        assert result.returncode == 1
        assert "\n+            arguments: --env=docker --shard=4/4\n" in result.stdout
        assert "\n-            arguments: --env=docker --shard=3/3\n" in result.stdout
        assert f"out of date: {GITHUB}, {GITLAB}; run crossexec ci" in result.stderr
        assert {name: (project / name).read_bytes() for name in SCHEMAS} == before

    @pytest.mark.parametrize("name", [GITHUB, GITLAB])
    def test_a_file_of_somebody_else_stays(self, project: Path, name: str) -> None:
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text("mine: true\n")
        result = ci(project)
        assert result.returncode == 1
        assert f"{name} is there, and is not crossexec ci's" in result.stderr
        assert (project / name).read_text() == "mine: true\n"

    def test_gitlabs_own_file_is_the_projects(self, project: Path) -> None:
        (project / ".gitlab-ci.yml").write_text("mine: true\n")
        result = ci(project)
        assert (project / ".gitlab-ci.yml").read_text() == "mine: true\n"
        assert "add to it:\ninclude:\n  - local: ci/gitlab.yml" in result.stderr

    def test_another_definition_is_named_in_every_command(self, project: Path) -> None:
        (project / "ci/matrix.toml").rename(project / "my matrix.toml")
        assert ci(project, "--definition=my matrix.toml").returncode == 0
        assert "from my matrix.toml:" in (project / GITHUB).read_text().splitlines()[0]
        matrix = [line for line in commands(load((project / GITHUB).read_text())) if " matrix " in line]
        assert len(matrix) == 6
        assert all("--definition='my matrix.toml'" in line for line in matrix)

    @pytest.mark.parametrize(
        "text, told",
        [
            (None, "ci/matrix.toml cannot be read"),
            ("[suites]\nx = 1\n", "ci/matrix.toml: Expected `str`"),
            (SMALL.replace('"windows"', '"plan9"'), "'plan9'"),
        ],
    )
    def test_a_definition_that_cannot_be_meant_is_wrong_usage(
        self, project: Path, text: str | None, told: str
    ) -> None:
        file = project / "ci/matrix.toml"
        file.unlink() if text is None else file.write_text(text)
        result = ci(project)
        assert result.returncode == 2
        assert told in result.stderr
        assert not (project / GITHUB).exists()

    def test_a_definition_outside_of_the_repository_is_wrong_usage(self, project: Path) -> None:
        result = ci(project / "ci", "--definition=../ci.toml")
        assert result.returncode == 2
        assert "outside of the current directory" in result.stderr

    def test_names_its_extra_where_it_is_missing(self, project: Path) -> None:
        without = (
            "import sys; sys.modules['ruamel.yaml'] = None; from harness.cli import main; sys.exit(main())"
        )
        result = run([sys.executable, "-c", without, "ci"], project)
        assert result.returncode == 1
        assert "pip install 'crossexec[ci]'" in result.stderr


class TestJobs:
    """Every environment on every kind of machine, each shard once."""

    @pytest.mark.parametrize("definition, command", [(BARE, "crossexec matrix"), (IN_IMAGE, "ci/matrix")])
    def test_github(self, tmp_path: Path, definition: str, command: str) -> None:
        jobs = written(tmp_path, definition)[GITHUB]["jobs"]
        for runner, expected in EXPECTED.items():
            entries = jobs[runner]["strategy"]["matrix"]["include"]
            assert {entry["arguments"] for entry in entries} == expected
            assert len({entry["part"] for entry in entries}) == len(entries)
            runs = [step["run"] for step in jobs[runner]["steps"] if "run" in step]
            wanted = command if runner == "linux" else "crossexec matrix"
            assert f"{wanted} ${{{{ matrix.arguments }}}} --out=matrix-results" in runs
        assert "macos" not in jobs
        assert jobs["report"]["needs"] == ["linux", "windows"]

    @pytest.mark.parametrize("definition, command", [(BARE, "crossexec matrix"), (IN_IMAGE, "ci/matrix")])
    def test_gitlab(self, tmp_path: Path, definition: str, command: str) -> None:
        jobs = written(tmp_path, definition)[GITLAB]
        found: dict[str, set[str]] = {}
        outs = []
        for job in jobs.values():
            if "extends" not in job:
                continue
            runner = job["extends"].removeprefix(".")
            match = re.fullmatch(r"(.+) matrix (.+) --out=(.+)|(.+) (--env.+) --out=(.+)", job["script"][0])
            assert match
            program, arguments, out = [group for group in match.groups() if group]
            assert (program if program != "crossexec" else "crossexec matrix") == (
                command if runner == "linux" else "crossexec matrix"
            )
            assert job["artifacts"]["paths"] == [out]
            assert job["artifacts"]["reports"]["junit"] == f"{out}/junit-*.xml"
            found.setdefault(runner, set()).add(arguments)
            outs.append(out)
        assert found == EXPECTED
        assert len(set(outs)) == len(outs)

    def test_jobs_beside_the_matrix(self, tmp_path: Path) -> None:
        files = written(tmp_path, IN_IMAGE)
        github, gitlab = files[GITHUB]["jobs"], files[GITLAB]
        assert github["lint"]["container"]["image"] == gitlab["lint"]["image"] == "debian:12"
        assert github["lint"]["steps"][-1] == {"run": gitlab["lint"]["script"][0]} == {"run": "ruff check"}
        assert github["unit"]["strategy"]["matrix"] == {"python": ["3.11"]}
        assert "container" not in github["unit"]
        assert gitlab["unit 3.11"]["image"] == "python:3.11"

    def test_caches_follow_the_recipes(self, tmp_path: Path) -> None:
        files = written(tmp_path, SMALL)
        entries = files[GITHUB]["jobs"]["linux"]["strategy"]["matrix"]["include"]
        assert {entry["part"]: entry.get("recipes") for entry in entries} == {
            "local": None,
            "docker-1-of-3": "a/**\nb.toml\n",
            "docker-2-of-3": "a/**\nb.toml\n",
            "docker-3-of-3": "a/**\nb.toml\n",
            "wine-exec": None,
        }
        assert {name for name, job in files[GITLAB].items() if "cache" in job} == {
            f"linux docker-{index}-of-3" for index in (1, 2, 3)
        }

    def test_gitlabs_report_is_made_of_what_there_is(self, tmp_path: Path) -> None:
        bash = shutil.which("bash")
        if bash is None:
            pytest.skip("bash is not installed")
        *_, script = written(tmp_path, SMALL)[GITLAB]["report"]["script"]
        for name in ("linux/docker-1-of-2", "linux/docker-2-of-2", "macos/local"):
            (tmp_path / "results" / name).mkdir(parents=True)
        stand_in = f'crossexec() {{ printf "%s\\n" "$*"; }}\n{script}'
        result = run([bash, "-eo", "pipefail", "-c", stand_in], tmp_path)
        assert result.stdout.splitlines() == [
            "report --out=report/linux results/linux/docker-1-of-2 results/linux/docker-2-of-2",
            "report --out=report/macos results/macos/local",
        ]


@pytest.fixture(params=["own", "in image", "bare"])
def checked(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A folder with workflows to check."""
    if request.param == "own":
        return ROOT
    written(tmp_path, {"in image": IN_IMAGE, "bare": BARE}[request.param])
    shutil.copy(ROOT / ".gitlab-ci.yml", tmp_path)
    return tmp_path


def by_schema(file: Path, schema: str) -> subprocess.CompletedProcess[str]:
    pytest.importorskip("check_jsonschema")
    return run([sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, str(file)], ROOT)


class TestChecked:
    """By what others have written to check workflows with."""

    @pytest.mark.parametrize("name", SCHEMAS)
    def test_schema(self, checked: Path, name: str) -> None:
        result = by_schema(checked / name, SCHEMAS[name])
        assert result.returncode == 0, result.stdout

    @pytest.mark.parametrize(
        "name, right, wrong",
        [(GITHUB, "runs-on:", "runs-at:"), (GITLAB, "    when: always", "    when: sometimes")],
    )
    def test_schema_complains_of_what_is_wrong(
        self, tmp_path: Path, name: str, right: str, wrong: str
    ) -> None:
        written(tmp_path, IN_IMAGE)
        file = tmp_path / name
        file.write_text(file.read_text().replace(right, wrong, 1))
        assert by_schema(file, SCHEMAS[name]).returncode == 1

    def test_actionlint(self, checked: Path) -> None:
        result = actionlint(checked / GITHUB)
        assert (result.returncode, result.stdout, result.stderr) == (0, "", "")

    @pytest.mark.parametrize(
        "right, wrong, told",
        [
            ("${{ matrix.arguments }}", "${{ matrix.argument }}", 'property "argument" is not defined'),
            ("      - linux\n", "      - lunix\n", "lunix"),
            ("ubuntu-latest", "ubuntu-lates", 'label "ubuntu-lates" is unknown'),
        ],
    )
    def test_actionlint_complains_of_what_is_wrong(
        self, tmp_path: Path, right: str, wrong: str, told: str
    ) -> None:
        written(tmp_path, IN_IMAGE)
        file = tmp_path / GITHUB
        text = file.read_text()
        assert right in text
        file.write_text(text.replace(right, wrong))
        result = actionlint(file)
        assert result.returncode == 1
        assert told in result.stdout

    def test_shellcheck(self, checked: Path) -> None:
        shellcheck = shutil.which("shellcheck")
        if shellcheck is None:
            pytest.skip("shellcheck is not installed")
        for command in commands(load((checked / GITHUB).read_text())):
            result = subprocess.run(
                [shellcheck, "--shell=bash", "-"], input=command, capture_output=True, text=True, timeout=60
            )
            assert (result.returncode, result.stdout) == (0, ""), command

    def test_readers_of_yaml_1_1_and_1_2_agree(self, checked: Path) -> None:
        """GitLab's parser is of the old version, in which ``on`` and ``no`` are no texts."""
        text = (checked / GITLAB).read_text()
        assert load(text, "1.1") == load(text, "1.2")
