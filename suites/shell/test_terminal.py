"""A terminal: its size, its line discipline, its signals, and the shell at it."""

from __future__ import annotations

import re
from collections.abc import Callable

import pexpect
import pytest

from executors.protocol.errors import ErrorCode, RpcError
from fixtures.programs import BoundPython, BoundShell
from fixtures.screen_text import screen_text
from fixtures.target import RunningEnvironment
from fixtures.terminal import TerminalSpawn
from fixtures.workspace import Workspace
from harness.client.events import OutputEvent
from harness.client.sync import SyncClient

SpawnTty = Callable[..., TerminalSpawn]

SIZES = """
import os
for line in iter(input, "end"):
    size = os.get_terminal_size(1)
    print(f"<{size.lines}x{size.columns}>")
"""
# In short sleeps: a signal between two looks at them is noticed only after the sleep.
WAIT = "import time; print('rea' + 'dy', flush=True)\nfor _ in range(600): time.sleep(0.1)"
CATCH = """
import time
try:
    print("rea" + "dy", flush=True)
    for _ in range(600):
        time.sleep(0.1)
except KeyboardInterrupt:
    print("inter" + "rupted")
    raise SystemExit(7)
"""


def rest(terminal: TerminalSpawn) -> str:
    """All that comes until the program has ended."""
    terminal.expect(pexpect.EOF)
    assert terminal.before is not None
    return terminal.before


@pytest.mark.parametrize("stream", ["stdin", "stdout", "stderr"])
def test_every_stream_is_the_terminal(stream: str, python: BoundPython) -> None:
    # A console's input knows no size (GetConsoleScreenBufferInfo).
    code = f"""
import os, sys
asked = sys.stdout if sys.platform == "win32" and "{stream}" == "stdin" else sys.{stream}
print(sys.{stream}.isatty(), *os.get_terminal_size(asked.fileno()))
"""
    assert python.run(code, tty=True).screen == "True 80 24\n"


IS_TERMINAL = {
    "posix": "import sys; print(sys.{stream}.isatty())",
    # There isatty is true of the null device as well (_isatty): what has a console mode is a console.
    "windows": """
import ctypes, msvcrt, sys
handle = ctypes.c_void_p(msvcrt.get_osfhandle(sys.{stream}.fileno()))
mode = ctypes.c_ulong()
print(bool(ctypes.WinDLL("kernel32").GetConsoleMode(handle, ctypes.byref(mode))))
""",
}


@pytest.mark.parametrize("stream", ["stdin", "stdout", "stderr"])
@pytest.mark.parametrize("tty", [False, True], ids=["pipes", "terminal"])
def test_stream_is_a_terminal_only_if_asked_for(
    stream: str, tty: bool, env: RunningEnvironment, python: BoundPython
) -> None:
    code = IS_TERMINAL.get(env.platform, IS_TERMINAL["posix"]).format(stream=stream)
    assert python.run(code, tty=tty).screen == f"{tty}\n"


def test_all_output_is_the_terminal_s(client: SyncClient, python: BoundPython) -> None:
    code = "import sys; print('out'); print('err', file=sys.stderr)"
    events = list(client.start(python.argv(code), tty=True))
    assert {event.stream for event in events if isinstance(event, OutputEvent)} == {"pty"}
    output = b"".join(event.data for event in events if isinstance(event, OutputEvent))
    assert screen_text(output.decode()).split() == ["out", "err"]


def test_shell_at_a_terminal_sees_its_size(shell: BoundShell, python: BoundPython) -> None:
    script = shell.command(python.argv("import os; print(*os.get_terminal_size(1))"))
    assert shell.run(script, tty=True).screen == "80 24\n"


# The executor then announces no such capability, and the client does not try.
NO_RESIZE = pytest.mark.known_gap(
    env="wine-exec", owner="wine", version="8.0", reason="ResizePseudoConsole answers E_NOTIMPL"
)


@NO_RESIZE
@pytest.mark.parametrize(("rows", "cols"), [(1, 1), (24, 80), (50, 132), (3, 500), (500, 3), (9999, 9999)])
def test_new_size_is_seen(rows: int, cols: int, spawn_tty: SpawnTty, python: BoundPython) -> None:
    terminal = spawn_tty(python.argv(SIZES))
    terminal.sendline("first")
    terminal.expect_exact("<24x80>")
    terminal.setwinsize(rows, cols)
    terminal.sendline("second")
    terminal.expect_exact(f"<{rows}x{cols}>")
    terminal.sendline("end")
    assert terminal.wait() == 0


@pytest.mark.skip_if_target_windows("there is no signal: a program reads the event or asks again")
def test_program_is_told_of_its_new_size(spawn_tty: SpawnTty, python: BoundPython) -> None:
    code = """
import os, signal
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGWINCH])
print("rea" + "dy", flush=True)
for _ in range(2):
    signal.sigwait([signal.SIGWINCH])
    print("<%dx%d>" % os.get_terminal_size(0)[::-1], flush=True)
"""
    terminal = spawn_tty(python.argv(code))
    terminal.expect_exact("ready")
    for rows, cols in ((30, 100), (31, 101)):
        terminal.setwinsize(rows, cols)
        terminal.expect_exact(f"<{rows}x{cols}>")
    assert terminal.wait() == 0


@NO_RESIZE
@pytest.mark.parametrize(("rows", "cols"), [(0, 80), (24, 0), (-1, 80), (24, 65_536), (2**40, 80)])
def test_impossible_size_is_refused(rows: int, cols: int, spawn_tty: SpawnTty, python: BoundPython) -> None:
    terminal = spawn_tty(python.argv(SIZES))
    with pytest.raises(RpcError) as refused:
        terminal.setwinsize(rows, cols)
    assert refused.value.code == ErrorCode.INVALID_PARAMS
    terminal.sendline("size")
    terminal.expect_exact("<24x80>")


@NO_RESIZE
def test_without_a_terminal_there_is_no_size(python: BoundPython) -> None:
    with python.start(WAIT) as process, pytest.raises(RpcError) as refused:
        process.resize(30, 100)
    assert refused.value.code == ErrorCode.INVALID_REQUEST


def test_what_is_typed_is_echoed(spawn_tty: SpawnTty, python: BoundPython) -> None:
    terminal = spawn_tty(python.argv("print('<' + input() + '>')"))
    terminal.sendline("typed")
    assert rest(terminal).split() == ["typed", "<typed>"]


@pytest.mark.skip_if_target_windows("echo is a matter of each program's console mode there")
def test_program_turns_echo_off(spawn_tty: SpawnTty, python: BoundPython) -> None:
    terminal = spawn_tty(python.argv("import getpass; print('<' + getpass.getpass('? ')[::-1] + '>')"))
    terminal.expect_exact("? ")
    terminal.sendline("secret")
    assert rest(terminal).split() == ["<terces>"]


@pytest.mark.skip_if_target_windows("a console has no line discipline")
def test_line_is_edited_before_it_is_read(spawn_tty: SpawnTty, python: BoundPython) -> None:
    code = "import os; print('rea' + 'dy', flush=True); print(os.read(0, 100))"
    terminal = spawn_tty(python.argv(code))
    terminal.expect_exact("ready")
    terminal.send("wrong\x15abX")
    terminal.send("\x7fc\r")
    assert "b'abc\\n'" in rest(terminal)


@pytest.mark.skip_if_target_windows("a console has no line discipline")
def test_line_ends_are_translated_both_ways(spawn_tty: SpawnTty, python: BoundPython) -> None:
    terminal = spawn_tty(python.argv("import os; print(os.read(0, 100)); os.write(1, b'a\\nb\\n')"))
    terminal.send("x\r")
    assert rest(terminal) == "x\r\nb'x\\n'\r\na\r\nb\r\n"


@pytest.mark.skip_if_target_windows("raw mode is a matter of termios")
def test_raw_mode_passes_every_byte(spawn_tty: SpawnTty, python: BoundPython) -> None:
    code = """
import os, tty
tty.setraw(0)
os.write(1, b"ready")
data = b""
while len(data) < 34:
    data += os.read(0, 100)
os.write(1, data.hex().encode())
"""
    terminal = spawn_tty(python.argv(code))
    terminal.expect_exact("ready")
    typed = bytes(range(33)) + b"\x7f"
    terminal.send(typed.decode())
    assert bytes.fromhex(rest(terminal)) == typed


def test_typed_characters_may_be_any(spawn_tty: SpawnTty, python: BoundPython) -> None:
    terminal = spawn_tty(python.argv("print(ascii(input()))"))
    terminal.sendline("é日本🚀")
    terminal.expect_exact("'\\xe9\\u65e5\\u672c\\U0001f680'")


@pytest.mark.parametrize(
    "text",
    [
        "é日本",
        pytest.param(
            "🚀",
            marks=pytest.mark.known_gap(
                env="wine-exec",
                owner="wine",
                version="8.0",
                reason="conhost makes U+FFFD of each half of a surrogate pair",
            ),
        ),
    ],
)
def test_output_characters_may_be_any(text: str, spawn_tty: SpawnTty, python: BoundPython) -> None:
    terminal = spawn_tty(python.argv(f"print('<{text}>')"))
    terminal.expect_exact(f"<{text}>")


def test_ctrl_c_reaches_the_program_s_handler(spawn_tty: SpawnTty, python: BoundPython) -> None:
    terminal = spawn_tty(python.argv(CATCH))
    terminal.expect_exact("ready")
    terminal.sendcontrol("c")
    terminal.expect_exact("interrupted")
    assert terminal.wait() == 7


def test_interrupt_reaches_the_program_s_handler(spawn_tty: SpawnTty, python: BoundPython) -> None:
    terminal = spawn_tty(python.argv(CATCH))
    terminal.expect_exact("ready")
    terminal.process.interrupt()
    terminal.expect_exact("interrupted")
    assert terminal.wait() == 7


@pytest.mark.skip_if_target_windows("there are no deaths by signal")
@pytest.mark.parametrize(("key", "exit_code"), [("c", 130), ("\\", 131)], ids=["interrupt-key", "quit-key"])
def test_death_by_a_key_is_a_death_by_signal(
    key: str, exit_code: int, spawn_tty: SpawnTty, python: BoundPython
) -> None:
    code = f"""
import resource, signal
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
signal.signal(signal.SIGINT, signal.SIG_DFL)
{WAIT}"""
    terminal = spawn_tty(python.argv(code))
    terminal.expect_exact("ready")
    terminal.sendcontrol(key)
    assert terminal.wait() == exit_code


def test_end_of_input_is_typed(spawn_tty: SpawnTty, python: BoundPython) -> None:
    terminal = spawn_tty(python.argv("import sys; print([line.strip() for line in sys.stdin])"))
    terminal.sendline("one")
    terminal.sendline("two")
    terminal.sendeof()
    terminal.expect_exact("['one', 'two']")
    assert terminal.wait() == 0


def test_end_of_input_cannot_be_closed(spawn_tty: SpawnTty, python: BoundPython) -> None:
    terminal = spawn_tty(python.argv(SIZES))
    with pytest.raises(RpcError) as refused:
        terminal.process.close_stdin()
    assert refused.value.code == ErrorCode.INVALID_REQUEST
    terminal.sendline("still")
    terminal.expect_exact("<24x80>")


def test_five_hundred_lines_are_typed(spawn_tty: SpawnTty, python: BoundPython) -> None:
    code = "print('rea' + 'dy'); print('<%d>' % sum(len(input()) for _ in range(500)))"
    terminal = spawn_tty(python.argv(code))
    terminal.expect_exact("ready")
    terminal.send("".join(f"{number:040}{terminal.linesep}" for number in range(500)))
    terminal.expect_exact(f"<{500 * 40}>")
    assert terminal.wait() == 0


def test_a_flood_of_output_is_whole(env: RunningEnvironment, python: BoundPython) -> None:
    # A console draws each line on its screen first.
    count = 1_000 if env.platform == "windows" else 20_000
    result = python.run(f"for number in range({count}): print('%050d' % number)", tty=True)
    assert result.screen.split() == [f"{number:050}" for number in range(count)]


@pytest.mark.skip_if_target_windows("there are no controlling terminals")
def test_terminal_is_the_controlling_one(python: BoundPython) -> None:
    code = """
import os
with open("/dev/tty", "wb", buffering=0) as terminal:
    terminal.write(b"through /dev/tty\\n")
    print(os.getsid(0) == os.getpid() == os.tcgetpgrp(0) == os.getpgrp())
    print(os.ttyname(0) == os.ttyname(1) == os.ttyname(2) != "")
"""
    assert python.run(code, tty=True).text == "through /dev/tty\nTrue\nTrue\n"


@pytest.mark.skip_if_target_windows("there are no controlling terminals")
def test_without_a_terminal_there_is_no_controlling_one(python: BoundPython) -> None:
    code = """
try:
    open("/dev/tty").close()
except OSError:
    print("none")
"""
    assert python.run(code).text == "none\n"


def said(text: str) -> str:
    """A pattern of *text* as a line of output, which the echoed command is not."""
    return rf"[\r\n]{text}\r?\n"


def test_shell_answers_at_its_terminal(tty: TerminalSpawn, shell: BoundShell, workspace: Workspace) -> None:
    workspace.mkdir("below")
    tty.sendline(shell.echo("hello"))
    tty.expect(said("hello"))
    tty.sendline(shell.change_directory(workspace.native("below")))
    tty.sendline(shell.print_directory())
    tty.expect(r"[\r\n]([^\r\n]*[\\/]below)\r?\n")
    assert isinstance(tty.match, re.Match)
    assert tty.match[1] == workspace.native("below")
    tty.sendline(shell.exit(7))
    assert tty.wait() == 7


@pytest.fixture
def catch(python: BoundPython, workspace: Workspace) -> list[str]:
    """Arguments that run :data:`CATCH`: from a file, since not every shell's command may have many lines."""
    workspace.write("catch.py", CATCH.encode())
    return [*python.argv("")[:-2], workspace.native("catch.py")]


CMD_ENDS = pytest.mark.known_gap(
    env="wine-exec",
    owner="wine",
    version="8.0",
    reason="cmd has no handler for Ctrl-C, which ends it and not only its command",
)


@CMD_ENDS
def test_ctrl_c_ends_the_command_and_not_the_shell(
    tty: TerminalSpawn, shell: BoundShell, catch: list[str]
) -> None:
    tty.sendline(shell.command(catch))
    tty.expect(said("ready"))
    tty.sendcontrol("c")
    tty.expect_exact("interrupted")
    tty.sendline(shell.echo("still here"))
    tty.expect(said("still here"))


@CMD_ENDS
def test_interrupt_ends_the_command_and_not_the_shell(
    tty: TerminalSpawn, shell: BoundShell, catch: list[str]
) -> None:
    tty.sendline(shell.command(catch))
    tty.expect(said("ready"))
    tty.process.interrupt()
    tty.expect_exact("interrupted")
    tty.sendline(shell.echo("still here"))
    tty.expect(said("still here"))


@pytest.mark.skip_if_target_windows("end of file does not end the shell there")
def test_end_of_input_ends_the_shell(tty: TerminalSpawn, shell: BoundShell) -> None:
    tty.sendline(shell.echo("hello"))
    tty.expect(said("hello"))
    tty.sendeof()
    assert tty.wait() == 0


def test_terminated_terminal_is_gone(
    env: RunningEnvironment, spawn_tty: SpawnTty, python: BoundPython
) -> None:
    terminal = spawn_tty(python.argv(WAIT))
    terminal.expect_exact("ready")
    assert terminal.process.terminate() is True
    terminal.expect(pexpect.EOF)
    code = terminal.wait()
    assert code == 137 if env.platform != "windows" else code != 0
    assert terminal.process.terminate() is False
