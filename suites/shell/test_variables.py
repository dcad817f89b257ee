"""Environment variables arrive as they were given, and nothing else does."""

from __future__ import annotations

import pytest

from executors.protocol.errors import ErrorCode, RpcError
from fixtures.programs import BoundPython, BoundShell
from fixtures.target import RunningEnvironment
from harness.client.sync import SyncClient
from suites.asking import Once, ask
from suites.shell.encoding import printed
from suites.shell.hostile import HOSTILE
from suites.shell.variables import bare_environment

# Linux: 128 KiB a variable (execve(2)). Windows: 32,767 characters (SetEnvironmentVariableW).
LONGEST = {"linux": 100 * 1024, "macos": 100 * 1024, "windows": 32_000}

# Names of variables; what is odd in a shell may be usual elsewhere.
NAMES = {
    "plain": "CX_PLAIN",
    "small": "cx_small",
    "mixed": "Cx_Mixed",
    "digit-first": "1CX",
    "dot": "CX.DOT",
    "dash": "CX-DASH",
    "parentheses": "CX(x86)",
    "space": "CX SPACE",
    "unicode": "CX_ÄÖ",
    "emoji": "CX_🚀",
    "star": "CX*",
    "percent": "CX%25",
    "one-letter": "Q",
    "long": "CX_" + "N" * 500,
}

_GET = "answer = {name: os.environ.get(name) for name in question}"


def all_values(env: RunningEnvironment, python: BoundPython) -> dict[str, str | None]:
    given = {f"CX_{number}": text for number, text in enumerate(HOSTILE.values())}
    found = ask(python, _GET, list(given), env=bare_environment(env, python) | given)
    return dict(zip(HOSTILE, found.values(), strict=True))


@pytest.mark.parametrize("case", HOSTILE)
def test_value_arrives(case: str, once: Once) -> None:
    assert once(all_values)[case] == HOSTILE[case]


def all_names(env: RunningEnvironment, python: BoundPython) -> dict[str, str | None]:
    given = {name: f"value of {case}" for case, name in NAMES.items()}
    found: dict[str, str | None] = ask(python, _GET, list(given), env=bare_environment(env, python) | given)
    return found


@pytest.mark.parametrize("case", NAMES)
def test_name_arrives(case: str, once: Once) -> None:
    assert once(all_names)[NAMES[case]] == f"value of {case}"


@pytest.mark.parametrize("value", ["a=b", "=", "==a", "a=b=c", "=C:=C:\\"])
def test_equals_signs_belong_to_the_value(value: str, env: RunningEnvironment, python: BoundPython) -> None:
    given = bare_environment(env, python) | {"CX": value}
    assert ask(python, "answer = os.environ['CX']", env=given) == value


ADDED = pytest.mark.known_gap(
    env="wine-exec", owner="wine", version="8.0", reason="CreateProcess adds variables of Wine's own"
)


@ADDED
def test_environment_is_complete(env: RunningEnvironment, python: BoundPython) -> None:
    given = bare_environment(env, python) | {"CX_ONLY": "this"}
    assert ask(python, "answer = dict(os.environ)", env=given) == given


@ADDED
def test_environment_is_complete_at_a_terminal(
    env: RunningEnvironment, python: BoundPython, client: SyncClient
) -> None:
    given = bare_environment(env, python) | {"CX_ONLY": "this"}
    code = "import os; print('<' + '|'.join(sorted(os.environ)) + '>')"
    completed = client.run(python.argv(code), env=given, tty=True)
    assert f"<{'|'.join(sorted(given))}>" in completed.stdout.decode()


def test_case_of_names_counts_as_the_system_says(env: RunningEnvironment, python: BoundPython) -> None:
    given = bare_environment(env, python) | {"CX_Case": "value"}
    found = ask(python, _GET, ["CX_Case", "CX_CASE", "cx_case"], env=given)
    other = "value" if env.platform == "windows" else None
    assert found == {"CX_Case": "value", "CX_CASE": other, "cx_case": other}


@pytest.mark.skip_if_target_windows("names there have no case: one of the two would win")
def test_names_that_differ_by_case_are_two(env: RunningEnvironment, python: BoundPython) -> None:
    given = bare_environment(env, python) | {"CX": "large", "cx": "small", "Cx": "mixed"}
    assert ask(python, "answer = dict(os.environ)", env=given) == given


def test_large_value_arrives(env: RunningEnvironment, python: BoundPython) -> None:
    value = "0123456789" * (LONGEST[env.platform] // 10)
    code = "value = os.environ['CX']; answer = [len(value), value[:10], value[-10:]]"
    found = ask(python, code, env=bare_environment(env, python) | {"CX": value})
    assert found == [len(value), value[:10], value[-10:]]


def test_many_variables_arrive(env: RunningEnvironment, python: BoundPython) -> None:
    given = {f"CX_{number}": str(number) for number in range(1000)}
    code = "answer = {name: value for name, value in os.environ.items() if name.startswith('CX_')}"
    assert ask(python, code, env=bare_environment(env, python) | given) == given


@pytest.mark.parametrize(
    ("name", "value"),
    [("CX\0", "x"), ("CX", "a\0b"), ("A=B", "x"), ("", "x")],
    ids=["nul-in-name", "nul-in-value", "equals-in-name", "empty-name"],
)
def test_what_no_variable_can_be_is_refused(
    name: str, value: str, client: SyncClient, python: BoundPython
) -> None:
    with pytest.raises(RpcError) as refused:
        client.start(python.argv(""), env={name: value})
    assert refused.value.code in (ErrorCode.INVALID_PARAMS, ErrorCode.INTERNAL_ERROR)
    assert client.run(python.argv("")).exit_code == 0


SHELL_VALUES = [
    "plain",
    "words",
    "spaces",
    "double-quotes",
    "single-quotes",
    "backslash-at-end",
    "command",
    "percents",
    "exclamation-variable",
    "redirection",
    "star",
    "dash-n",
    "emoji",
    "right-to-left",
    "everything",
]


@pytest.mark.parametrize("case", SHELL_VALUES)
def test_shell_sees_the_value(
    case: str, env: RunningEnvironment, shell: BoundShell, python: BoundPython, once: Once
) -> None:
    given = once(bare_environment) | {"CX": HOSTILE[case]}
    result = shell.run(shell.print_env("CX"), env=given)
    assert result.stdout == printed(env, python, HOSTILE[case]) + shell.newline.encode()


@pytest.mark.skip_if_target_windows("an empty variable there is none to the shell")
def test_shell_tells_empty_from_unset(shell: BoundShell) -> None:
    assert shell.run('printf "%s" "${CX-unset}${CY-unset}"', env={"CX": ""}).text == "unset"


def test_shell_sees_an_unset_variable_as_empty(shell: BoundShell, once: Once) -> None:
    result = shell.run(shell.print_env("CX_NOWHERE"), env=once(bare_environment))
    assert (result.exit_code, result.text) == (0, "\n")


def test_without_env_the_program_has_the_executor_s(python: BoundPython) -> None:
    found = ask(python, "answer = dict(os.environ)")
    assert any(name.upper() == "PATH" for name in found)


def test_variable_of_one_program_is_not_another_s(
    env: RunningEnvironment, python: BoundPython, once: Once
) -> None:
    bare = once(bare_environment)
    assert ask(python, "answer = os.environ['CX']", env=bare | {"CX": "one"}) == "one"
    assert ask(python, "answer = os.environ.get('CX')", env=bare) is None
    assert ask(python, "answer = os.environ.get('CX')") is None
