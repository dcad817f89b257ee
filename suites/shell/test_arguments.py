"""Arguments arrive as they were given, to a program and through the shell."""

from __future__ import annotations

import json

import pytest

from executors.protocol.errors import ErrorCode, RpcError
from fixtures.programs import BoundPython, BoundShell
from fixtures.screen_text import screen_text
from fixtures.target import RunningEnvironment
from harness.client.sync import SyncClient
from suites.asking import Once
from suites.shell.encoding import printed
from suites.shell.hostile import HOSTILE

PRINT = "import json, sys; print(json.dumps(sys.argv[1:]))"
LENGTHS = "import json, sys; print(json.dumps([[len(arg), arg[:1], arg[-1:]] for arg in sys.argv[1:]]))"

# Linux: 128 KiB an argument (execve(2)). Windows: 32,767 characters a command line (CreateProcessW).
LONGEST = {"linux": 100 * 1024, "macos": 100 * 1024, "windows": 30_000}


def all_direct(python: BoundPython) -> dict[str, str]:
    arrived = json.loads(python.run(PRINT, *HOSTILE.values()).stdout)
    return dict(zip(HOSTILE, arrived, strict=True))


@pytest.mark.parametrize("case", HOSTILE)
def test_argument_arrives(case: str, once: Once) -> None:
    assert once(all_direct)[case] == HOSTILE[case]


def is_speakable(shell: BoundShell, text: str) -> bool:
    try:
        shell.quote(text)
    except ValueError:
        return False
    return True


def through_the_shell(shell: BoundShell, python: BoundPython, *args: str) -> list[str] | None:
    """What arrives; None if the shell took the text for something else than words."""
    result = shell.run(shell.command(python.argv(PRINT, *args)))
    try:
        arrived: list[str] = json.loads(result.stdout)
    except ValueError:
        return None
    return arrived


def all_through_the_shell(shell: BoundShell, python: BoundPython) -> dict[str, str]:
    """What arrives of all at once; nothing if it is not as many words."""
    texts = {case: text for case, text in HOSTILE.items() if is_speakable(shell, text)}
    arrived = through_the_shell(shell, python, *texts.values())
    return dict(zip(texts, arrived, strict=True)) if arrived and len(arrived) == len(texts) else {}


@pytest.mark.parametrize("case", HOSTILE)
def test_argument_arrives_through_the_shell(case: str, once: Once, request: pytest.FixtureRequest) -> None:
    text = HOSTILE[case]
    found = once(all_through_the_shell)
    if case in found:
        assert found[case] == text
        return
    shell: BoundShell = request.getfixturevalue("shell")
    if not is_speakable(shell, text):
        pytest.skip(f"the language of {shell.name} has no way to write {text!r}")
    # One bad quotation spoils the words after it: alone, only its own case fails.
    assert through_the_shell(shell, request.getfixturevalue("python"), text) == [text]


PARENTHESIS_IS_PRINTED = pytest.mark.known_gap(
    env="wine-exec",
    owner="wine",
    version="8.0",
    reason="`echo(` prints the parenthesis, and no other form is right in cmd.exe",
)
ECHOED = [
    "words",
    "spaces",
    "empty",
    "tab",
    "double-quotes",
    "both-quotes",
    "backslash",
    "backslash-at-end",
    "escapes",
    "variable",
    "percents",
    pytest.param(
        "percent-variable",
        marks=pytest.mark.known_gap(
            env="wine-exec",
            owner="wine",
            version="8.0",
            reason="cmd expands variables again after it took the carets away",
        ),
    ),
    "exclamation-variable",
    "star",
    "redirection",
    "carets",
    "dash-n",
    "dash-e",
    pytest.param("slash-question-mark", marks=PARENTHESIS_IS_PRINTED),
    pytest.param("on", marks=PARENTHESIS_IS_PRINTED),
    "comment",
    "decomposed",
    "shift-jis-backslash",
    "emoji",
    "right-to-left",
    "newline",
    "everything",
]


@pytest.mark.parametrize("case", ECHOED)
def test_shell_echoes_the_text(
    case: str, env: RunningEnvironment, shell: BoundShell, python: BoundPython
) -> None:
    try:
        script = shell.echo(HOSTILE[case])
    except ValueError as error:
        pytest.skip(str(error))
    assert shell.run(script).stdout == printed(env, python, HOSTILE[case]) + shell.newline.encode()


def test_all_arguments_arrive_through_shells_in_shells(shell: BoundShell, python: BoundPython) -> None:
    texts = [text for text in HOSTILE.values() if is_speakable(shell, text) and len(text) < 100]
    script = shell.command(python.argv(PRINT, *texts))
    result = shell.run(shell.command(shell.argv(script)), check=True)
    assert json.loads(result.stdout) == texts


def test_a_thousand_arguments_arrive(python: BoundPython) -> None:
    args = [f"argument {number}" for number in range(1000)]
    assert json.loads(python.run(PRINT, *args).stdout) == args


def test_a_thousand_empty_arguments_arrive(python: BoundPython) -> None:
    assert json.loads(python.run(PRINT, *[""] * 1000).stdout) == [""] * 1000


@pytest.mark.parametrize("text", ["x", "\\", " ", "'"], ids=["letters", "backslashes", "spaces", "quotes"])
def test_longest_argument_arrives(text: str, env: RunningEnvironment, python: BoundPython) -> None:
    length = LONGEST[env.platform]
    assert json.loads(python.run(LENGTHS, text * length).stdout) == [[length, text, text]]


def test_too_long_argument_is_refused_with_the_system_s_words(
    client: SyncClient, python: BoundPython, env: RunningEnvironment
) -> None:
    with pytest.raises(RpcError) as refused:
        client.start(python.argv(PRINT, "x" * 4 * 1024 * 1024))
    assert refused.value.code == ErrorCode.INTERNAL_ERROR
    assert "long" in refused.value.message
    assert json.loads(python.run(PRINT, "next").stdout) == ["next"]


@pytest.mark.parametrize("argv", [[], [""], ["", "x"]], ids=["none", "empty", "empty-and-more"])
def test_without_a_program_nothing_starts(argv: list[str], client: SyncClient) -> None:
    with pytest.raises(RpcError) as refused:
        client.start(argv)
    assert refused.value.code in (ErrorCode.INVALID_PARAMS, ErrorCode.INTERNAL_ERROR)
    assert not argv or refused.value.code == ErrorCode.INTERNAL_ERROR
    assert argv or refused.value.code == ErrorCode.INVALID_PARAMS


@pytest.mark.parametrize("place", [0, -1], ids=["program", "argument"])
def test_nul_in_an_argument_is_refused(place: int, client: SyncClient, python: BoundPython) -> None:
    argv = python.argv("open('ran', 'x')", "x")
    argv[place] += "\0"
    with pytest.raises(RpcError) as refused:
        client.start(argv)
    assert refused.value.code in (ErrorCode.INVALID_PARAMS, ErrorCode.INTERNAL_ERROR)


def test_missing_program_is_refused_with_the_system_s_words(client: SyncClient, python: BoundPython) -> None:
    look = """
import subprocess, sys
try:
    subprocess.run(["no-such-program-anywhere"])
except OSError as error:
    print(error.strerror)
"""
    words = python.run(look).text.strip()
    with pytest.raises(RpcError) as refused:
        client.start(["no-such-program-anywhere"])
    assert refused.value.code == ErrorCode.INTERNAL_ERROR
    assert words in refused.value.message


# A program of Windows has no name apart from the command line, whose first word it is.
FIRST_WORD = """
import ctypes
get = ctypes.WinDLL("kernel32").GetCommandLineW
get.restype = ctypes.c_wchar_p
print("<" + get().partition(" -I ")[0].strip('"') + ">", end="")
"""


@pytest.fixture
def print_name(env: RunningEnvironment, shell: BoundShell, python: BoundPython) -> list[str]:
    """Arguments of a program that prints the name it was given."""
    return python.argv(FIRST_WORD) if env.platform == "windows" else shell.argv("printf '<%s>' \"$0\"")


@pytest.mark.parametrize("tty", [False, True], ids=["pipes", "terminal"])
@pytest.mark.parametrize("name", ["renamed", "a-b", "two words", "é"])
def test_arg0_is_what_the_program_sees(
    name: str, tty: bool, client: SyncClient, print_name: list[str]
) -> None:
    completed = client.run(print_name, arg0=name, tty=tty)
    assert screen_text(completed.stdout.decode()) == f"<{name}>"


@pytest.mark.parametrize("tty", [False, True], ids=["pipes", "terminal"])
def test_empty_arg0_is_seen_or_refused(tty: bool, client: SyncClient, print_name: list[str]) -> None:
    try:
        completed = client.run(print_name, arg0="", tty=tty)
    except RpcError as refused:
        assert refused.code == ErrorCode.INVALID_PARAMS
    else:
        assert screen_text(completed.stdout.decode()) == "<>"
