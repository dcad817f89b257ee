"""File calls and programs see the same files."""

import random

import pytest

from fixtures.programs import BoundPython, BoundShell
from fixtures.workspace import Workspace
from harness.client.events import OutputEvent
from harness.client.sync import SyncClient
from suites.filesystem.tools import sha256


def test_a_program_sees_what_was_written(python: BoundPython, workspace: Workspace) -> None:
    data = random.Random(1).randbytes(300_000)
    workspace.write("d/f", data)
    code = "import hashlib, os; print(hashlib.sha256(open(os.path.join('d', 'f'), 'rb').read()).hexdigest())"
    assert python.run(code).text.strip() == sha256(data)


def test_what_a_program_writes_is_read(python: BoundPython, workspace: Workspace) -> None:
    code = """
import hashlib, os
data = os.urandom(300_000)
with open("f", "wb") as file:
    file.write(data)
print(hashlib.sha256(data).hexdigest())
"""
    assert python.run(code).text.strip() == sha256(workspace.read("f"))


@pytest.mark.known_gap(
    env="wine-exec",
    owner="wine",
    version="8.0",
    reason="cmd /c '(more) < f' prints nothing: no redirection of what is in parentheses",
)
def test_the_shell_sees_what_was_written(shell: BoundShell, workspace: Workspace) -> None:
    workspace.write("f", b"from the file\n")
    assert shell.run(f"{shell.copy_input()} < f").text == "from the file\n"


def test_what_the_shell_writes_is_read(shell: BoundShell, workspace: Workspace) -> None:
    shell.run(f"{shell.echo('from the shell')} > f", check=True)
    assert workspace.read("f").split() == [b"from", b"the", b"shell"]


def test_a_running_program_notices_a_new_file(
    client: SyncClient, python: BoundPython, workspace: Workspace
) -> None:
    code = """
import os, time
os.write(1, b"ready")
while not os.path.exists("signal"):
    time.sleep(0.01)
print("seen")
"""
    process = python.start(code)
    first = next(iter(process))
    assert isinstance(first, OutputEvent) and first.data == b"ready"
    workspace.mkdir("signal")
    assert process.communicate().stdout.strip() == b"seen"


def test_what_a_running_program_has_written_so_far_is_read(python: BoundPython, workspace: Workspace) -> None:
    code = """
import os, sys
file = os.open("log", os.O_WRONLY | os.O_CREAT | getattr(os, "O_BINARY", 0))
for line in sys.stdin.buffer:
    if line == b"end\\n":
        break
    os.write(file, line)
    os.write(1, b"written")
"""
    process = python.start(code, stdin=True)
    events = iter(process)
    expected = b""
    for number in range(5):
        process.write(b"%d\n" % number)
        expected += b"%d\n" % number
        event = next(events)
        assert isinstance(event, OutputEvent) and event.data == b"written"
        assert workspace.read("log") == expected
    process.write(b"end\n")
    assert process.wait() == 0


def test_a_program_runs_in_a_directory_just_made(
    client: SyncClient, python: BoundPython, workspace: Workspace
) -> None:
    directory = workspace.mkdir("a/b")
    python.run("open('here', 'w').close()", cwd=directory)
    assert [entry.file_name for entry in client.files.read_directory(directory)] == ["here"]


@pytest.mark.skip_if_target_windows("what may run is not told by permission bits there")
def test_a_script_that_was_written_can_be_run(
    client: SyncClient, python: BoundPython, shell: BoundShell, workspace: Workspace
) -> None:
    workspace.write("script", f"#!{shell.language.path}\nexit 23\n".encode())
    python.run("import os; os.chmod('script', 0o755)")
    # Just written and still open elsewhere it would be busy: the executor must have closed it.
    for _ in range(20):
        client.files.write_file(workspace / "script", f"#!{shell.language.path}\nexit 23\n".encode())
        assert client.run([workspace.native("script")], cwd=workspace.uri).exit_code == 23


def test_a_copy_is_one_that_programs_can_change(
    client: SyncClient, python: BoundPython, workspace: Workspace
) -> None:
    workspace.write("f", b"one")
    client.files.copy(workspace / "f", workspace / "g")
    python.run("open('g', 'ab').write(b' two')")
    assert (workspace.read("f"), workspace.read("g")) == (b"one", b"one two")


def test_what_was_removed_is_gone_for_programs(
    client: SyncClient, python: BoundPython, workspace: Workspace
) -> None:
    workspace.write("d/f", b"x")
    client.files.remove(workspace / "d")
    assert python.run("import os; print(os.listdir())").text == "[]\n"
