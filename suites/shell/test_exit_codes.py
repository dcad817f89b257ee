"""Exit codes are those of the operating system."""

from __future__ import annotations

import pytest

from executors.protocol.methods import PROCESS_READ
from executors.protocol.processes import ProcessReadParams
from fixtures.programs import BoundPython, BoundShell
from fixtures.target import RunningEnvironment
from harness.client.sync import SyncClient

CODES = [
    0,
    1,
    2,
    3,
    42,
    63,
    64,
    77,
    78,
    99,
    100,
    120,
    124,
    125,
    126,
    127,
    128,
    129,
    130,
    137,
    141,
    143,
    192,
    254,
    255,
]


@pytest.mark.parametrize("tty", [False, True], ids=["pipes", "terminal"])
@pytest.mark.parametrize("code", CODES)
def test_exit_code_of_the_shell(code: int, tty: bool, shell: BoundShell) -> None:
    assert shell.run(shell.exit(code), tty=tty).exit_code == code


def test_every_exit_code(env: RunningEnvironment, shell: BoundShell) -> None:
    # No value of a byte is special to Windows, and starts are slow there: every eighth will do.
    step = 8 if env.platform == "windows" else 1
    wrong: dict[int, int] = {}
    for first in range(0, 256, 32):
        started = {code: shell.start(shell.exit(code)) for code in range(first, first + 32, step)}
        found = {code: process.wait() for code, process in started.items()}
        wrong |= {code: exit_code for code, exit_code in found.items() if exit_code != code}
    assert wrong == {}


# What a program asks for, and what becomes of it: 8 bits on POSIX, signed 32 bits on Windows.
LARGE = {
    256: {"windows": 256, "posix": 0},
    300: {"windows": 300, "posix": 44},
    65_535: {"windows": 65_535, "posix": 255},
    0x7FFFFFFF: {"windows": 0x7FFFFFFF, "posix": 255},
    -1: {"windows": -1, "posix": 255},
    -1073741819: {"windows": -1073741819, "posix": 5},
}


@pytest.mark.parametrize("code", LARGE)
def test_exit_code_beyond_a_byte(code: int, env: RunningEnvironment, python: BoundPython) -> None:
    found = python.run(f"import os; os._exit({code})", check=False).exit_code
    assert found == LARGE[code].get(env.platform, LARGE[code]["posix"])


def test_exit_code_of_a_failed_program(python: BoundPython) -> None:
    assert python.run("raise SystemExit('text')", check=False).exit_code == 1
    assert python.run("raise KeyError", check=False).exit_code == 1
    assert python.run("pass", check=False).exit_code == 0


SIGNALS = [
    "SIGHUP",
    "SIGINT",
    "SIGQUIT",
    "SIGILL",
    "SIGABRT",
    "SIGFPE",
    "SIGKILL",
    "SIGSEGV",
    "SIGPIPE",
    "SIGALRM",
]
SIGNALS += ["SIGTERM", "SIGUSR1", "SIGUSR2"]


@pytest.mark.skip_if_target_windows("there are no deaths by signal")
@pytest.mark.parametrize("tty", [False, True], ids=["pipes", "terminal"])
@pytest.mark.parametrize("name", SIGNALS)
def test_death_by_signal_is_128_and_its_number(name: str, tty: bool, python: BoundPython) -> None:
    code = """
import os, resource, signal, sys
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
number = getattr(signal, sys.argv[1])
print(int(number), flush=True)
if name_may_be_handled := number not in (signal.SIGKILL, signal.SIGSTOP):
    signal.signal(number, signal.SIG_DFL)
os.kill(os.getpid(), number)
"""
    result = python.run(code, name, check=False, tty=tty)
    assert result.exit_code == 128 + int(result.stdout)


@pytest.mark.skip_if_target_windows("there are no deaths by signal")
def test_shell_s_own_128_and_number_is_passed_on(shell: BoundShell) -> None:
    assert shell.run("sh -c 'kill -TERM $$'; exit $?").exit_code == 143


@pytest.mark.parametrize("tty", [False, True], ids=["pipes", "terminal"])
def test_exit_code_is_told_alike_by_event_and_by_read(
    tty: bool, client: SyncClient, shell: BoundShell
) -> None:
    process = shell.start(shell.exit(7), tty=tty)
    assert process.communicate().exit_code == 7
    read = client.call(PROCESS_READ, ProcessReadParams(process.process_id))
    assert (read.exited, read.exit_code, read.closed, read.failure) == (True, 7, True, None)


def test_output_and_exit_code_of_a_failing_program(shell: BoundShell) -> None:
    result = shell.run(shell.sequence(shell.echo("said before"), shell.exit(9)))
    assert (result.text, result.exit_code) == ("said before\n", 9)
