r"""Devices, ``\\.\`` and ``\\?\`` paths, and shares: what is no file is refused in clear words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from executors.protocol.errors import ErrorCode, RpcError
from executors.protocol.path_uri import Convention, PathUri
from fixtures.programs import BoundPython
from fixtures.target import RunningEnvironment
from fixtures.workspace import Workspace
from harness.client.events import OutputEvent
from harness.client.sync import SyncClient
from suites.path.win32 import ask_win32

pytestmark = pytest.mark.skip_unless_target_windows("devices have no names among the files elsewhere")

DEVICE_NAMES = (
    *("CON", "con", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$", "COM1", "COM9", "LPT1"),
    *(
        "COM\u00b9",
        "LPT\u00b3",
        "NUL.txt",
        "con.log",
        "aux.h",
        "COM1.txt",
        "NUL ",
        "COM1 .txt",
        "nul.",
        "NUL:",
    ),
    *("COM0", "COM10", "NULL", "CONS"),
)

_MEANING = """
full = full_path(os.path.join(os.getcwd(), question))
answer = full if full.startswith(chr(92) * 2) else None
"""


@pytest.mark.parametrize("name", DEVICE_NAMES)
def test_device_is_never_read_listed_or_made_a_directory(
    name: str, client: SyncClient, python: BoundPython, workspace: Workspace
) -> None:
    # Reading one could wait for good: for a key, or for a line that is not connected.
    uri = workspace / name
    device = ask_win32(python, _MEANING, name)
    if device is None:
        client.files.write_file(uri, b"a file")
        assert client.files.read_file(uri) == b"a file"
        assert client.files.metadata(uri).is_file
        client.files.remove(uri, force=False)
        assert client.files.read_directory(workspace.uri) == []
        return
    workspace.write("source", b"text")
    calls: dict[str, Callable[[], Any]] = {
        "readFile": lambda: client.files.read_file(uri),
        "open": lambda: client.files.open_read(uri).__enter__(),
        "readDirectory": lambda: client.files.read_directory(uri),
        "createDirectory": lambda: client.files.create_directory(uri, recursive=False),
        "copy-from": lambda: client.files.copy(uri, workspace / "copy"),
        "copy-to": lambda: client.files.copy(workspace / "source", uri),
        "remove": lambda: client.files.remove(uri, force=False),
    }
    assert [call for call in calls if not is_refused(calls[call])] == []
    assert [entry.file_name for entry in client.files.read_directory(workspace.uri)] == ["source"]


def is_refused(call: Callable[[], Any]) -> bool:
    try:
        call()
    except RpcError:
        return True
    return False


def native_uri(native: str) -> PathUri:
    return PathUri.from_native(native, Convention.WINDOWS)


REFUSALS = (ErrorCode.NOT_FOUND, ErrorCode.INVALID_REQUEST, ErrorCode.INTERNAL_ERROR)

NO_FILES = {
    "null": "\\\\.\\NUL",
    "null-by-the-other-prefix": "\\\\?\\NUL",
    "serial-line": "\\\\.\\COM1",
    "serial-line-missing": "\\\\.\\COM77",
    "printer": "\\\\.\\LPT1",
    "console": "\\\\.\\CON",
    "console-input": "\\\\.\\CONIN$",
    "volume-as-a-device": "\\\\.\\C:",
    "volume-by-the-other-prefix": "\\\\?\\C:",
    "disk": "\\\\.\\PhysicalDrive0",
    "disk-missing": "\\\\.\\PhysicalDrive77",
    "pipes": "\\\\.\\pipe\\",
    "pipe-missing": "\\\\.\\pipe\\crossexec-no-such-pipe",
    "mailslot-missing": "\\\\.\\mailslot\\crossexec-no-such-slot",
    "volume-missing": "\\\\?\\Volume{00000000-0000-0000-0000-0000000000ff}\\x",
    "object-missing": "\\\\?\\GLOBALROOT\\Device\\crossexec-no-such-device\\x",
    "nothing": "\\\\?\\",
    "drive-missing": "\\\\?\\Q:\\x",
    "share-missing": "\\\\?\\UNC\\127.0.0.1\\crossexec-no-such-share\\x",
}


@pytest.mark.parametrize("case", NO_FILES)
def test_path_of_no_file_is_refused_by_every_call_that_reads(
    case: str, client: SyncClient, workspace: Workspace
) -> None:
    uri = native_uri(NO_FILES[case])
    for call in (client.files.read_file, client.files.read_directory):
        with pytest.raises(RpcError) as refused:
            call(uri)
        assert refused.value.code in REFUSALS
    with pytest.raises(RpcError):
        client.files.copy(uri, workspace / "copy", recursive=True)
    assert client.files.read_directory(workspace.uri) == []


@pytest.mark.parametrize("case", NO_FILES)
def test_path_of_no_file_is_no_working_directory(case: str, client: SyncClient, python: BoundPython) -> None:
    with pytest.raises(RpcError) as refused:
        client.start(python.argv(""), cwd=native_uri(NO_FILES[case]))
    assert refused.value.code in (ErrorCode.INVALID_PARAMS, ErrorCode.INTERNAL_ERROR)


def test_pipe_is_never_read(client: SyncClient, python: BoundPython, workspace: Workspace) -> None:
    # Its other end says nothing, so that reading would wait for good.
    program = """
import _winapi, sys
pipe = _winapi.CreateNamedPipe(sys.argv[1], 3, 0, 9, 100, 100, 0, 0)
print("made")
sys.stdin.read()
"""
    name = "\\\\.\\pipe\\" + workspace.path.replace("\\", "-")
    process = python.start(program, name, stdin=True)
    next(event for event in process.events(timeout=60) if isinstance(event, OutputEvent))
    for call in (client.files.read_file, client.files.read_directory):
        with pytest.raises(RpcError):
            call(native_uri(name))
    assert process.communicate(b"").exit_code == 0


def test_verbatim_path_is_the_path(workspace: Workspace, client: SyncClient) -> None:
    uri = workspace.write("sub/file", b"text")
    verbatim = native_uri(f"\\\\?\\{uri.to_native('windows')}")
    assert verbatim == uri
    assert client.files.read_file(verbatim) == b"text"


# Within a verbatim path these are names, or none at all, but never steps.
VERBATIM = {
    "dots": "sub\\..\\file",
    "dot": ".\\file",
    "slash": "sub/leaf",
    "device": "NUL",
    "dot-at-end": "file.",
    "blank-at-end": "file ",
}


@pytest.mark.parametrize("case", VERBATIM)
def test_verbatim_path_is_taken_literally(
    case: str, client: SyncClient, python: BoundPython, workspace: Workspace
) -> None:
    workspace.write("file", b"precious")
    workspace.write("sub/leaf", b"precious")
    native = f"\\\\?\\{workspace.path}\\{VERBATIM[case]}"
    uri = native_uri(native)
    assert uri.is_fallback
    assert uri.to_native("windows") == native
    made = ask_win32(python, "answer = attempt(write, question, 'by the system')", native)
    if made is None:
        assert client.files.read_file(uri) == b"by the system"
        client.files.write_file(uri, b"by the client")
        assert ask_win32(python, "answer = open(question).read()", native) == "by the client"
        client.files.remove(uri, force=False)
    else:
        with pytest.raises(RpcError):
            client.files.write_file(uri, b"by the client")
    assert ask_win32(python, "answer = tree(os.getcwd())") == {"file": "precious", "sub\\leaf": "precious"}


def test_volume_by_its_name(client: SyncClient, python: BoundPython, workspace: Workspace) -> None:
    workspace.write("file", b"text")
    code = r"""
    name = text_of(lambda buffer, size: kernel32.GetVolumeNameForVolumeMountPointW("C:\\", buffer, size))
    path = name + os.path.abspath("file")[3:]
    answer = [path, attempt(lambda: open(path).read())]
    """
    path, content = ask_win32(python, code)
    uri = native_uri(path)
    assert uri.is_fallback
    if content == "text":
        assert client.files.read_file(uri) == b"text"
    else:
        with pytest.raises(RpcError):
            client.files.read_file(uri)


SHARES = {
    "address": "\\\\127.0.0.1\\c$\\windows",
    "name": "\\\\localhost\\c$\\windows",
    "address-verbatim": "\\\\?\\UNC\\127.0.0.1\\c$\\windows",
    "share-itself": "\\\\127.0.0.1\\c$",
    "share-missing": "\\\\127.0.0.1\\crossexec-no-such-share",
    "below-a-share-missing": "\\\\127.0.0.1\\crossexec-no-such-share\\x",
}


@pytest.mark.parametrize("case", SHARES)
def test_share_is_there_if_the_system_says_so(
    case: str, env: RunningEnvironment, client: SyncClient, python: BoundPython, workspace: Workspace
) -> None:
    uri = native_uri(SHARES[case])
    code = (
        "answer = attempt(lambda: [os.stat(question) and final_path(question), sorted(os.listdir(question))])"
    )
    system = ask_win32(python, code, SHARES[case])
    if isinstance(system, list):
        assert client.files.metadata(uri).is_directory
        assert client.files.canonicalize(uri).to_native(env.platform) == system[0]
        assert sorted(entry.file_name for entry in client.files.read_directory(uri)) == system[1]
        return
    calls: list[Callable[[PathUri], Any]] = [
        client.files.metadata,
        client.files.canonicalize,
        client.files.read_directory,
        lambda uri: client.files.create_directory(uri, recursive=False),
        lambda uri: client.files.write_file(uri.join("x") if not uri.is_fallback else uri, b""),
    ]
    for call in calls:
        with pytest.raises(RpcError) as refused:
            call(uri)
        assert refused.value.code in (ErrorCode.NOT_FOUND, ErrorCode.INTERNAL_ERROR)
        assert "os error" in refused.value.message
