"""``fs/*`` by path, as a connection gets it: paths, sandbox intents, errors and replies."""

from __future__ import annotations

import os
import sys
from inspect import isawaitable
from pathlib import Path
from typing import Any

import pytest

from executors.filesystem.mounts import all_local
from executors.protocol.errors import ErrorCode
from tests.support.file_client import Client, base64, file_size_limit, run, uri
from tests.support.intents import intent

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="uses FIFOs, /dev/full and /proc")


@pytest.mark.parametrize(
    ("path", "code", "message"),
    [
        ("", ErrorCode.INVALID_PARAMS, "relative URL without a base"),
        ("/etc/passwd", ErrorCode.INVALID_PARAMS, "relative URL without a base"),
        ("http://x/y", ErrorCode.INVALID_PARAMS, "'http'"),
        ("file:///tmp?x=1", ErrorCode.INVALID_PARAMS, "query"),
        ("file:///tmp#x", ErrorCode.INVALID_PARAMS, "fragment"),
        ("file:///tmp%00x", ErrorCode.INVALID_PARAMS, "%00"),
        ("file:///%00/bad/path/L3RtcC9udWxsLQAt_y1ieXRl", -32602, "can hold a NUL"),
        ("file:///C:/windows", ErrorCode.INVALID_REQUEST, "'file:///C:/windows' is invalid on 'linux'"),
        ("file://server/share", ErrorCode.INVALID_REQUEST, "'file://server/share' is invalid on 'linux'"),
    ],
)
def test_a_path_that_names_no_file_here(path: str, code: int, message: str) -> None:
    async def test(client: Client) -> None:
        for method in (*VERBS, "remove", "createDirectory"):
            found = await client.refused(method, path=path)
            assert found[0] == code
            assert message in found[1]
        for field in ("sourcePath", "destinationPath"):
            paths = {"sourcePath": uri("/nowhere"), "destinationPath": uri("/nowhere"), field: path}
            assert (await client.refused("copy", **paths, recursive=False))[0] == code
        assert (await client.refused("open", handleId="a", path=path))[0] == code

    run(test)


def test_the_uri_is_resolved_before_any_file_is_touched(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "link").symlink_to("sub")
    (tmp_path / "file").write_bytes(b"x")

    async def test(client: Client) -> None:
        through_parent = f"%2e%2e/{tmp_path.name}/file"
        for path in ("missing/../file", "link/../file", through_parent, "file/", "./file"):
            result = await client.call("readFile", path=f"{uri(tmp_path)}/{path}")
            assert result == {"dataBase64": "eA=="}
        await client.call("remove", path=f"{uri(tmp_path)}/link/")
        assert sorted(os.listdir(tmp_path)) == ["file", "sub"]

    run(test)


@pytest.mark.parametrize("type", ["managed", "anything"])
def test_a_sandbox_is_refused_before_anything_is_touched(tmp_path: Path, type: str) -> None:
    sandbox = {"permissions": {"type": type}, "cwd": uri(tmp_path), "windowsSandboxLevel": "disabled"}
    path = tmp_path / "file"

    async def test(client: Client) -> None:
        calls: list[tuple[str, dict[str, Any]]] = [
            ("writeFile", {"path": uri(path), "dataBase64": ""}),
            ("createDirectory", {"path": uri(path)}),
            ("remove", {"path": uri(tmp_path)}),
            ("copy", {"sourcePath": uri(tmp_path), "destinationPath": uri(path), "recursive": True}),
            ("open", {"handleId": "a", "path": uri(path), "mode": "replace"}),
            ("readFile", {"path": "bad"}),
        ]
        for method, params in calls:
            code, message = await client.refused(method, **params, sandbox=sandbox)
            assert (code, "`sandbox`" in message) == (ErrorCode.INVALID_PARAMS, True)
        assert os.listdir(tmp_path) == []

    run(test)


def test_an_intent_that_asks_for_nothing_passes(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        nothing = ({"type": "disabled", "x": 1}, {"type": "external", "network": "enabled"})
        for sandbox in (None, *(intent(permissions=permissions, x=1) for permissions in nothing)):
            assert (await client.call("getMetadata", path=uri(tmp_path), sandbox=sandbox))["isDirectory"]
        malformed: list[Any] = [{}, {"permissions": {}}, 5, "managed"]
        for sandbox in malformed:
            code, message = await client.refused("getMetadata", path=uri(tmp_path), sandbox=sandbox)
            assert (code, "`sandbox`" in message) == (ErrorCode.INVALID_PARAMS, True)

    run(test)


def test_errors_of_the_system(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "dangling").symlink_to("nowhere")
    missing, file = tmp_path / "missing", tmp_path / "file"

    async def test(client: Client) -> None:
        for method in ("readFile", "getMetadata", "canonicalize", "readDirectory", "walk"):
            for path in (missing, tmp_path / "dangling"):
                code, message = await client.refused(method, path=uri(path))
                assert code == ErrorCode.NOT_FOUND
                assert message.startswith(f"cannot {VERBS[method]} `{path}`: ")
                assert message.endswith("No such file or directory (os error 2)")
            code, message = await client.refused(method, path=uri(tmp_path / "loop"))
            assert code == ErrorCode.INTERNAL_ERROR
            assert "(os error 40)" in message
        assert (await client.refused("readDirectory", path=uri(file)))[0] == ErrorCode.INTERNAL_ERROR
        for path in (tmp_path, Path("/dev/zero")):
            code, message = await client.refused("readFile", path=uri(path))
            assert (code, "is not a file" in message) == (ErrorCode.INVALID_REQUEST, True)
        assert (await client.refused("remove", path=uri(missing), force=False))[0] == ErrorCode.NOT_FOUND
        assert (await client.refused("remove", path=uri("/proc/self/status")))[0] == ErrorCode.INVALID_REQUEST
        assert await client.refused("writeFile", path=uri("/dev/full"), dataBase64="eA==") == (
            ErrorCode.INTERNAL_ERROR,
            "cannot write `/dev/full`: No space left on device (os error 28)",
        )
        code, message = await client.refused("writeFile", path=uri(file), dataBase64="!!")
        assert (code, "`dataBase64`" in message) == (ErrorCode.INVALID_PARAMS, True)

    run(test)


VERBS = {
    "readFile": "read",
    "getMetadata": "get the metadata of",
    "canonicalize": "canonicalize",
    "readDirectory": "read the directory",
    "walk": "walk",
}


def test_replies_have_the_shapes_of_the_protocol(tmp_path: Path) -> None:
    place = tmp_path.resolve()

    async def test(client: Client) -> None:
        file = uri(place / "a b")
        assert await client.call("writeFile", path=file, dataBase64="aGVsbG8=") == {}
        assert await client.call("readFile", path=file) == {"dataBase64": "aGVsbG8="}
        assert await client.call("createDirectory", path=uri(place / "d")) == {}
        assert await client.call("canonicalize", path=file) == {"path": file}
        paths = {"sourcePath": file, "destinationPath": uri(place / "c")}
        assert await client.call("copy", **paths, recursive=False) == {}
        assert await client.call("remove", path=uri(place / "c")) == {}
        assert await client.call("readDirectory", path=uri(place)) == {
            "entries": [
                {"fileName": "a b", "isDirectory": False, "isFile": True},
                {"fileName": "d", "isDirectory": True, "isFile": False},
            ]
        }
        found = await client.call("getMetadata", path=file)
        assert list(found) == ["isDirectory", "isFile", "isSymlink", "size", "createdAtMs", "modifiedAtMs"]
        options = {"maxDepth": 1, "maxDirectories": 1, "maxEntries": 9, "followDirectorySymlinks": False}
        assert await client.call("walk", path=uri(place), options=options) == {
            "entries": [{"path": file, "kind": "file"}, {"path": uri(place / "d"), "kind": "directory"}],
            "errors": [],
            "truncated": True,
        }
        assert await client.call("open", handleId="h", path=file) == {"handleId": "h"}
        result = await client.call("readBlock", handleId="h", offset=1, len=3)
        assert result == {"chunk": "ZWxs", "eof": False}
        assert await client.call("close", handleId="h") == {}

    run(test)


def test_walk_limits_are_refused_not_clamped(tmp_path: Path) -> None:
    async def refusal(client: Client, **options: Any) -> tuple[int, str]:
        return await client.refused("walk", path=uri(tmp_path), options=options)

    async def test(client: Client) -> None:
        largest = {"maxDepth": 64, "maxDirectories": 10_000, "maxEntries": 50_000}
        for name, limit in largest.items():
            code, message = await refusal(client, **{name: limit + 1})
            assert (code, "depth=64, directories=10000, entries=50000" in message) == (-32600, True)
            assert (await refusal(client, **{name: -1}))[0] == -32602
            assert (await refusal(client, **{name: "1"}))[0] == -32602
        for name in ("maxDirectories", "maxEntries"):
            assert (await refusal(client, **{name: 0}))[0] == -32600
        for options in ({"maxDepth": 0}, largest, {}):
            assert not (await client.call("walk", path=uri(tmp_path), options=options))["truncated"]
        assert not (await client.call("walk", path=uri(tmp_path)))["truncated"]

    run(test)


def test_quick_calls_are_answered_at_once_where_no_file_system_can_hang(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        for method in ("getMetadata", "canonicalize"):
            result = client.start(method, path=uri(tmp_path))
            assert isawaitable(result) is not all_local()
            await result if isawaitable(result) else None

    run(test)


def test_a_failed_write_of_a_file_says_how_far_it_came(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        content = base64(bytes(10_000))
        with file_size_limit(4096):
            code, message = await client.refused("writeFile", path=uri(tmp_path / "file"), dataBase64=content)
        assert (code, "after 4096 of 10000 bytes" in message) == (ErrorCode.INTERNAL_ERROR, True)

    run(test)
