"""The executor's word against the disk: what it wrote is there, what is there it reads.

Only an environment whose files this machine can see past the executor has a host view.
"""

from __future__ import annotations

import os

import pytest

from executors.protocol.path_uri import Convention, PathUri
from fixtures.target import RunningEnvironment
from fixtures.workspace import Workspace
from harness.client.sync import SyncClient
from harness.environments import HostView

# Names that a file can have on every system.
NAMES = {
    "plain": "plain.txt",
    "case": "MiXed.TXT",
    "blanks": "two  words",
    "percent": "100%41",
    "hash": "a#b;c&d=e",
    "quotes": "it's",
    "composed": "caf\u00e9",
    "decomposed": "cafe\u0301",
    "cjk": "日本語",
    "emoji": "👩\u200d👧",
    "hebrew": "שלום",
    "control": "a\x7fb",
    "private-use": "\ue000",
    "dots": "..a..b",
    "hidden": ".hidden",
    "long": "n" * 255,
}

CONTENTS = {
    "empty": b"",
    "text": b"text\n",
    "line-ends": b"a\r\nb\nc\rd\n\r",
    "end-of-file-key": b"a\x1ab\x1a",
    "every-byte": bytes(range(256)),
    "not-utf-8": b"\xff\xfe\x00\xd8",
    "large": bytes(range(256)) * 8192,
}


@pytest.fixture
def view(env: RunningEnvironment) -> HostView:
    if env.host_view is None:
        pytest.skip(f"this machine cannot see the files of {env.name} but through the executor")
    return env.host_view


@pytest.mark.parametrize("case", NAMES)
def test_name_is_the_same_on_the_disk(
    case: str, client: SyncClient, view: HostView, workspace: Workspace
) -> None:
    name = NAMES[case]
    uri = workspace.write(f"ours/{name}", b"by the client")
    ours = view.host_path(workspace / "ours")
    assert os.listdir(ours) == [name]
    assert (ours / name).read_bytes() == b"by the client"
    assert view.uri(ours / name) == uri == client.files.canonicalize(uri)

    theirs = view.host_path(workspace.mkdir("theirs"))
    (theirs / name).write_bytes(b"by the host")
    assert [entry.file_name for entry in client.files.read_directory(workspace / "theirs")] == [name]
    assert workspace.read(f"theirs/{name}") == b"by the host"
    client.files.remove(workspace / f"theirs/{name}", force=False)
    assert os.listdir(theirs) == []


@pytest.mark.parametrize("case", CONTENTS)
def test_content_is_the_same_on_the_disk(
    case: str, client: SyncClient, view: HostView, workspace: Workspace
) -> None:
    data = CONTENTS[case]
    assert view.host_path(workspace.write("ours", data)).read_bytes() == data
    client.files.write_stream(workspace / "blocks", [data])
    assert view.host_path(workspace / "blocks").read_bytes() == data
    client.files.copy(workspace / "ours", workspace / "copy")
    assert view.host_path(workspace / "copy").read_bytes() == data

    view.host_path(workspace / "theirs").write_bytes(data)
    assert workspace.read("theirs") == data
    assert client.files.metadata(workspace / "theirs").size == len(data)
    assert b"".join(client.files.stream(workspace / "theirs")) == data


def test_tree_is_the_same_on_the_disk(client: SyncClient, view: HostView, workspace: Workspace) -> None:
    for name in ("a/b/c/leaf", "a/b/other"):
        workspace.write(name, name.encode())
    workspace.mkdir("a/empty")
    root = view.host_path(workspace.uri)
    on_disk = sorted(str(view.uri(path)) for path in root.rglob("*"))
    assert on_disk == sorted(entry.path for entry in client.files.walk(workspace.uri).entries)
    client.files.remove(workspace / "a", force=False)
    assert os.listdir(root) == []


def test_times_are_those_of_the_disk(client: SyncClient, view: HostView, workspace: Workspace) -> None:
    uri = workspace.write("file", b"text")
    os.utime(view.host_path(uri), (1_000_000_000, 1_234_567_890.5))
    assert client.files.metadata(uri).modified_at_ms == 1_234_567_890_500


def test_what_the_host_removes_is_gone(client: SyncClient, view: HostView, workspace: Workspace) -> None:
    uri = workspace.write("file", b"text")
    assert workspace.exists("file")
    view.host_path(uri).unlink()
    assert not workspace.exists("file")
    assert client.files.read_directory(workspace.uri) == []


@pytest.mark.skip_unless_target_windows("elsewhere there is one tree of files")
@pytest.mark.parametrize(
    "native",
    [
        "\\\\server\\share\\x",
        "Q:\\x",
        "\\\\.\\COM1",
        "\\\\?\\Volume{00000000-0000-0000-0000-000000000000}\\x",
    ],
)
def test_path_beyond_what_the_host_sees_has_no_place_there(native: str, view: HostView) -> None:
    with pytest.raises(ValueError, match="host sees"):
        view.host_path(PathUri.from_native(native, Convention.WINDOWS))
