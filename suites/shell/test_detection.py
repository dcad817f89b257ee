"""What the executor tells of its shell is true, and scripts run in it."""

from __future__ import annotations

import msgspec
import pytest

from executors.protocol.environment import Empty, EnvironmentInfo
from executors.protocol.methods import ENVIRONMENT_INFO
from fixtures.programs import BoundPython, BoundShell
from fixtures.target import RunningEnvironment
from fixtures.workspace import Workspace
from harness.client.sync import SyncClient
from suites.asking import ask

NAMES = {
    "bash": ["bash", "bash.exe"],
    "zsh": ["zsh"],
    "sh": ["sh", "dash", "ash", "busybox"],
    "powershell": ["pwsh", "pwsh.exe", "powershell.exe"],
    "cmd": ["cmd.exe"],
}


def test_shell_is_an_executable_of_that_name(client: SyncClient, python: BoundPython) -> None:
    path = client.info.shell.path
    code = """
        answer = [os.path.isabs(question), os.path.isfile(question), os.access(question, os.X_OK),
                  os.path.basename(question).lower()]
    """
    absolute, is_file, executable, name = ask(python, code, path)
    assert (absolute, is_file, executable) == (True, True, True)
    assert name in NAMES[client.info.shell.name]


def test_shell_does_what_its_language_says(shell: BoundShell) -> None:
    result = shell.run(shell.sequence(shell.echo("out"), shell.echo_error("err"), shell.exit(5)))
    assert result.exit_code == 5
    assert result.stdout == b"out" + shell.newline.encode()
    assert result.error_text.strip() == "err"


def test_platform_is_the_system_s(env: RunningEnvironment, python: BoundPython) -> None:
    names = {"linux": "linux", "win32": "windows", "darwin": "macos"}
    assert names[ask(python, "answer = sys.platform")] == env.platform


def test_every_client_is_told_the_same(client: SyncClient, env: RunningEnvironment) -> None:
    def known_at_once(info: EnvironmentInfo) -> EnvironmentInfo:
        # Which sandboxes hold may be found out when it is asked.
        capabilities = msgspec.structs.replace(info.capabilities, sandbox=None)
        return msgspec.structs.replace(info, capabilities=capabilities)

    told = (client.call(ENVIRONMENT_INFO, Empty()), client.info, env.info)
    assert known_at_once(told[0]) == known_at_once(told[1]) == known_at_once(told[2])


@pytest.mark.known_gap(
    env="wine-exec",
    owner="wine",
    version="8.0",
    reason="`cmd /c` ends with the last exit code of a program, though `echo` came after it",
)
def test_sequence_goes_on_after_a_failure(shell: BoundShell) -> None:
    fail = shell.command(shell.argv(shell.exit(3)))
    result = shell.run(shell.sequence(shell.echo("one"), fail, shell.echo("two")))
    assert result.text == "one\ntwo\n"
    assert result.exit_code == 0


def test_shell_s_exit_code_is_that_of_its_last_command(shell: BoundShell) -> None:
    assert shell.run(shell.command(shell.argv(shell.exit(3)))).exit_code == 3


def test_shells_nest(shell: BoundShell) -> None:
    script = shell.echo('it\'s "deep"')
    for _ in range(3):
        script = shell.command(shell.argv(script))
    assert shell.run(script).text == 'it\'s "deep"\n'


def test_unknown_command_fails_and_says_so(shell: BoundShell) -> None:
    result = shell.run(shell.command(["no-such-command-anywhere"]))
    assert result.exit_code != 0
    assert "no-such-command-anywhere" in result.error_text


def test_shell_finds_programs_by_name(shell: BoundShell, python: BoundPython, workspace: Workspace) -> None:
    # Any directory of a program is one that PATH may name.
    folder, name = ask(python, "answer = os.path.split(os.path.realpath(question))", python.path)
    program = shell.command([name, *python.argv("print('found')")[1:]])
    separator = ask(python, "answer = os.pathsep")
    path = ask(python, "answer = os.environ.get('PATH', '')")
    own = ask(python, "answer = dict(os.environ)")
    found = shell.run(program, env={**own, "PATH": f"{folder}{separator}{path}"})
    assert found.text == "found\n"


@pytest.mark.parametrize("count", [1, 100])
def test_shells_run_side_by_side(count: int, client: SyncClient, shell: BoundShell) -> None:
    processes = [shell.start(shell.echo(f"shell {number}")) for number in range(count)]
    outputs = [process.communicate().stdout.split() for process in processes]
    assert outputs == [[b"shell", str(number).encode()] for number in range(count)]


def test_program_needs_no_shell(client: SyncClient, python: BoundPython) -> None:
    assert client.run(python.argv("print('$HOME', '*', '%PATH%')")).stdout.split() == [
        b"$HOME",
        b"*",
        b"%PATH%",
    ]
