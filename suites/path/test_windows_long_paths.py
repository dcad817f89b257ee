"""The lengths around Windows' old limits: 248 for directories, 260 for files, 255 for a name."""

from __future__ import annotations

import pytest

from executors.protocol.errors import RpcError
from fixtures.programs import BoundPython
from fixtures.target import RunningEnvironment
from fixtures.workspace import Workspace
from harness.client.sync import SyncClient
from suites.path.win32 import ask_win32

pytestmark = pytest.mark.skip_unless_target_windows("the limits are others elsewhere")

# Of the whole native path, in UTF-16 units.
LENGTHS = (240, 247, 248, 259, 260, 261, 300)


def of_length(workspace: Workspace, length: int, fill: str = "n") -> str:
    """A name, or several, so that the native path has *length* units."""
    rest = length - len(workspace.path) - 1
    names = []
    while rest > 200:
        names.append(fill * 100)
        rest -= 101
    return "/".join([*names, fill * rest])


@pytest.mark.parametrize("length", LENGTHS)
def test_file_of_that_length(
    length: int, env: RunningEnvironment, client: SyncClient, python: BoundPython, workspace: Workspace
) -> None:
    uri = workspace.write(of_length(workspace, length), b"text")
    native = uri.to_native(env.platform)
    assert len(native) == length
    code = "answer = [open(exactly(question)).read(), found_name(exactly(question))]"
    assert ask_win32(python, code, native) == ["text", uri.basename]
    assert client.files.canonicalize(uri) == uri
    assert client.files.read_file(uri) == b"text"
    client.files.copy(uri, workspace / "copy")
    client.files.remove(uri, force=False)
    assert workspace.read("copy") == b"text"
    assert ask_win32(python, "answer = attributes(exactly(question))", native) is None


@pytest.mark.parametrize("length", LENGTHS)
def test_directory_of_that_length(
    length: int, env: RunningEnvironment, client: SyncClient, python: BoundPython, workspace: Workspace
) -> None:
    place = workspace.mkdir(of_length(workspace, length))
    code = "write(exactly(question) + '\\\\leaf', 'text'); answer = attributes(exactly(question)) & 16"
    assert ask_win32(python, code, place.to_native(env.platform)) == 16
    assert [entry.file_name for entry in client.files.read_directory(place)] == ["leaf"]
    assert client.files.read_file(place.join("leaf")) == b"text"
    assert [entry.path for entry in client.files.walk(place).entries] == [str(place.join("leaf"))]
    client.files.remove(place, force=False)
    assert ask_win32(python, "answer = attributes(exactly(question))", place.to_native(env.platform)) is None


@pytest.mark.parametrize("length", [200, 300, 900])
@pytest.mark.parametrize("end", [".", " ", ". ."], ids=["dot", "blank", "dots"])
def test_end_that_counts_for_nothing_does_so_at_any_length(
    end: str, length: int, client: SyncClient, python: BoundPython, workspace: Workspace
) -> None:
    text = of_length(workspace, length)
    workspace.write(text, b"text")
    client.files.write_file(workspace / (text + end), b"again")
    assert list(ask_win32(python, "answer = tree(os.getcwd())").values()) == ["again"]
    assert client.files.canonicalize(workspace / (text + end)) == workspace / text
    client.files.remove(workspace / (text + end), force=False)
    assert not workspace.exists(text)


@pytest.mark.parametrize("length", [200, 300])
def test_device_is_one_at_any_length(length: int, client: SyncClient, workspace: Workspace) -> None:
    place = workspace.mkdir(of_length(workspace, length))
    with pytest.raises(RpcError):
        client.files.create_directory(place.join("NUL"), recursive=False)
    with pytest.raises(RpcError):
        client.files.read_file(place.join("NUL"))
    assert client.files.read_directory(place) == []


@pytest.mark.parametrize("count", [254, 255, 256])
@pytest.mark.parametrize("char", ["n", "é", "日", "🚀"], ids=["ascii", "latin", "cjk", "emoji"])
def test_name_of_that_many_units(
    char: str, count: int, client: SyncClient, python: BoundPython, workspace: Workspace
) -> None:
    units = len(char.encode("utf-16-le")) // 2
    name = char * (count // units) + "x" * (count % units)
    code = """
        place = os.path.join(os.getcwd(), "theirs")
        os.mkdir(place)
        answer = [attempt(write, exactly(os.path.join(place, question)), "text"), os.listdir(place)]
    """
    refused, listing = ask_win32(python, code, name)
    ours = workspace.mkdir("ours")
    if refused is None:
        client.files.write_file(ours.join(name), b"text")
        assert client.files.read_file(workspace / f"theirs/{name}") == b"text"
    else:
        with pytest.raises(RpcError):
            client.files.write_file(ours.join(name), b"text")
    assert [entry.file_name for entry in client.files.read_directory(ours)] == listing


@pytest.mark.parametrize("length", [1000, 3800])
def test_deep_directory_is_seen_from_both_sides(
    length: int, env: RunningEnvironment, client: SyncClient, python: BoundPython, workspace: Workspace
) -> None:
    place = workspace.mkdir(of_length(workspace, length, "d"))
    client.files.write_file(place.join("leaf"), b"by the client")
    code = """
        place = exactly(question) + chr(92)
        answer = open(place + "leaf").read()
        write(place + "other", "by the system")
    """
    assert ask_win32(python, code, place.to_native(env.platform)) == "by the client"
    assert client.files.read_file(place.join("other")) == b"by the system"
    assert client.files.canonicalize(place.join("other")) == place.join("other")
