"""What a command line chooses of a matrix."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from harness.cli_parser import make_parser
from harness.matrix.definition import Definition, DefinitionError, EnvironmentCells, load_definition
from harness.matrix.model import CellKey
from harness.matrix.preparation import flags_of, settings_of
from harness.matrix.run import log_names
from harness.matrix.selection import SelectionError, Wanted, select
from harness.matrix.spec import TOLD, CellSpec, locate

URL = "ws://127.0.0.1:9000"
DEFINITION = Definition(
    environments={
        "local": EnvironmentCells(),
        "docker": EnvironmentCells(suites=("path",)),
        "wine-exec": EnvironmentCells(shards=3),
    },
    suites={"path": "suites/path", "shell": "suites/shell"},
)


def chosen(definition: Definition = DEFINITION, /, **wanted: object) -> list[str]:
    return [str(key) for key in select(definition, Wanted(**wanted), "3.11")]  # type: ignore[arg-type]


def test_without_a_choice_it_is_the_definition() -> None:
    assert chosen() == [
        "local python py3.11 path",
        "local python py3.11 shell",
        "docker python py3.11 path",
        "wine-exec python py3.11 path",
        "wine-exec python py3.11 shell",
    ]


def test_choices_narrow_it() -> None:
    assert chosen(environments=["wine-exec", "docker"], suites=["path"]) == [
        "wine-exec python py3.11 path",
        "docker python py3.11 path",
    ]


def test_a_group_stands_for_its_environments() -> None:
    assert chosen(environments=["remote-docker", "remote", "local"], suites=["path"]) == [
        "remote-docker python py3.11 path",
        "remote-local python py3.11 path",
        "remote-wine-exec python py3.11 path",
        "local python py3.11 path",
    ]


def test_suites_keep_the_order_of_the_definition() -> None:
    assert [name.split()[-1] for name in chosen(environments=["local"], suites=["shell", "path"])] == [
        "path",
        "shell",
    ]


def test_each_python_has_cells_of_its_own() -> None:
    both = ["local python py3.11 path", "local python py3.13 path"]
    assert chosen(environments=["local"], suites=["path"], pythons=["3.11", "3.13"]) == both
    definition = Definition({"local": EnvironmentCells()}, {"path": "p"}, pythons=("3.11", "3.13"))
    assert chosen(definition) == both
    assert chosen(definition, pythons=["3.12"]) == ["local python py3.12 path"]


def test_an_environment_need_not_stand_in_the_definition() -> None:
    definition = Definition({"docker": EnvironmentCells()}, {"path": "p"})
    assert chosen(definition, environments=["local", URL]) == [
        "local python py3.11 path",
        f"{URL} told py3.11 path",
    ]


def test_another_executor_is_believed_where_it_runs_already() -> None:
    assert chosen(environments=[URL], suites=["path"], executors=["codex"]) == [f"{URL} codex py3.11 path"]
    assert chosen(environments=[URL], suites=["path"]) == [f"{URL} told py3.11 path"]
    assert chosen(suites=["path"], executors=[URL]) == [f"{URL} told py3.11 path"]


def cell(environment: str, executor: str = "python") -> CellKey:
    return CellKey(environment, executor, "3.11", "path")


def test_every_executor_is_run_in_every_environment() -> None:
    found = chosen(environments=["local", "docker"], suites=["path"], executors=["python", "codex"])
    assert found == [
        f"{environment} {executor} py3.11 path"
        for environment in ("local", "docker")
        for executor in ("python", "codex")
    ]


def test_shards() -> None:
    assert chosen(environments=["local"], suites=["path"], shard="2/5") == ["local python py3.11 path 2/5"]
    assert chosen(environments=["local"], suites=["path"], shard="1/1") == ["local python py3.11 path"]


def test_many_machines_get_the_shards_of_the_definition() -> None:
    wine = [f"wine-exec python py3.11 path {part}/3" for part in (1, 2, 3)]
    assert chosen(suites=["path"], apart=True) == [
        "local python py3.11 path",
        "docker python py3.11 path",
        *wine,
    ]
    assert chosen(environments=["wine-exec"], suites=["path"], apart=True, shard="2/2") == [
        "wine-exec python py3.11 path 2/2"
    ]


def test_a_definition_says_which_executors_are_required(tmp_path: Path) -> None:
    file = tmp_path / "matrix.toml"
    rest = '\n[suites]\npath = "p"\n[environments.local]\n'
    file.write_text('executors = ["python", { name = "codex", required = false }]' + rest)
    definition = load_definition(file)
    assert chosen(definition) == ["local python py3.11 path", "local codex py3.11 path"]
    required = {name: cells.required for name, cells in definition.executor_cells.items()}
    assert required == {"python": True, "codex": False}
    for wrong, word in (
        ('["python", { name = "other" }]', "no executor 'other'"),
        ('["python", { name = "python", required = false }]', "twice"),
        ('[{ name = "python", wanted = false }]', "wanted"),
    ):
        file.write_text(f"executors = {wrong}{rest}")
        with pytest.raises(DefinitionError, match=word):
            load_definition(file)


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({"environments": ["vax"]}, ["--env", "'vax'", "local, docker, wine-exec", "ws://HOST:PORT"]),
        ({"suites": ["paths"]}, ["--suite", "'paths'", "path, shell"]),
        ({"executors": ["x"]}, ["--executor", "no 'x' that local, docker, wine-exec", "python, codex"]),
        ({"environments": ["local", URL], "executors": [URL]}, ["--executor", "leave out --env"]),
        ({"shard": "6/5"}, ["--shard", "'6/5'", "2/5"]),
        ({"shard": "0/5"}, ["--shard", "'0/5'"]),
        ({"shard": "x"}, ["--shard", "'x'"]),
        ({"pythons": ["three"]}, ["--python", "'three'", "3.13"]),
        ({"environments": ["docker"], "suites": ["shell"]}, ["nothing is left", "docker", "shell"]),
    ],
)
def test_what_there_is_not_is_refused_with_what_there_is(wanted: dict[str, object], words: list[str]) -> None:
    with pytest.raises(SelectionError) as caught:
        chosen(DEFINITION, **wanted)
    assert [word for word in words if word not in str(caught.value)] == []


def parsed(*arguments: str) -> argparse.Namespace:
    return make_parser().parse_args(["matrix", *arguments])


def test_a_table_of_a_group_is_that_of_its_environments(tmp_path: Path) -> None:
    file = tmp_path / "matrix.toml"
    file.write_text(
        '[suites]\npath = "p"\n[environments.remote]\nshards = 3\n[environments.remote-docker]\nshards = 2\n'
    )
    definition = load_definition(file)
    shards = {name: cells.shards for name, cells in definition.environments.items()}
    assert shards == {"remote-local": 3, "remote-wine-exec": 3, "remote-docker": 2}
    assert len(select(definition, Wanted(environments=["remote"], apart=True), "3.11")) == 8


def test_settings_travel_as_flags_of_their_environment() -> None:
    options = parsed("--docker-image=python:3.13", "--docker-user=1000", "--wine=/opt/wine")
    assert flags_of(options, cell("docker")) == ("--docker-image=python:3.13", "--docker-user=1000")
    assert flags_of(options, cell("wine-exec")) == ("--wine=/opt/wine",)
    for name in ("docker", "wine-exec"):
        assert flags_of(options, cell(f"remote-{name}")) == flags_of(options, cell(name))
    assert flags_of(options, cell("local")) == ()
    settings = settings_of([*flags_of(options, cell("docker")), *flags_of(options, cell("wine-exec"))])
    assert (settings.docker.image, settings.docker.user) == ("python:3.13", "1000")
    assert settings.wine == Path("/opt/wine")


def test_an_executor_that_has_dialled_out_is_a_cell_with_settings_of_its_own() -> None:
    (key,) = select(DEFINITION, Wanted(environments=["remote:lab-7"], suites=["path"]), "3.11")
    assert (key.environment, key.executor) == ("remote:lab-7", TOLD)
    registry = "--remote-registry=https://relay.example"
    flags = flags_of(parsed(registry, "--remote-token-file=token", "--docker-user=1"), key)
    assert flags == (registry, "--remote-token-file=token")
    settings = settings_of(flags).remote
    assert (settings.registry, settings.token_file) == ("https://relay.example", Path("token"))


def test_what_variables_say_stays_with_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROSSEXEC_WINE", "/opt/wine")
    assert flags_of(parsed(), cell("wine-exec")) == ()
    assert settings_of(()).wine == Path("/opt/wine")


def test_a_suite_of_the_package_is_found_wherever_one_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = Path(__file__).resolve().parents[2]
    monkeypatch.chdir(tmp_path)
    assert locate(str(package / "suites" / "path")) == ("suites/path", True)
    (tmp_path / "mine" / "a").mkdir(parents=True)
    assert locate("mine/a") == ("mine/a", False)
    with pytest.raises(FileNotFoundError):
        locate("mine/b")
    monkeypatch.chdir(tmp_path / "mine" / "a")
    assert locate("..") == ((tmp_path / "mine").as_posix(), False)


def spec(**fields: object) -> CellSpec:
    key = CellKey("docker", "python", "3.11", "path", str(fields.pop("shard", "")))
    return CellSpec(key=key, suite="suites/path", ships=False, **fields)  # type: ignore[arg-type]


def test_what_reruns_a_cell_is_no_shard_of_it(tmp_path: Path) -> None:
    sharded = spec(shard="1/2", retries=2, keyword="a", settings=("--docker-image=x",), timings="{}")
    rerun = sharded.rerun(Path("/opt/python"))
    assert rerun[:4] == ("/opt/python", "-m", "pytest", "--env=docker")
    assert rerun[-2:] == ("--docker-image=x", "suites/path")
    assert not any(word in " ".join(rerun) for word in ("--shard", "--timings", "--reruns"))
    arguments = sharded.arguments(3, tmp_path / "timings")
    assert {"--shard=1/2", f"--timings={tmp_path}/timings", "--reruns=2", "-n3", "--docker-image=x"} <= set(
        arguments
    )
    assert arguments[arguments.index("-k") + 1] == "a"


def test_one_worker_is_no_distribution(tmp_path: Path) -> None:
    arguments = spec().arguments(1, tmp_path)
    assert "-n0" in arguments
    assert not any(argument.startswith(("--dist", "--timings")) for argument in arguments)


def test_logs_have_names_that_tell_them_apart() -> None:
    keys = [
        CellKey("local", "python", "3.11", "path"),
        CellKey("local", "python", "3.11", "shell", "1/2"),
        CellKey(URL, "python", "3.11", "path"),
        CellKey("ws://127.0.0.1-9000", "python", "3.11", "path"),
    ]
    assert list(log_names(keys).values()) == [
        "local-path.log",
        "local-shell-1-of-2.log",
        "ws-127.0.0.1-9000-path.log",
        "ws-127.0.0.1-9000-path-2.log",
    ]
    other = CellKey("local", "python", "3.13", "path")
    assert log_names([keys[0], other])[other] == "local-path-py3.13.log"
