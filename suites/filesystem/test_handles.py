"""``fs/open``, ``fs/readBlock``, ``fs/writeBlock`` and ``fs/close``."""

import base64
from collections.abc import Callable

import pytest

from executors.protocol.errors import ErrorCode
from fixtures.programs import BoundPython
from fixtures.target import RunningEnvironment
from fixtures.wire import Wire
from fixtures.workspace import Workspace
from harness.client.sync import SyncClient
from suites.filesystem.conftest import Link
from suites.filesystem.tools import IS_A_DIRECTORY, MEBIBYTE, refusal, system_sees
from suites.links import needs_links
from suites.process.conversation import Conversation


def open_file(talk: Conversation, handle: str, path: object, mode: str = "read") -> None:
    talk.call("fs/open", handleId=handle, path=str(path), mode=mode)


def read(talk: Conversation, handle: str, offset: int, length: int) -> tuple[bytes, bool]:
    block = talk.call("fs/readBlock", handleId=handle, offset=offset, len=length)
    return base64.b64decode(block["chunk"], validate=True), block["eof"]


def post_write(talk: Conversation, handle: str, offset: int, data: bytes) -> int:
    return talk.post("fs/writeBlock", handleId=handle, offset=offset, chunk=base64.b64encode(data).decode())


def write(talk: Conversation, handle: str, offset: int, data: bytes) -> None:
    assert talk.result(post_write(talk, handle, offset, data)) == {}


def close(talk: Conversation, handle: str) -> None:
    assert talk.call("fs/close", handleId=handle) == {}


TEN = b"0123456789"

BLOCKS = [
    (0, 1, b"0", False),
    (0, 10, TEN, False),
    (0, 11, TEN, True),
    (0, MEBIBYTE, TEN, True),
    (3, 4, b"3456", False),
    (9, 1, b"9", False),
    (9, 2, b"9", True),
    (10, 1, b"", True),
    (1000, 1, b"", True),
    (2**40, MEBIBYTE, b"", True),
]


@pytest.mark.parametrize(("offset", "length", "data", "eof"), BLOCKS)
def test_a_block_is_read_at_any_place_and_tells_the_end(
    talk: Conversation, workspace: Workspace, offset: int, length: int, data: bytes, eof: bool
) -> None:
    open_file(talk, "h", workspace.write("f", TEN))
    assert read(talk, "h", offset, length) == (data, eof)
    # Again, and after others: a handle has no position.
    assert read(talk, "h", 0, 2) == (b"01", False)
    assert read(talk, "h", offset, length) == (data, eof)


def test_an_empty_file_is_at_its_end(talk: Conversation, workspace: Workspace) -> None:
    open_file(talk, "h", workspace.write("f", b""))
    assert read(talk, "h", 0, 1) == (b"", True)


def test_the_default_is_to_read(talk: Conversation, workspace: Workspace) -> None:
    path = workspace.write("f", TEN)
    assert talk.call("fs/open", handleId="h", path=str(path)) == {"handleId": "h"}
    assert read(talk, "h", 0, 10) == (TEN, False)


def test_what_a_file_grows_by_can_be_read(
    talk: Conversation, python: BoundPython, workspace: Workspace
) -> None:
    open_file(talk, "h", workspace.write("f", TEN))
    assert read(talk, "h", 0, 20) == (TEN, True)
    python.run("open('f', 'ab').write(b'more')")
    assert read(talk, "h", 5, 20) == (b"56789more", True)


WRITES: dict[str, tuple[list[tuple[int, bytes]], bytes]] = {
    "nothing": ([], b""),
    "one block": ([(0, b"abc")], b"abc"),
    "blocks in order": ([(0, b"abc"), (3, b"def")], b"abcdef"),
    "blocks out of order": ([(3, b"def"), (0, b"abc")], b"abcdef"),
    "a block over another": ([(0, b"abcdef"), (2, b"XY")], b"abXYef"),
    "a gap": ([(5, b"x")], b"\0\0\0\0\0x"),
    "a gap that is filled later": ([(4, b"e"), (1, b"b")], b"\0b\0\0e"),
    "every byte value": ([(0, bytes(range(256)))], bytes(range(256))),
}


@pytest.mark.parametrize(
    "old", [None, b"", b"old content, longer than all of the new ones" * 10], ids=["new", "empty", "old"]
)
@pytest.mark.parametrize(("blocks", "expected"), WRITES.values(), ids=WRITES.keys())
def test_blocks_make_the_new_content(
    talk: Conversation,
    workspace: Workspace,
    client: SyncClient,
    blocks: list[tuple[int, bytes]],
    expected: bytes,
    old: bytes | None,
) -> None:
    if old is not None:
        workspace.write("f", old)
    open_file(talk, "h", workspace / "f", "replace")
    for offset, data in blocks:
        write(talk, "h", offset, data)
    close(talk, "h")
    assert workspace.read("f") == expected
    assert [entry.file_name for entry in client.files.read_directory(workspace.uri)] == ["f"]


@pytest.mark.skip_if_target_windows("files there have no permission bits")
@pytest.mark.parametrize("mode", [0o600, 0o755], ids=oct)
def test_a_replaced_file_keeps_its_permissions(
    talk: Conversation, python: BoundPython, workspace: Workspace, mode: int
) -> None:
    path = workspace.write("f", b"old")
    python.run("import os, sys; os.chmod('f', int(sys.argv[1]))", str(mode))
    open_file(talk, "h", path, "replace")
    write(talk, "h", 0, b"new")
    close(talk, "h")
    found = system_sees(python, path)
    assert (found["mode"], found["size"]) == (mode, 3)


def test_every_hard_link_shows_the_new_content(
    talk: Conversation, python: BoundPython, workspace: Workspace
) -> None:
    path = workspace.write("f", b"old and longer")
    python.run("import os; os.link('f', 'other')")
    open_file(talk, "h", path, "replace")
    write(talk, "h", 0, b"new")
    close(talk, "h")
    assert workspace.read("f") == workspace.read("other") == b"new"


@pytest.mark.parametrize("existing", [True, False], ids=["to a file", "to nothing"])
@needs_links
def test_a_link_is_written_through(
    talk: Conversation, python: BoundPython, workspace: Workspace, link: Link, existing: bool
) -> None:
    if existing:
        workspace.write("f", b"old")
    path = link("f", "l")
    open_file(talk, "h", path, "replace")
    write(talk, "h", 0, b"new")
    close(talk, "h")
    assert workspace.read("f") == b"new"
    assert system_sees(python, path)["link"] is True


@pytest.mark.parametrize("length", [1, MEBIBYTE - 1, MEBIBYTE])
def test_a_block_has_up_to_a_mebibyte(talk: Conversation, workspace: Workspace, length: int) -> None:
    data = (bytes(range(251)) * (MEBIBYTE // 251 + 1))[:length]
    open_file(talk, "w", workspace / "f", "replace")
    write(talk, "w", 0, data)
    close(talk, "w")
    open_file(talk, "r", workspace / "f")
    assert read(talk, "r", 0, length) == (data, False)


LENGTHS = [
    (0, ErrorCode.INVALID_REQUEST),
    (MEBIBYTE + 1, ErrorCode.INVALID_REQUEST),
    (2**63, ErrorCode.INVALID_REQUEST),
    (-1, ErrorCode.INVALID_PARAMS),
]


@pytest.mark.parametrize(("length", "code"), LENGTHS)
def test_a_length_out_of_range_is_refused(
    talk: Conversation, workspace: Workspace, length: int, code: ErrorCode
) -> None:
    open_file(talk, "h", workspace.write("f", TEN))
    assert refusal(lambda: read(talk, "h", 0, length)).code == code
    assert read(talk, "h", 0, 3) == (b"012", False)


@pytest.mark.parametrize("length", [0, MEBIBYTE + 1])
def test_a_block_out_of_range_is_not_written(talk: Conversation, workspace: Workspace, length: int) -> None:
    open_file(talk, "h", workspace / "f", "replace")
    assert refusal(lambda: write(talk, "h", 0, bytes(length))).code == ErrorCode.INVALID_REQUEST
    write(talk, "h", 0, b"good")
    close(talk, "h")
    assert workspace.read("f") == b"good"


@pytest.mark.parametrize("offset", [-1, 2**64, 1.5, "0", None], ids=repr)
def test_an_offset_that_is_no_place_is_refused(
    talk: Conversation, workspace: Workspace, offset: object
) -> None:
    open_file(talk, "h", workspace.write("f", TEN))
    error = refusal(lambda: talk.call("fs/readBlock", handleId="h", offset=offset, len=1))
    assert error.code == ErrorCode.INVALID_PARAMS
    assert "offset" in error.message
    assert read(talk, "h", 0, 3) == (b"012", False)


@pytest.mark.parametrize("mode", ["write", "append", "Read", "", 1], ids=repr)
def test_there_is_no_other_mode(talk: Conversation, workspace: Workspace, mode: object) -> None:
    path = workspace.write("f", b"kept")
    error = refusal(lambda: talk.call("fs/open", handleId="h", path=str(path), mode=mode))
    assert error.code == ErrorCode.INVALID_PARAMS
    assert workspace.read("f") == b"kept"


def test_each_handle_does_what_it_was_opened_for(talk: Conversation, workspace: Workspace) -> None:
    open_file(talk, "r", workspace.write("f", TEN))
    open_file(talk, "w", workspace / "g", "replace")
    expected = (ErrorCode.INVALID_REQUEST, ErrorCode.INTERNAL_ERROR)
    assert refusal(lambda: write(talk, "r", 0, b"x")).code in expected
    assert refusal(lambda: read(talk, "w", 0, 1)).code in expected
    assert read(talk, "r", 0, 20) == (TEN, True)


HANDLE_IDS = {
    "empty": "",
    "32 bytes": "x" * 32,
    "32 bytes of unicode": "é" * 16,
    "odd": 'a/b\n\0 "',
    "dots": "..",
}


@pytest.mark.parametrize("handle", HANDLE_IDS.values(), ids=HANDLE_IDS.keys())
def test_any_string_of_up_to_32_bytes_names_a_handle(
    talk: Conversation, workspace: Workspace, handle: str
) -> None:
    open_file(talk, handle, workspace.write("f", TEN))
    assert read(talk, handle, 0, 2) == (b"01", False)
    close(talk, handle)


@pytest.mark.parametrize(
    "handle", ["x" * 33, "é" * 17, "日" * 11], ids=["33 bytes", "34 bytes", "33 bytes in 11"]
)
def test_a_longer_name_is_refused(talk: Conversation, workspace: Workspace, handle: str) -> None:
    path = workspace.write("f", b"kept")
    assert refusal(lambda: open_file(talk, handle, path, "replace")).code == ErrorCode.INVALID_REQUEST
    assert workspace.read("f") == b"kept"


def test_a_name_in_use_is_refused_and_stays_with_its_file(talk: Conversation, workspace: Workspace) -> None:
    open_file(talk, "h", workspace.write("f", TEN))
    other = workspace.write("g", b"kept")
    for mode in ("read", "replace"):
        assert refusal(open_file, talk, "h", other, mode).code == ErrorCode.INVALID_REQUEST
    assert read(talk, "h", 0, 20) == (TEN, True)
    assert workspace.read("g") == b"kept"


def test_a_name_is_free_after_close_and_after_a_failed_open(talk: Conversation, workspace: Workspace) -> None:
    path = workspace.write("f", TEN)
    assert refusal(lambda: open_file(talk, "h", workspace / "missing")).code == ErrorCode.NOT_FOUND
    for _ in range(3):
        open_file(talk, "h", path)
        close(talk, "h")


def test_close_may_be_repeated(talk: Conversation, workspace: Workspace) -> None:
    open_file(talk, "h", workspace.write("f", TEN))
    for handle in ("h", "h", "never opened"):
        close(talk, handle)


def test_an_unknown_handle_is_not_found(talk: Conversation, workspace: Workspace) -> None:
    open_file(talk, "closed", workspace.write("f", TEN))
    close(talk, "closed")
    for handle in ("closed", "never opened"):
        for error in (refusal(read, talk, handle, 0, 1), refusal(write, talk, handle, 0, b"x")):
            assert error.code == ErrorCode.NOT_FOUND
            assert handle in error.message


@pytest.mark.parametrize("mode", ["read", "replace"])
def test_a_connection_has_128_handles(talk: Conversation, workspace: Workspace, mode: str) -> None:
    workspace.write("f", TEN)
    paths = [workspace / ("f" if mode == "read" else f"f{number}") for number in range(129)]
    for number in range(128):
        open_file(talk, f"h{number}", paths[number], mode)
    error = refusal(lambda: open_file(talk, "one more", paths[128], mode))
    assert error.code == ErrorCode.INVALID_REQUEST
    assert "128" in error.message
    close(talk, "h64")
    open_file(talk, "one more", paths[128], mode)
    for number in range(128):
        close(talk, f"h{number}")
    close(talk, "one more")


def test_a_directory_cannot_be_opened(
    talk: Conversation, workspace: Workspace, env: RunningEnvironment
) -> None:
    path = workspace.mkdir("d")
    assert refusal(lambda: open_file(talk, "h", path)).code == ErrorCode.INVALID_REQUEST
    assert refusal(lambda: open_file(talk, "h", path, "replace")).code == IS_A_DIRECTORY[env.platform]


REPLACE = {
    "moved away, another in its place": "import os; os.rename('f', 'old'); open('f', 'w').write('another')",
    "moved away": "import os; os.rename('f', 'old')",
    "replaced by another": "import os; open('g', 'w').write('another'); os.replace('g', 'f')",
    "removed": "import os; os.remove('f')",
    "removed and made again": "import os; os.remove('f'); open('f', 'w').write('another')",
}


@pytest.mark.parametrize(
    "code",
    [
        pytest.param(code, id=name)
        if name in ("moved away", "moved away, another in its place", "removed")
        else pytest.param(
            code,
            id=name,
            marks=pytest.mark.skip_if_target_windows("an open file may keep its name there"),
        )
        for name, code in REPLACE.items()
    ],
)
def test_a_handle_keeps_the_file_that_it_opened(
    talk: Conversation, python: BoundPython, workspace: Workspace, code: str
) -> None:
    open_file(talk, "h", workspace.write("f", TEN))
    assert read(talk, "h", 0, 5) == (b"01234", False)
    python.run(code)
    assert read(talk, "h", 5, 10) == (b"56789", True)
    close(talk, "h")


@pytest.mark.skip_if_target_windows(
    "an open file keeps its name there, and its content is exchanged in place"
)
def test_a_reader_keeps_the_old_content_while_another_handle_replaces_it(
    talk: Conversation, workspace: Workspace
) -> None:
    path = workspace.write("f", TEN)
    open_file(talk, "r", path)
    assert read(talk, "r", 0, 5) == (b"01234", False)
    open_file(talk, "w", path, "replace")
    write(talk, "w", 0, b"another")
    assert read(talk, "r", 5, 5) == (b"56789", False)
    close(talk, "w")
    assert read(talk, "r", 0, 20) == (TEN, True)
    assert workspace.read("f") == b"another"


def test_two_handles_are_independent(talk: Conversation, workspace: Workspace) -> None:
    one, two = workspace.write("f", TEN), workspace.write("g", TEN[::-1])
    open_file(talk, "1", one)
    open_file(talk, "2", two)
    open_file(talk, "3", one)
    posted = [
        talk.post("fs/readBlock", handleId=handle, offset=offset, len=1)
        for offset in range(10)
        for handle in ("1", "2", "3")
    ]
    data = b"".join(base64.b64decode(talk.result(request)["chunk"]) for request in posted)
    assert (data[0::3], data[1::3], data[2::3]) == (TEN, TEN[::-1], TEN)
    close(talk, "1")
    assert read(talk, "3", 0, 20) == (TEN, True)


def test_the_blocks_of_a_handle_are_written_in_the_order_sent(
    talk: Conversation, workspace: Workspace
) -> None:
    open_file(talk, "h", workspace / "f", "replace")
    posted = [post_write(talk, "h", 0, b"%04d" % number) for number in range(500)]
    posted.append(talk.post("fs/close", handleId="h"))
    for request in posted:
        talk.result(request)
    assert workspace.read("f") == b"0499"


def test_a_whole_file_is_written_and_read_without_waiting_for_a_reply(
    talk: Conversation, workspace: Workspace
) -> None:
    path = str(workspace / "f")
    posted = [talk.post("fs/open", handleId="h", path=path, mode="replace")]
    posted += [post_write(talk, "h", number * 3, b"%03d" % number) for number in range(100)]
    posted.append(talk.post("fs/close", handleId="h"))
    for request in posted:
        talk.result(request)
    opened = talk.post("fs/open", handleId="h", path=path)
    block = talk.post("fs/readBlock", handleId="h", offset=0, len=1000)
    closed = talk.post("fs/close", handleId="h")
    late = talk.post("fs/readBlock", handleId="h", offset=0, len=1000)
    talk.result(opened)
    expected = b"".join(b"%03d" % number for number in range(100))
    assert base64.b64decode(talk.result(block)["chunk"]) == expected
    talk.result(closed)
    assert refusal(lambda: talk.result(late)).code == ErrorCode.NOT_FOUND


def test_handles_belong_to_their_connection(
    talk: Conversation, open_wire: Callable[[], Wire], workspace: Workspace
) -> None:
    opened = open_wire()
    opened.handshake()
    other = Conversation(opened, workspace.uri)
    open_file(talk, "h", workspace.write("f", TEN))
    assert refusal(lambda: read(other, "h", 0, 1)).code == ErrorCode.NOT_FOUND
    open_file(other, "h", workspace.write("g", b"other"))
    assert read(other, "h", 0, 5) == (b"other", False)
    close(other, "h")
    assert read(talk, "h", 0, 20) == (TEN, True)


def test_handles_end_with_their_connection(
    open_wire: Callable[[], Wire], python: BoundPython, workspace: Workspace
) -> None:
    opened = open_wire()
    opened.handshake()
    other = Conversation(opened, workspace.uri)
    path = workspace.write("f", b"old")
    open_file(other, "h", path, "replace")
    write(other, "h", 0, b"unfinished")
    opened.close()
    # What was in the making goes away, and the file is whole: the old one or what was written.
    python.run("import os, time\nwhile os.listdir() != ['f']: time.sleep(0.01)")
    assert workspace.read("f") in (b"old", b"unfinished")
    python.run("import os; os.rename('f', 'g'); os.remove('g')")
