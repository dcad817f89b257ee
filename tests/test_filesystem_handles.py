"""File handles of a connection: what they read and write, their order and their end."""

from __future__ import annotations

import asyncio
import errno
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from executors.protocol.errors import ErrorCode
from tests.support.file_client import Client, base64, file_size_limit, open_descriptors, run, uri

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="uses FIFOs, /dev/full and /proc")


def test_a_handle_reads_blocks(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"0123456789")

    async def test(client: Client) -> None:
        await client.call("open", handleId="a", path=uri(tmp_path / "file"))
        for offset, length, expected in [
            (0, 4, (b"0123", False)),
            (8, 2, (b"89", False)),
            (8, 3, (b"89", True)),
            (10, 1, (b"", True)),
            (2**63 - 2, 1, (b"", True)),
        ]:
            assert await client.read("a", offset, length) == expected
        for length in (0, (1 << 20) + 1):
            code, message = await client.refused("readBlock", handleId="nope", offset=0, len=length)
            assert (code, message) == (-32600, "file read block length must be between 1 and 1048576")
        for offset, length in [(-1, 1), (2**63 - 1, 1), (2**70, 1), (0, -1)]:
            assert (await client.refused("readBlock", handleId="a", offset=offset, len=length))[0] == -32602
        assert await client.read("a", 9) == (b"9", True)

    run(test)


def test_a_handle_reads_the_file_that_it_opened_while_the_path_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "file"
    size = 3 << 20
    path.write_bytes(b"a" * size)

    async def test(client: Client) -> None:
        await client.call("open", handleId="old", path=uri(path))
        first, _ = await client.read("old", 0)
        (tmp_path / "new").write_bytes(b"b" * size)
        (tmp_path / "new").rename(path)
        await client.call("open", handleId="new", path=uri(path))
        second, _ = await client.read("old", 1 << 20)
        path.unlink()
        third, end = await client.read("old", 2 << 20)
        assert (first + second + third, end) == (b"a" * size, False)
        assert await client.read("old", size) == (b"", True)
        assert (await client.read("new", 0))[0] == b"b" * (1 << 20)

    run(test)


def test_replacing_shows_the_new_content_at_the_end_and_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old content")
    path.chmod(0o751)
    (tmp_path / "link").symlink_to("file")

    async def test(client: Client) -> None:
        await client.call("open", handleId="w", path=uri(tmp_path / "link"), mode="replace")
        await client.write("w", 8, b"end")
        await client.write("w", 0, b"new")
        assert path.read_bytes() == b"old content"
        await client.call("close", handleId="w")
        assert path.read_bytes() == b"new\0\0\0\0\0end"
        assert path.stat().st_mode & 0o7777 == 0o751
        assert sorted(os.listdir(tmp_path)) == ["file", "link"]
        assert (tmp_path / "link").is_symlink()

    run(test)


def test_replacing_makes_a_missing_file_with_the_usual_mode(tmp_path: Path) -> None:
    (tmp_path / "dangling").symlink_to("made")
    (tmp_path / "usual").touch()

    async def test(client: Client) -> None:
        await client.call("open", handleId="w", path=uri(tmp_path / "dangling"), mode="replace")
        await client.call("close", handleId="w")
        assert (tmp_path / "made").read_bytes() == b""
        assert (tmp_path / "made").stat().st_mode == (tmp_path / "usual").stat().st_mode
        assert sorted(os.listdir(tmp_path)) == ["dangling", "made", "usual"]

    run(test)


def test_replacing_a_file_with_hard_links_keeps_them(tmp_path: Path) -> None:
    path, other = tmp_path / "file", tmp_path / "other"
    path.write_bytes(b"old content")
    os.link(path, other)

    async def test(client: Client) -> None:
        await client.call("open", handleId="w", path=uri(path), mode="replace")
        await client.write("w", 0, b"new")
        await client.call("close", handleId="w")
        assert other.read_bytes() == b"new"

    run(test)


def test_a_lost_connection_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old content")

    async def test(client: Client) -> None:
        for handle, name in [("a", "file"), ("b", "missing")]:
            await client.call("open", handleId=handle, path=uri(tmp_path / name), mode="replace")
            await client.write(handle, 0, b"new")
        await client.call("open", handleId="c", path=uri(path))
        assert open_descriptors(tmp_path) == 3
        await client.files.close()
        assert os.listdir(tmp_path) == ["file"]
        assert path.read_bytes() == b"old content"
        assert open_descriptors(tmp_path) == 0
        assert (await client.refused("open", handleId="d", path=uri(path)))[0] == ErrorCode.INVALID_REQUEST

    run(test)


def test_a_connection_lost_before_its_calls_begin_leaks_no_descriptor(tmp_path: Path) -> None:
    """Every call waits behind one that hangs; all are cancelled, as when a connection is lost."""
    os.mkfifo(tmp_path / "fifo")
    path = tmp_path / "file"
    path.write_bytes(b"old content")

    async def test(client: Client) -> None:
        await client.call("open", handleId="early", path=uri(path), mode="replace")
        await client.write("early", 0, b"new")
        stuck = client.workers.submit((tmp_path / "fifo").read_bytes)
        calls = [
            client.start("close", handleId="early"),
            client.start("open", handleId="late", path=uri(path), mode="replace"),
            client.start("open", handleId="reader", path=uri(path)),
            client.start("close", handleId="reader"),
        ]
        for call in calls:
            call.cancel()
        closing = asyncio.ensure_future(client.files.close())
        await asyncio.sleep(0)
        (tmp_path / "fifo").write_bytes(b"")
        await stuck
        await closing
        assert sorted(os.listdir(tmp_path)) == ["fifo", "file"]
        assert path.read_bytes() == b"old content"
        assert open_descriptors(tmp_path) == 0

    run(test, threads=1)


def test_a_failed_write_ends_the_handle_and_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old content")

    async def test(client: Client) -> None:
        await client.call("open", handleId="w", path=uri(path), mode="replace")
        await client.write("w", 0, b"new")
        with file_size_limit(4096):
            code, message = await client.refused("writeBlock", handleId="w", offset=5000, chunk="eA==")
        assert (code, f"(os error {errno.EFBIG})" in message) == (ErrorCode.INTERNAL_ERROR, True)
        assert (await client.refused("writeBlock", handleId="w", offset=0, chunk="eA=="))[0] == -32004
        assert os.listdir(tmp_path) == ["file"]
        assert await client.call("close", handleId="w") == {}
        assert path.read_bytes() == b"old content"
        assert await client.call("open", handleId="w", path=uri(path)) == {"handleId": "w"}

    run(test)


def test_a_block_is_whole_also_where_the_system_reads_in_pieces() -> None:
    async def test(client: Client) -> None:
        await client.call("open", handleId="r", path=uri("/proc/self/smaps"))
        content, end = await client.read("r")
        assert (len(content) > 5000, content[-1:], end) == (True, b"\n", True)

    run(test)


def test_a_device_is_written_in_place() -> None:
    async def test(client: Client) -> None:
        await client.call("open", handleId="w", path=uri("/dev/full"), mode="replace")
        code, message = await client.refused("writeBlock", handleId="w", offset=0, chunk="eA==")
        assert (code, "No space left on device" in message) == (ErrorCode.INTERNAL_ERROR, True)
        assert (await client.refused("writeBlock", handleId="w", offset=0, chunk="eA=="))[0] == -32004

    run(test)


def test_what_cannot_be_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "dangling").symlink_to("no/where")
    (tmp_path / "loop").symlink_to("loop")

    async def test(client: Client) -> None:
        for mode, name, code in [
            ("read", ".", -32600),
            ("read", "fifo", -32600),
            ("read", "missing", -32004),
            ("read", "dangling", -32004),
            ("read", "loop", -32603),
            ("replace", ".", -32603),
            ("replace", "fifo", -32603),
            ("replace", "missing/file", -32004),
            ("replace", "dangling", -32004),
            ("replace", "loop", -32603),
        ]:
            found = await client.refused("open", handleId="a", path=uri(tmp_path / name), mode=mode)
            assert (mode, name, found[0]) == (mode, name, code)
            assert "partial" not in found[1]
        assert (await client.refused("open", handleId="a", path=uri(tmp_path), mode="append"))[0] == -32602
        assert sorted(os.listdir(tmp_path)) == ["dangling", "fifo", "loop"]
        (tmp_path / "file").touch()
        assert await client.call("open", handleId="a", path=uri(tmp_path / "file")) == {"handleId": "a"}

    run(test)


def test_the_ids_of_handles(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x")

    async def test(client: Client) -> None:
        for handle in ("", "x" * 32, "\u00fc" * 16):
            assert await client.call("open", handleId=handle, path=uri(path)) == {"handleId": handle}
            assert await client.read(handle) == (b"x", True)
            code, message = await client.refused("open", handleId=handle, path=uri(path))
            assert (code, "already exists" in message) == (-32600, True)
        for handle in ("x" * 33, "\u00fc" * 17):
            code, message = await client.refused("open", handleId=handle, path=uri(path))
            assert (code, message) == (-32600, "file handle ID must not exceed 32 bytes")
        blocks: dict[str, dict[str, Any]] = {"readBlock": {"len": 1}, "writeBlock": {"chunk": "eA=="}}
        for method, block in blocks.items():
            code, message = await client.refused(method, handleId="nope", offset=0, **block)
            assert (code, "unknown file handle `nope`" in message) == (-32004, True)
        for _ in range(2):
            assert await client.call("close", handleId="") == {}
        assert await client.call("close", handleId="nope") == {}
        assert (await client.refused("readBlock", handleId="", offset=0, len=1))[0] == -32004

    run(test)


def test_a_handle_does_only_what_it_was_opened_for(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x")

    async def test(client: Client) -> None:
        await client.call("open", handleId="r", path=uri(path))
        await client.call("open", handleId="w", path=uri(path), mode="replace")
        assert (await client.refused("readBlock", handleId="w", offset=0, len=1))[0] == -32600
        assert (await client.refused("writeBlock", handleId="r", offset=0, chunk="eA=="))[0] == -32600
        for chunk, code in [("", -32600), ("!!", -32602), (base64(bytes((1 << 20) + 1)), -32600)]:
            assert (await client.refused("writeBlock", handleId="w", offset=0, chunk=chunk))[0] == code
        await client.write("w", 0, bytes(1 << 20))
        assert await client.read("r") == (b"x", True)
        await client.call("close", handleId="w")
        assert path.read_bytes() == bytes(1 << 20)

    run(test)


def test_128_handles_may_be_open(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    async def test(client: Client) -> None:
        opening = [client.start("open", handleId=str(n), path=uri(tmp_path / "file")) for n in range(128)]
        code, message = await client.refused("open", handleId="one more", path=uri(tmp_path / "file"))
        assert (code, "at most 128 file handles" in message) == (-32600, True)
        await asyncio.gather(*opening)
        assert open_descriptors(tmp_path) == 128
        await client.call("close", handleId="5")
        await client.call("open", handleId="one more", path=uri(tmp_path / "file"))
        other = Client(client.workers)
        assert (await other.refused("readBlock", handleId="7", offset=0, len=1))[0] == -32004
        await other.call("open", handleId="7", path=uri(tmp_path / "file"))
        await other.files.close()
        assert open_descriptors(tmp_path) == 128

    run(test)


def test_calls_on_one_handle_keep_their_order(tmp_path: Path) -> None:
    """They are all sent before the first is answered, the opening and closing too."""
    path = tmp_path / "file"

    async def test(client: Client) -> None:
        for last in range(40, 60):
            calls = [client.start("open", handleId="w", path=uri(path), mode="replace")]
            for number in range(last + 1):
                chunk = base64(bytes([number]) * 1000)
                calls.append(client.start("writeBlock", handleId="w", offset=0, chunk=chunk))
            calls.append(client.start("close", handleId="w"))
            await asyncio.gather(*calls)
            assert path.read_bytes() == bytes([last]) * 1000

    run(test)


def test_calls_after_a_pipelined_open_that_fails(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        calls = [
            client.start("open", handleId="r", path=uri(tmp_path / "missing")),
            client.start("readBlock", handleId="r", offset=0, len=1),
            client.start("close", handleId="r"),
        ]
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert [getattr(result, "code", None) for result in results] == [-32004, -32004, None]
        assert "unknown file handle" in str(results[1])

    run(test)


def test_a_call_that_hangs_delays_no_other(tmp_path: Path) -> None:
    """Reading a FIFO stands for a file system that hangs."""
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "file").write_bytes(b"x")

    async def test(client: Client) -> None:
        stuck = [client.workers.submit((tmp_path / "fifo").read_bytes)]
        await client.call("open", handleId="r", path=uri(tmp_path / "file"))
        results = await asyncio.gather(
            *(client.read("r") for _ in range(50)),
            *(client.call("readFile", path=uri(tmp_path / "file")) for _ in range(50)),
        )
        assert results == [(b"x", True)] * 50 + [{"dataBase64": "eA=="}] * 50
        assert not stuck[0].done()
        (tmp_path / "fifo").write_bytes(b"")
        await stuck[0]

    run(test)
