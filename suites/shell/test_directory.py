"""A program starts in the directory it was given, or not at all."""

from __future__ import annotations

import pytest

from executors.protocol.errors import ErrorCode, RpcError
from executors.protocol.path_uri import PathUri
from fixtures.programs import BoundPython, BoundShell
from fixtures.target import RunningEnvironment
from fixtures.workspace import Workspace
from harness.client.sync import SyncClient
from suites.asking import ask
from suites.shell.encoding import printed

MODES = pytest.mark.parametrize("tty", [False, True], ids=["pipes", "terminal"])


@MODES
def test_program_sees_it(tty: bool, client: SyncClient, shell: BoundShell, workspace: Workspace) -> None:
    completed = client.run(shell.argv(shell.print_directory()), cwd=workspace.mkdir("below"), tty=tty)
    assert workspace.native("below") in completed.stdout.decode()


def test_relative_names_start_there(python: BoundPython, workspace: Workspace) -> None:
    below = workspace.mkdir("a/b")
    python.run("open('made', 'x').close(); open('../above', 'x').close()", cwd=below)
    assert workspace.exists("a/b/made")
    assert workspace.exists("a/above")


@pytest.mark.parametrize(
    "name", ["below", "two words", "it's", "a&b", "caf\u00e9", "100%", "(a)", "a;b", "$HOME", "^a"]
)
def test_shell_goes_there(
    name: str, env: RunningEnvironment, shell: BoundShell, python: BoundPython, workspace: Workspace
) -> None:
    workspace.mkdir(name)
    script = shell.sequence(shell.change_directory(workspace.native(name)), shell.print_directory())
    expected = printed(env, python, workspace.native(name)) + shell.newline.encode()
    assert shell.run(script).stdout == expected


@pytest.mark.skip_if_target_windows("a directory's name starts no option there")
@pytest.mark.parametrize("name", ["-", "--", "-P", "~", "*"])
def test_shell_goes_to_an_odd_relative_name(name: str, shell: BoundShell, workspace: Workspace) -> None:
    workspace.mkdir(name)
    script = shell.sequence(shell.change_directory(f"./{name}"), shell.print_directory())
    assert shell.run(script).text == workspace.native(name) + "\n"


def test_going_elsewhere_concerns_one_shell(shell: BoundShell, workspace: Workspace) -> None:
    workspace.mkdir("below")
    shell.run(shell.change_directory(workspace.native("below")), check=True)
    assert shell.run(shell.print_directory()).text == workspace.path + "\n"


def test_programs_in_two_directories_at_once(shell: BoundShell, workspace: Workspace) -> None:
    names = [f"d{number}" for number in range(20)]
    started = [shell.start(shell.print_directory(), cwd=workspace.mkdir(name)) for name in names]
    outputs = [process.communicate().stdout.decode().strip() for process in started]
    assert outputs == [workspace.native(name) for name in names]


def test_by_default_it_is_the_executor_s(
    env: RunningEnvironment, client: SyncClient, python: BoundPython
) -> None:
    assert client.info.cwd is not None
    completed = client.run(python.argv("import os; print(os.getcwd())"))
    assert completed.stdout.decode().strip() == PathUri.parse(client.info.cwd).to_native(env.platform)


@MODES
@pytest.mark.parametrize("name", ["missing", "missing/below", "file", "file/below"])
def test_what_is_no_directory_is_refused(
    name: str, tty: bool, client: SyncClient, python: BoundPython, workspace: Workspace
) -> None:
    workspace.write("file", b"")
    enter = """
        try:
            answer = os.chdir(question)
        except OSError as error:
            answer = error.strerror
    """
    words = ask(python, enter, name)
    assert words
    with pytest.raises(RpcError) as refused:
        client.start(python.argv("open('ran', 'x')"), cwd=workspace / name, tty=tty)
    assert refused.value.code == ErrorCode.INTERNAL_ERROR
    assert words in refused.value.message
    assert not workspace.exists("ran")


@pytest.mark.skip_if_target_windows("a directory that is in use cannot be removed there")
def test_directory_is_removed_under_the_program(
    client: SyncClient, python: BoundPython, workspace: Workspace
) -> None:
    place = workspace.mkdir("short-lived")
    code = """
import os, sys
sys.stdin.readline()
try:
    print(os.getcwd())
except FileNotFoundError:
    print("gone")
os.chdir("/")
print(os.getcwd())
"""
    process = python.start(code, cwd=place, stdin=True)
    client.files.remove(place, force=False)
    process.write(b"go on\n")
    completed = process.communicate()
    assert (completed.stdout.split(), completed.exit_code) == ([b"gone", b"/"], 0)


@pytest.mark.skip_if_target_windows("rights to a directory are another matter there")
@MODES
def test_directory_without_the_right_to_enter(
    tty: bool, client: SyncClient, python: BoundPython, workspace: Workspace
) -> None:
    workspace.mkdir("locked")
    lock = """
        os.chmod("locked", 0)
        try:
            os.chdir("locked")
            answer = None
        except OSError as error:
            answer = error.strerror
        os.chdir(question)
    """
    words = ask(python, lock, workspace.path)
    if words is None:
        pytest.skip("the executor's user may enter every directory")
    try:
        with pytest.raises(RpcError) as refused:
            client.start(python.argv(""), cwd=workspace / "locked", tty=tty)
    finally:
        # Or nobody but root could remove it.
        ask(python, 'answer = os.chmod("locked", 0o700)')
    assert refused.value.code == ErrorCode.INTERNAL_ERROR
    assert words in refused.value.message


@pytest.mark.skip_if_target_windows("the rule for relative programs is POSIX's")
@MODES
def test_relative_program_is_found_from_there(
    tty: bool, client: SyncClient, python: BoundPython, shell: BoundShell, workspace: Workspace
) -> None:
    workspace.write("below/program", f"#!{client.info.shell.path}\n{shell.echo('found')}\n".encode())
    ask(python, "answer = os.chmod('below/program', 0o755)")
    for argv, cwd in ((["./program"], workspace / "below"), (["below/program"], workspace.uri)):
        completed = client.run(argv, cwd=cwd, tty=tty)
        assert (completed.stdout.split(), completed.exit_code) == ([b"found"], 0)


@pytest.mark.skip_if_target_windows("the rule for programs without a slash is POSIX's")
@MODES
def test_program_is_found_in_the_path_of_its_own_environment(
    tty: bool, client: SyncClient, python: BoundPython, shell: BoundShell, workspace: Workspace
) -> None:
    for place in ("one", "two words"):
        workspace.write(f"{place}/cx-program", f"#!{client.info.shell.path}\n{shell.echo(place)}\n".encode())
        ask(python, "answer = os.chmod(question, 0o755)", f"{place}/cx-program")
    path = f"{workspace.native('nowhere')}:{workspace.native('two words')}:{workspace.native('one')}"
    completed = client.run(["cx-program"], env={"PATH": path}, tty=tty)
    assert completed.stdout.strip() == b"two words"
    with pytest.raises(RpcError) as refused:
        client.start(["cx-program"], env={"PATH": workspace.path}, tty=tty)
    assert refused.value.code == ErrorCode.INTERNAL_ERROR
