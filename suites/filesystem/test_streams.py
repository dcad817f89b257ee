"""Files of many blocks, read and written with several blocks in flight."""

import hashlib
import random
from collections.abc import Iterator

import pytest

from fixtures.programs import BoundPython
from fixtures.workspace import Workspace
from harness.client.sync import SyncClient
from suites.filesystem.tools import MEBIBYTE, sha256, system_sees

MAKE = """
import hashlib, os, sys
block = os.urandom(1 << 20)
total = hashlib.sha256()
left = int(sys.argv[1])
with open("f", "wb") as file:
    while left:
        piece = (b"%016d" % left + block[16:])[:left]
        file.write(piece)
        total.update(piece)
        left -= len(piece)
print(total.hexdigest())
"""

SIZES = [0, 1, MEBIBYTE - 1, MEBIBYTE, MEBIBYTE + 1, 5 * MEBIBYTE + 12345, 64 * MEBIBYTE]


@pytest.mark.parametrize("size", SIZES)
def test_a_file_is_streamed_from_the_environment(
    client: SyncClient, python: BoundPython, workspace: Workspace, size: int
) -> None:
    expected = python.run(MAKE, str(size)).text.strip()
    received = hashlib.sha256()
    count = 0
    for block in client.files.stream(workspace / "f"):
        received.update(block)
        count += len(block)
    assert (count, received.hexdigest()) == (size, expected)


def pieces(size: int, length: int, total: "hashlib._Hash") -> Iterator[bytes]:
    block = random.Random(size).randbytes(length)
    while size:
        piece = (size.to_bytes(16, "big") + block[16:])[:size]
        total.update(piece)
        size -= len(piece)
        yield piece


@pytest.mark.parametrize("size", SIZES)
def test_a_file_is_streamed_into_the_environment(
    client: SyncClient, python: BoundPython, workspace: Workspace, size: int
) -> None:
    total = hashlib.sha256()
    written = client.files.write_stream(workspace / "f", pieces(size, 700_000, total))
    found = system_sees(python, workspace / "f")
    assert (written, found["size"], found["sha256"]) == (size, size, total.hexdigest())


@pytest.mark.parametrize(
    "code",
    [
        pytest.param(
            "import os; os.rename('f', 'old'); open('f', 'wb').write(bytes(1 << 24))", id="moved away"
        ),
        pytest.param(
            "import os; open('g', 'wb').write(bytes(1 << 24)); os.replace('g', 'f')",
            id="replaced",
            marks=pytest.mark.skip_if_target_windows("an open file keeps its name there"),
        ),
    ],
)
def test_a_stream_goes_on_though_the_path_leads_to_another_file(
    client: SyncClient, python: BoundPython, workspace: Workspace, code: str
) -> None:
    expected = python.run(MAKE, str(16 * MEBIBYTE)).text.strip()
    received = hashlib.sha256()
    for number, block in enumerate(client.files.stream(workspace / "f")):
        received.update(block)
        if number == 2:
            python.run(code)
    assert received.hexdigest() == expected
    assert client.files.metadata(workspace / "f").size == 1 << 24


def test_two_streams_at_once_do_not_mix(client: SyncClient, workspace: Workspace) -> None:
    data = {name: random.Random(name).randbytes(4 * MEBIBYTE + 7) for name in ("f", "g")}
    for name, content in data.items():
        workspace.write(name, content)
    streams = {name: client.files.stream(workspace / name) for name in data}
    received = {name: b"" for name in data}
    for _ in range(5):
        for name, stream in streams.items():
            received[name] += next(stream)
    assert {name: sha256(content) for name, content in received.items()} == {
        name: sha256(content) for name, content in data.items()
    }


def test_a_stream_may_be_left_early(client: SyncClient, workspace: Workspace) -> None:
    path = workspace.write("f", bytes(8 * MEBIBYTE))
    # More often than there are handles.
    for _ in range(130):
        for block in client.files.stream(path):
            assert len(block) == MEBIBYTE
            break
    assert client.files.read_file(path) == bytes(8 * MEBIBYTE)
