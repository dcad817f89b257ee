"""``process/start``: what the program gets is what was asked for."""

import json
from typing import Any

import pytest

from executors.protocol.errors import ErrorCode, RpcError
from executors.protocol.processes import EnvPolicy
from fixtures.programs import BoundPython, BoundShell
from fixtures.target import RunningEnvironment
from fixtures.workspace import Workspace
from harness.client.sync import SyncClient
from suites.process.conversation import INHERIT, Conversation
from suites.process.programs import ANSWER

ARGUMENTS = {
    "empty": "",
    "spaces": " a  b ",
    "double quotes": 'say "hello"',
    "single quotes": "it's",
    "backslashes": "a\\b\\\\c\\",
    "backslash before quote": 'a\\"b\\\\"',
    "shell words": "$HOME `id` $(id) %PATH% !x! ^ & | < > ; *",
    "unicode": "grüße 日本語 😀",
    "newline and tab": "a\nb\tc",
    "option-like": "--help",
    "long": "x" * 8000,
}

# What a program finds in an environment that it was given empty.
ADDED_BY_THE_SYSTEM = {
    "linux": {"LC_CTYPE"},  # by Python itself (PEP 538)
    "macos": {"LC_CTYPE", "__CF_USER_TEXT_ENCODING"},
}

PRINT_ARGUMENTS = "import json, sys; print(json.dumps(sys.argv[1:]))"
PRINT_ENVIRONMENT = "import json, os; print(json.dumps(dict(os.environ)))"


@pytest.mark.parametrize("argument", ARGUMENTS.values(), ids=ARGUMENTS.keys())
def test_an_argument_arrives_unchanged(python: BoundPython, argument: str) -> None:
    result = python.run(PRINT_ARGUMENTS, argument, "last")
    assert json.loads(result.stdout) == [argument, "last"]


@pytest.mark.parametrize("name", ["plain", "with space", "grüße 日本", "100%25", "a#b", "a'b"])
def test_it_runs_in_the_directory_asked_for(
    client: SyncClient, python: BoundPython, workspace: Workspace, name: str
) -> None:
    directory = workspace.mkdir(name)
    result = python.run("import os; print(os.getcwd())", cwd=directory)
    assert result.text == workspace.native(name) + "\n"


def environment_of(python: BoundPython, **options: Any) -> dict[str, str]:
    environment: dict[str, str] = json.loads(python.run(PRINT_ENVIRONMENT, **options).stdout)
    return environment


def needed_variables(python: BoundPython) -> dict[str, str]:
    """What Windows programs do not start without."""
    own = environment_of(python)
    return {name: own[name] for name in ("SYSTEMROOT",) if name in own}


@pytest.mark.skip_if_target_windows("the system itself adds variables to every environment")
def test_env_without_policy_is_the_complete_environment(python: BoundPython, env: RunningEnvironment) -> None:
    given = {"ONLY": "this"}
    found = environment_of(python, env=given)
    assert found.keys() - given.keys() <= ADDED_BY_THE_SYSTEM[env.platform]
    assert found["ONLY"] == "this"


VALUES = {
    "empty": "",
    "equals signs": "a=b=c",
    "quotes and spaces": " \"a\" 'b' ",
    "newline": "a\nb",
    "unicode": "grüße 日本語 😀",
    "unexpanded": "$HOME %PATH% ~",
    "long": "y" * 10_000,
}


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES.keys())
def test_a_variable_arrives_unchanged(python: BoundPython, value: str) -> None:
    found = environment_of(python, env={**needed_variables(python), "GIVEN": value})
    assert found["GIVEN"] == value


def test_a_policy_of_none_leaves_what_is_set_and_given(python: BoundPython) -> None:
    policy = EnvPolicy("none", set=needed_variables(python) | {"SET": "1", "BOTH": "policy"})
    found = environment_of(python, env_policy=policy, env={"GIVEN": "2", "BOTH": "request"})
    assert (found["SET"], found["GIVEN"], found["BOTH"]) == ("1", "2", "request")
    inherited = environment_of(python, env_policy=EnvPolicy("all", True))
    assert not inherited.keys() <= found.keys(), "a policy of none has inherited"


POLICIES: dict[str, tuple[EnvPolicy, bool, bool]] = {
    "all": (EnvPolicy("all", True), True, False),
    "all and set": (EnvPolicy("all", True, set={"MARK": "1"}), True, True),
    "excluded": (EnvPolicy("all", True, exclude=["PATH"]), False, False),
    "excluded by pattern": (EnvPolicy("all", True, exclude=["p?T*"]), False, False),
    "excluded is set again": (EnvPolicy("all", True, exclude=["M*"], set={"MARK": "1"}), True, True),
    "include only": (EnvPolicy("all", True, set={"MARK": "1"}, include_only=["path"]), True, False),
    "include only what is set": (
        EnvPolicy("all", True, set={"MARK": "1"}, include_only=["mark"]),
        False,
        True,
    ),
    "core": (EnvPolicy("core", True, set={"MARK": "1"}), True, True),
    "a secret by its name": (EnvPolicy("all", False, set={"MARK": "1"}), True, True),
}


@pytest.mark.skip_if_target_windows("the system itself adds PATH to an environment without one")
@pytest.mark.parametrize(("policy", "has_path", "has_mark"), POLICIES.values(), ids=POLICIES.keys())
def test_a_policy_builds_the_environment_from_the_executors(
    python: BoundPython, policy: EnvPolicy, has_path: bool, has_mark: bool
) -> None:
    assert "PATH" in environment_of(python), "the executor itself has no PATH: nothing can be told here"
    found = environment_of(python, env_policy=policy)
    assert ("PATH" in found, "MARK" in found) == (has_path, has_mark)


def test_without_stdin_its_input_is_empty(python: BoundPython) -> None:
    assert python.run("import sys; print(sys.stdin.buffer.read())").text == "b''\n"


@pytest.mark.parametrize("tty", [False, True], ids=["pipes", "tty"])
def test_its_streams_are_a_terminal_only_if_asked_for(
    env: RunningEnvironment, python: BoundPython, tty: bool
) -> None:
    code = "import os; print([os.isatty(fd) for fd in (0, 1, 2)])"
    # The null device is a character device, and any such is a terminal to _isatty of the C runtime.
    stdin = tty or env.platform == "windows"
    assert f"[{stdin}, {tty}, {tty}]" in python.run(code, tty=tty).text


@pytest.mark.skip_if_target_windows("a program there sees its command line, not an argv[0] of its own")
@pytest.mark.parametrize("tty", [False, True], ids=["pipes", "tty"])
@pytest.mark.parametrize("arg0", ["other name", "-", "/no/such/program"])
def test_arg0_is_what_the_program_sees_and_not_what_is_started(
    shell: BoundShell, arg0: str, tty: bool
) -> None:
    result = shell.run("printf '<%s>' \"$0\"", arg0=arg0, tty=tty)
    assert (result.text, result.exit_code) == (f"<{arg0}>", 0)


@pytest.mark.skip_if_target_windows("a program there sees its command line, not an argv[0] of its own")
def test_an_empty_arg0_is_given_or_refused_but_not_replaced(shell: BoundShell) -> None:
    try:
        result = shell.run("printf '<%s>' \"$0\"", arg0="")
    except RpcError as error:
        assert error.code == ErrorCode.INVALID_PARAMS
    else:
        assert result.text == "<>"


PROCESS_IDS = {
    "empty": "",
    "spaces": " a b ",
    "unicode": "grüße 日本語 😀",
    "quotes": "\"'\\",
    "newline": "a\nb",
    "NUL": "a\0b",
    "path-like": "../..",
    "long": "i" * 5000,
}


@pytest.mark.parametrize("process_id", PROCESS_IDS.values(), ids=PROCESS_IDS.keys())
def test_any_string_is_a_process_id(talk: Conversation, shell: BoundShell, process_id: str) -> None:
    started = talk.start(process_id, shell.argv(shell.echo("hello")))
    assert started["processId"] == process_id
    assert [told.kind for told in talk.finish(process_id) if told.kind != "output"] == ["exited", "closed"]
    assert talk.output(process_id).strip() == b"hello"
    assert talk.call("process/read", processId=process_id)["exitCode"] == 0


def test_the_id_of_a_running_process_is_taken(talk: Conversation, python: BoundPython) -> None:
    talk.start("p", python.argv(ANSWER), pipeStdin=True)
    with pytest.raises(RpcError) as refused:
        talk.start("p", python.argv("print('second')"))
    assert refused.value.code == ErrorCode.INVALID_REQUEST
    assert talk.write("p", b"first\n", "w") == "accepted"
    talk.until_output("p", b"got first")
    assert talk.call("process/terminate", processId="p") == {"running": True}
    talk.finish("p")
    assert b"second" not in talk.output("p")


def test_the_id_of_a_closed_process_is_taken_while_it_can_be_read(
    talk: Conversation, shell: BoundShell
) -> None:
    argv = shell.argv(shell.exit(5))
    talk.start("p", argv)
    talk.finish("p")
    with pytest.raises(RpcError) as refused:
        talk.start("p", argv)
    assert refused.value.code == ErrorCode.INVALID_REQUEST
    assert talk.call("process/read", processId="p")["exitCode"] == 5


@pytest.mark.parametrize("absent", [False, True], ids=["null", "absent"])
def test_optional_fields_may_be_null_or_absent(
    talk: Conversation, python: BoundPython, shell: BoundShell, absent: bool
) -> None:
    optional = {} if absent else {"arg0": None, "sandbox": None, "pipeStdin": False}
    # With neither policy nor variables only the shell's own built-in commands are at hand.
    environment = {"envPolicy": None, "env": environment_of(python)}
    talk.start("p", shell.argv(shell.exit(4)), **environment, **optional)
    talk.finish("p")
    assert talk.until("exited", "p").exit_code == 4


def test_unknown_fields_are_ignored(talk: Conversation, shell: BoundShell) -> None:
    policy = INHERIT | {"later": {}}
    talk.start("p", shell.argv(shell.exit(6)), envPolicy=policy, metadata={"a": [1]}, laterField=7)
    talk.finish("p")
    assert talk.until("exited", "p").exit_code == 6


def test_the_reply_comes_before_everything_the_process_tells(talk: Conversation, shell: BoundShell) -> None:
    for number in range(50):
        request = talk.post_start(f"p{number}", shell.argv(shell.exit(0)))
        first = talk.wire.receive()
        assert first.get("id") == request, first
        talk.wire.until(lambda message: message.get("method") == "process/closed")


@pytest.mark.parametrize("code", [0, 1, 2, 42, 127, 255])
def test_the_exit_code_is_the_programs(shell: BoundShell, code: int) -> None:
    assert shell.run(shell.exit(code)).exit_code == code
