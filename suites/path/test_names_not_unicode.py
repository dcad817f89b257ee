"""File names of bytes that are no UTF-8: on POSIX a name is bytes, and all of them count."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from executors.protocol.errors import RpcError
from executors.protocol.path_uri import PathUri
from fixtures.programs import BoundPython
from fixtures.workspace import Workspace
from harness.client.sync import SyncClient
from suites.asking import ask

pytestmark = pytest.mark.skip_if_target_windows("names there are UTF-16, not bytes")

NAMES = {
    "one-byte": b"\xff",
    "latin-1": b"caf\xe9.txt",
    "utf-16": b"\xfe\xffa",
    "emoji-cut-short": b"\xf0\x9f\x9a",
    "overlong-slash": b"\xc0\xaf",
    "encoded-surrogate": b"\xed\xa0\x80",
    "shift-jis-backslash": b"\x83\x5c",
    "beyond-unicode": b"\xf4\x90\x80\x80",
    "with-percent-and-question-mark": b"100%\xff?#",
    "lossy-twin": "\ufffd".encode() + b"\xff",
}


@dataclass
class Named:
    """A file that the system made, or its refusal to.

    :ivar text: the name as ``os.fsdecode`` gives it on POSIX.
    """

    name: bytes
    text: str
    uri: PathUri
    is_possible: bool


@pytest.fixture(params=NAMES)
def named(request: pytest.FixtureRequest, python: BoundPython, workspace: Workspace) -> Named:
    name = NAMES[request.param]
    text = name.decode("utf-8", "surrogateescape")
    make = """
        try:
            with open(os.fsencode(question), "xb") as file:
                file.write(b"by the system")
            answer = True
        except OSError:
            answer = False
    """
    return Named(name, text, workspace / text, ask(python, make, text))


def refused_or(named: Named, call: Any, *args: Any) -> Any:
    """Returns what the call does; skips where neither the system nor the executor takes the name."""
    if named.is_possible:
        return call(*args)
    with pytest.raises(RpcError):
        call(*args)
    pytest.skip(f"the file system there refuses the name {named.name!r}, and so does the executor")


def test_file_is_read(named: Named, client: SyncClient) -> None:
    assert refused_or(named, client.files.read_file, named.uri) == b"by the system"


def test_file_is_written(named: Named, client: SyncClient, python: BoundPython) -> None:
    refused_or(named, client.files.write_file, named.uri, b"by the client")
    look = """
        answer = {os.fsdecode(name): open(name).read() for name in os.listdir(b".")}
    """
    assert ask(python, look) == {named.text: "by the client"}


def test_directory_tells_an_exact_name(named: Named, client: SyncClient, workspace: Workspace) -> None:
    (entry,) = refused_or(named, client.files.read_directory, workspace.uri)
    assert (entry.is_file, entry.is_directory) == (True, False)
    assert entry.file_name == named.name.decode("utf-8", "replace")
    assert entry.path is not None, "the name as text is not the name"
    assert PathUri.parse(entry.path) == named.uri
    assert client.files.read_file(entry.path) == b"by the system"


def test_walk_tells_an_exact_path(named: Named, client: SyncClient, workspace: Workspace) -> None:
    walked = refused_or(named, client.files.walk, workspace.uri)
    assert [(entry.path, entry.kind) for entry in walked.entries] == [(str(named.uri), "file")]
    assert walked.errors == []


def test_canonical_path_keeps_the_bytes(named: Named, client: SyncClient) -> None:
    canonical = refused_or(named, client.files.canonicalize, named.uri)
    assert canonical == named.uri
    assert canonical.to_native("linux").encode("utf-8", "surrogateescape").endswith(b"/" + named.name)


def test_file_is_copied_and_removed(
    named: Named, client: SyncClient, python: BoundPython, workspace: Workspace
) -> None:
    refused_or(named, client.files.copy, named.uri, workspace / f"copy-{named.text}")
    client.files.remove(named.uri, force=False)
    listing = ask(python, "answer = [os.fsdecode(name) for name in os.listdir(b'.')]")
    assert listing == [f"copy-{named.text}"]


def test_program_runs_in_such_a_directory(
    named: Named, client: SyncClient, python: BoundPython, workspace: Workspace
) -> None:
    place = workspace / f"d-{named.text}"
    refused_or(named, client.files.create_directory, place)
    assert ask(python, "answer = os.fsdecode(os.path.basename(os.getcwdb()))", cwd=place) == f"d-{named.text}"
