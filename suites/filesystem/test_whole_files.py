"""``fs/readFile`` and ``fs/writeFile``."""

import json
import random

import pytest

from executors.protocol.binary import Base64
from executors.protocol.errors import ErrorCode
from executors.protocol.files import WriteFileParams
from executors.protocol.methods import FS_WRITE_FILE
from executors.protocol.path_uri import PathUri
from fixtures.programs import BoundPython
from fixtures.target import RunningEnvironment
from fixtures.workspace import Workspace
from harness.client.sync import SyncClient
from suites.filesystem.conftest import Link
from suites.filesystem.tools import BELOW_A_FILE, IS_A_DIRECTORY, MEBIBYTE, refusal, sha256, system_sees
from suites.links import needs_links

CONTENTS = {
    "empty": b"",
    "one byte": b"\0",
    "every byte value": bytes(range(256)) * 2,
    "newlines of every kind": b"a\nb\r\nc\rd\n\r",
    "end-of-file character": b"a\x1ab\x04",
    "broken UTF-8": b"\xff\xfe\xc3(\x80",
    "byte order mark": b"\xef\xbb\xbftext",
    "a mebibyte": random.Random(1).randbytes(MEBIBYTE),
    "an odd size": random.Random(2).randbytes(MEBIBYTE + 1),
}


@pytest.mark.parametrize("data", CONTENTS.values(), ids=CONTENTS.keys())
def test_what_is_written_is_there_and_is_read_back(
    client: SyncClient, python: BoundPython, workspace: Workspace, data: bytes
) -> None:
    client.files.write_file(workspace / "f", data)
    found = system_sees(python, workspace / "f")
    assert (found["size"], found["sha256"]) == (len(data), sha256(data))
    assert client.files.read_file(workspace / "f") == data


@pytest.mark.parametrize(
    "old", [b"", b"short", b"much longer than the new one" * 1000], ids=["empty", "shorter", "longer"]
)
def test_the_old_content_is_gone(client: SyncClient, workspace: Workspace, old: bytes) -> None:
    workspace.write("f", old)
    workspace.write("f", b"the new one")
    assert workspace.read("f") == b"the new one"
    assert [entry.file_name for entry in client.files.read_directory(workspace.uri)] == ["f"]


@pytest.mark.skip_if_relayed("in base64 it is more than the 64 MiB that a message through a relay may have")
def test_64_mebibytes_are_read_at_once(client: SyncClient, python: BoundPython, workspace: Workspace) -> None:
    code = """
import hashlib, os
block = os.urandom(1 << 20)
total = hashlib.sha256()
with open("f", "wb") as file:
    for number in range(64):
        piece = b"%08d" % number + block[8:]
        file.write(piece)
        total.update(piece)
print(total.hexdigest())
"""
    expected = python.run(code).text.strip()
    assert sha256(client.files.read_file(workspace / "f")) == expected


@pytest.mark.parametrize("mebibytes", [10, 32])
def test_many_mebibytes_are_written_at_once(
    client: SyncClient, python: BoundPython, workspace: Workspace, mebibytes: int
) -> None:
    data = random.Random(3).randbytes(mebibytes * MEBIBYTE)
    client.files.write_file(workspace / "f", data)
    assert system_sees(python, workspace / "f")["sha256"] == sha256(data)


posix_only = pytest.mark.skip_if_target_windows("no file name there can hold it")

NAMES = [
    pytest.param("with space ", id="trailing space", marks=posix_only),
    pytest.param(" leading space", id="leading space"),
    pytest.param("grüße 日本語 😀", id="unicode"),
    pytest.param("u\u0308 decomposed", id="combining character"),
    pytest.param("100%25%2F", id="percent"),
    pytest.param("a#b;c=d&e+f", id="URI characters"),
    pytest.param("a?b", id="question mark", marks=posix_only),
    pytest.param("a\\b", id="backslash", marks=posix_only),
    pytest.param('a:b|c*<d>"', id="reserved characters", marks=posix_only),
    pytest.param("line\nbreak\t", id="control characters", marks=posix_only),
    pytest.param("-rf", id="option-like"),
    pytest.param("...", id="three dots", marks=posix_only),
    pytest.param("$HOME `x` %PATH%", id="shell words"),
    pytest.param("n" * 255, id="longest"),
]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_taken_as_it_is(
    client: SyncClient, python: BoundPython, workspace: Workspace, name: str
) -> None:
    path = workspace.write(name, b"data")
    assert python.run("import json, os; print(json.dumps(os.listdir()))").text.strip() == json.dumps([name])
    assert [entry.file_name for entry in client.files.read_directory(workspace.uri)] == [name]
    assert client.files.read_file(path) == b"data"


@pytest.mark.parametrize("length", [300, 1000, 3000])
def test_a_long_path_is_as_good_as_a_short_one(client: SyncClient, workspace: Workspace, length: int) -> None:
    path: PathUri = workspace.uri
    for _ in range(length // 100):
        path = path.join("d" * 99)
    client.files.create_directory(path)
    client.files.write_file(path.join("f"), b"deep")
    assert client.files.read_file(path.join("f")) == b"deep"
    assert [entry.file_name for entry in client.files.read_directory(path)] == ["f"]
    assert client.files.metadata(path.join("f")).size == 4
    client.files.remove(workspace / ("d" * 99))
    assert client.files.read_directory(workspace.uri) == []


@pytest.mark.skip_if_target_windows("files there have no permission bits")
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o755], ids=oct)
def test_writing_keeps_the_file_and_its_permissions(
    client: SyncClient, python: BoundPython, workspace: Workspace, mode: int
) -> None:
    path = workspace.write("f", b"old")
    python.run("import os, sys; os.chmod('f', int(sys.argv[1]))", str(mode))
    before = system_sees(python, path)
    client.files.write_file(path, b"new")
    after = system_sees(python, path)
    assert (after["inode"], after["mode"]) == (before["inode"], mode)


@pytest.mark.skip_if_target_windows("files there have no permission bits")
def test_a_new_file_has_the_usual_permissions(python: BoundPython, workspace: Workspace) -> None:
    workspace.write("ours", b"")
    python.run("open('usual', 'w').close()")
    assert system_sees(python, workspace / "ours")["mode"] == system_sees(python, workspace / "usual")["mode"]


def test_every_hard_link_shows_what_was_written(
    client: SyncClient, python: BoundPython, workspace: Workspace
) -> None:
    workspace.write("f", b"old")
    python.run("import os; os.link('f', 'other')")
    client.files.write_file(workspace / "f", b"new")
    assert workspace.read("other") == b"new"


@needs_links
def test_a_link_is_written_through(python: BoundPython, workspace: Workspace, link: Link) -> None:
    workspace.write("f", b"old")
    link("f", "l")
    workspace.write("l", b"new")
    assert workspace.read("f") == workspace.read("l") == b"new"
    assert system_sees(python, workspace / "l")["link"] is True


@needs_links
def test_the_missing_target_of_a_link_is_created(
    python: BoundPython, workspace: Workspace, link: Link
) -> None:
    link("target", "l")
    workspace.write("l", b"new")
    assert workspace.read("target") == b"new"
    assert system_sees(python, workspace / "l")["link"] is True


def test_a_directory_is_no_file(client: SyncClient, workspace: Workspace, env: RunningEnvironment) -> None:
    workspace.write("d/f", b"kept")
    error = refusal(lambda: client.files.read_file(workspace / "d"))
    assert error.code == ErrorCode.INVALID_REQUEST
    assert (
        refusal(lambda: client.files.write_file(workspace / "d", b"x")).code == IS_A_DIRECTORY[env.platform]
    )
    assert workspace.read("d/f") == b"kept"


def test_below_a_file_there_is_nothing(
    client: SyncClient, workspace: Workspace, env: RunningEnvironment
) -> None:
    below = workspace.write("f", b"kept").join("x")
    assert refusal(lambda: client.files.read_file(below)).code == BELOW_A_FILE[env.platform]
    assert refusal(lambda: client.files.write_file(below, b"x")).code == BELOW_A_FILE[env.platform]
    assert workspace.read("f") == b"kept"


@pytest.mark.skip_if_target_windows("there are no FIFOs")
@pytest.mark.parametrize("what", ["read", "write", "open"])
def test_a_fifo_is_refused_at_once(
    client: SyncClient, python: BoundPython, workspace: Workspace, what: str
) -> None:
    python.run("import os; os.mkfifo('fifo')")
    path = workspace / "fifo"

    def attempt() -> None:
        if what == "read":
            client.files.read_file(path)
        elif what == "write":
            client.files.write_file(path, b"x")
        else:
            with client.files.open_read(path):
                pass

    assert refusal(attempt).code in (ErrorCode.INVALID_REQUEST, ErrorCode.INTERNAL_ERROR)


@pytest.mark.parametrize("existing", [True, False], ids=["existing file", "new file"])
@pytest.mark.parametrize("text", ["!!!!", "YQ", "-_-_", "YWJj\\n"], ids=repr)
def test_what_is_no_base64_is_refused_before_the_file_is_touched(
    client: SyncClient, workspace: Workspace, text: str, existing: bool
) -> None:
    if existing:
        workspace.write("f", b"old")
    params = WriteFileParams(str(workspace / "f"), Base64(b'"%b"' % text.encode()))
    error = refusal(lambda: client.call(FS_WRITE_FILE, params))
    assert error.code in (ErrorCode.INVALID_PARAMS, ErrorCode.INVALID_REQUEST)
    assert workspace.exists("f") is existing
    assert not existing or workspace.read("f") == b"old"


@pytest.mark.skip_if_target_windows("who may read is not told by permission bits there")
def test_a_file_that_this_user_may_not_read_is_refused(
    client: SyncClient, python: BoundPython, workspace: Workspace
) -> None:
    path = workspace.write("f", b"secret")
    if python.run("import os; os.chmod('f', 0); print(os.access('f', os.R_OK))").text.strip() == "True":
        pytest.skip("the executor runs as a user who may read everything")
    assert refusal(lambda: client.files.read_file(path)).code == ErrorCode.INVALID_REQUEST
    assert refusal(lambda: client.files.write_file(path, b"x")).code == ErrorCode.INVALID_REQUEST
