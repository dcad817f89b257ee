"""Paths longer than the limits that old calls have: 260 on Windows, 1,024 on macOS, 4,096 on Linux."""

from __future__ import annotations

import pytest

from executors.protocol.errors import RpcError
from fixtures.programs import BoundPython
from fixtures.workspace import Workspace
from harness.client.sync import SyncClient
from suites.asking import ask
from suites.path.directories import is_too_long_to_start_in

# Lengths below the workspace; the parts are short enough for every file system.
_BEYOND_WINE = pytest.mark.known_gap(
    env="wine-exec",
    owner="wine",
    version="8.0",
    reason="CreateDirectoryW fails with ERROR_GEN_FAILURE where the path of the Unix file has more "
    "than PATH_MAX, 4,096 bytes; Windows takes 32,767 characters",
)
LENGTHS = (150, 260, 400, 1100, 2500, *(pytest.param(length, marks=_BEYOND_WINE) for length in (4096, 6000)))
_PART = 100

# Step by step on POSIX, where no call takes such a path at once; on Windows with the prefix for it.
_ENTER = r"""
    def enter(base, names, make=False):
        if os.name == "nt":
            for count in range(1, len(names) + 1) if make else ():
                os.mkdir("\\\\?\\" + "\\".join([base, *names[:count]]))
            return "\\\\?\\" + "\\".join([base, *names])
        os.chdir(base)
        for name in names:
            if make:
                os.mkdir(name)
            os.chdir(name)
        return "."
"""


def parts(length: int) -> list[str]:
    """Names that take *length* characters together with a separator before each."""
    names = [f"{number:03}-".ljust(_PART - 1, "p") for number in range(length // _PART)]
    rest = length - _PART * len(names)
    return [*names, "r" * (rest - 1)] if rest > 1 else names


@pytest.mark.parametrize("length", LENGTHS)
def test_client_makes_what_the_system_sees(
    length: int, client: SyncClient, python: BoundPython, workspace: Workspace
) -> None:
    names = parts(length)
    place = workspace.uri.join("/".join(names))
    client.files.create_directory(place)
    client.files.write_file(place.join("leaf"), b"by the client")
    with client.files.open_replace(place.join("in-blocks")) as handle:
        handle.write_block(0, b"in blocks")
    read = f"""{_ENTER}
    place = enter(question["base"], question["names"])
    answer = {{name: open(os.path.join(place, name)).read() for name in os.listdir(place)}}
    """
    found = ask(python, read, {"base": workspace.path, "names": names})
    assert found == {"leaf": "by the client", "in-blocks": "in blocks"}


@pytest.mark.parametrize("length", LENGTHS)
def test_client_sees_what_the_system_makes(
    length: int, client: SyncClient, python: BoundPython, workspace: Workspace
) -> None:
    names = parts(length)
    make = f"""{_ENTER}
    place = enter(question["base"], question["names"], make=True)
    with open(os.path.join(place, "leaf"), "x") as file:
        answer = file.write("by the system")
    """
    ask(python, make, {"base": workspace.path, "names": names})
    place = workspace.uri.join("/".join(names))
    leaf = place.join("leaf")
    assert client.files.read_file(leaf) == b"by the system"
    assert client.files.metadata(leaf).size == len(b"by the system")
    assert [entry.file_name for entry in client.files.read_directory(place)] == ["leaf"]
    with client.files.open_read(leaf) as handle:
        assert handle.read_block(3, 3).data == b"the"
    walked = client.files.walk(workspace.uri)
    assert walked.errors == []
    assert [entry.path for entry in walked.entries if entry.kind == "file"] == [str(leaf)]


@pytest.mark.parametrize("length", LENGTHS)
def test_canonical_path_is_the_path(length: int, client: SyncClient, workspace: Workspace) -> None:
    place = workspace.mkdir("/".join(parts(length)))
    assert client.files.canonicalize(place) == place


@pytest.mark.parametrize("length", LENGTHS)
def test_client_copies_and_removes(
    length: int, client: SyncClient, python: BoundPython, workspace: Workspace
) -> None:
    deep = "/".join(parts(length))
    source, copy = workspace.mkdir(f"source/{deep}"), workspace / f"copy/{deep}"
    client.files.write_file(source.join("leaf"), b"text")
    client.files.copy(workspace / "source", workspace / "copy", recursive=True)
    assert client.files.read_file(copy.join("leaf")) == b"text"
    workspace.write("small/leaf", b"below")
    client.files.copy(workspace / "small", copy.join("small"), recursive=True)
    assert client.files.read_file(copy.join("small/leaf")) == b"below"
    client.files.remove(workspace / "small", force=False)
    client.files.remove(source.join("leaf"), force=False)
    assert client.files.read_directory(source) == []
    client.files.remove(workspace / "source", force=False)
    assert ask(python, "answer = os.listdir('.')") == ["copy"]


@pytest.mark.parametrize("length", LENGTHS)
def test_program_starts_there_or_is_refused(
    length: int, client: SyncClient, python: BoundPython, workspace: Workspace
) -> None:
    place = workspace.mkdir("/".join(parts(length)))
    enter = """
        try:
            os.chdir(question)
            answer = True
        except OSError:
            answer = False
    """
    if not is_too_long_to_start_in(place) and ask(python, enter, place.render()):
        assert ask(python, "answer = os.path.basename(os.getcwd())", cwd=place) == place.basename
    else:
        with pytest.raises(RpcError):
            client.start(python.argv(""), cwd=place)
