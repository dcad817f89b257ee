"""Alternate data streams: ``file:name`` is a part of the file on Windows and no file of its own.

The rules are those of Microsoft's "File Streams".
"""

from __future__ import annotations

import pytest

from executors.protocol.errors import RpcError
from fixtures.programs import BoundPython
from fixtures.workspace import Workspace
from harness.client.sync import SyncClient
from suites.path.win32 import ask_win32

pytestmark = pytest.mark.skip_unless_target_windows("a colon is a character like any other elsewhere")

no_streams = pytest.mark.known_gap(
    env="wine-exec",
    owner="wine",
    version="8.0",
    reason="there are no streams: open(r'C:\\x\\file:stream', 'w') makes a file of that name",
)


def listed(client: SyncClient, workspace: Workspace) -> list[str]:
    return [entry.file_name for entry in client.files.read_directory(workspace.uri)]


@pytest.mark.parametrize("stream", ["name", "two words", "name:$DATA", "Zone.Identifier", "é"])
def test_stream_is_written_and_read(
    stream: str, client: SyncClient, python: BoundPython, workspace: Workspace
) -> None:
    workspace.write("file", b"main")
    client.files.write_file(workspace / f"file:{stream}", b"side")
    assert ask_win32(python, "answer = open(os.path.abspath(question)).read()", f"file:{stream}") == "side"
    assert client.files.read_file(workspace / f"file:{stream}") == b"side"
    assert workspace.read("file") == b"main"


@pytest.mark.parametrize("stream", ["name", "Zone.Identifier"])
def test_stream_of_the_system_is_read(
    stream: str, client: SyncClient, python: BoundPython, workspace: Workspace
) -> None:
    code = "write('file', 'main'); answer = write(os.path.abspath(question), 'side')"
    ask_win32(python, code, f"file:{stream}")
    uri = workspace / f"file:{stream}"
    assert client.files.read_file(uri) == b"side"
    assert client.files.metadata(uri).size == len(b"side")
    with client.files.open_read(uri) as handle:
        assert handle.read_block(0, 9).data == b"side"
    assert workspace.read("file") == b"main"


@no_streams
def test_stream_is_listed_nowhere(client: SyncClient, python: BoundPython, workspace: Workspace) -> None:
    workspace.write("file", b"main")
    client.files.write_file(workspace / "file:name", b"side")
    assert ask_win32(python, "answer = os.listdir('.')") == ["file"]
    assert listed(client, workspace) == ["file"]
    assert [entry.path for entry in client.files.walk(workspace.uri).entries] == [str(workspace / "file")]


@no_streams
def test_main_stream_is_the_file(client: SyncClient, workspace: Workspace) -> None:
    workspace.write("file", b"main")
    assert client.files.read_file(workspace / "file::$DATA") == b"main"
    client.files.write_file(workspace / "file::$DATA", b"changed")
    assert workspace.read("file") == b"changed"


@no_streams
def test_stream_makes_its_file(client: SyncClient, workspace: Workspace) -> None:
    client.files.write_file(workspace / "new:name", b"side")
    assert workspace.read("new") == b""


@no_streams
def test_streams_go_with_their_file(client: SyncClient, workspace: Workspace) -> None:
    workspace.write("file", b"main")
    client.files.write_file(workspace / "file:name", b"side")
    client.files.remove(workspace / "file", force=False)
    with pytest.raises(RpcError):
        client.files.read_file(workspace / "file:name")


def test_file_stays_when_its_stream_goes(
    client: SyncClient, python: BoundPython, workspace: Workspace
) -> None:
    workspace.write("file", b"main")
    client.files.write_file(workspace / "file:name", b"side")
    client.files.remove(workspace / "file:name", force=False)
    assert ask_win32(python, "answer = tree(os.getcwd())") == {"file": "main"}
    with pytest.raises(RpcError):
        client.files.read_file(workspace / "file:name")


def test_stream_of_a_file_with_a_name_of_one_letter(client: SyncClient, workspace: Workspace) -> None:
    # As text, f:name would be relative to drive F; in a URI nothing is.
    uri = f"{workspace.write('f', b'main')}:name"
    client.files.write_file(uri, b"side")
    assert client.files.read_file(uri) == b"side"
    assert workspace.read("f") == b"main"
