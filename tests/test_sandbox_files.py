"""``fs/*`` under a sandbox: what is allowed is as without one, what is not does not happen."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

if sys.platform != "linux":
    pytest.skip("there are no file helpers for this operating system", allow_module_level=True)

import executors
from executors.protocol.errors import ErrorCode, RpcError
from executors.protocol.files import DENIED_BY_SANDBOX
from executors.sandbox.backend import SandboxBackend
from tests.sandbox.files import BACKENDS, only, run, with_entries
from tests.sandbox.session import managed
from tests.support.file_client import Client, base64, data, uri

pytestmark = pytest.mark.skipif(not BACKENDS, reason="no sandbox backend works on this machine")

TRIES = 2000


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> SandboxBackend:
    return BACKENDS[request.param]


@pytest.fixture
def bubblewrap() -> SandboxBackend:
    if "bubblewrap" not in BACKENDS:
        pytest.skip("no bubblewrap works on this machine")
    return BACKENDS["bubblewrap"]


@pytest.fixture
def inside(tmp_path: Path) -> Path:
    path = tmp_path / "inside"
    path.mkdir()
    (path / "file").write_bytes(b"content")
    (path / "directory" / "below").mkdir(parents=True)
    (path / "link").symlink_to("file")
    (path / "nowhere").symlink_to("absent")
    return path


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "outside"
    path.mkdir()
    (path / "file").write_bytes(b"secret")
    yield path
    assert [(file.name, file.read_bytes()) for file in path.iterdir()] == [("file", b"secret")]


async def denied(client: Client, method: str, **params: Any) -> None:
    code, message = await client.refused(method, **params)
    assert (code, DENIED_BY_SANDBOX in message) == (ErrorCode.INVALID_REQUEST, True), message


def test_what_is_allowed_gives_the_same_as_without_a_sandbox(backend: SandboxBackend, inside: Path) -> None:
    place = uri(inside)
    calls: list[tuple[str, dict[str, Any]]] = [
        ("readFile", {"path": f"{place}/link"}),
        ("readFile", {"path": f"{place}/absent"}),
        ("readFile", {"path": f"{place}/nowhere"}),
        ("readFile", {"path": f"{place}/directory"}),
        ("readFile", {"path": f"{place}/file/x"}),
        ("writeFile", {"path": f"{place}/file", "dataBase64": base64(b"")}),
        ("writeFile", {"path": f"{place}/directory", "dataBase64": base64(b"x")}),
        ("writeFile", {"path": f"{place}/a/b", "dataBase64": base64(b"x")}),
        ("writeFile", {"path": f"{place}/file", "dataBase64": "?"}),
        ("createDirectory", {"path": f"{place}/directory", "recursive": False}),
        ("createDirectory", {"path": f"{place}/directory"}),
        ("copy", {"sourcePath": f"{place}/directory", "destinationPath": f"{place}/x", "recursive": False}),
        ("copy", {"sourcePath": place, "destinationPath": f"{place}/x", "recursive": True}),
        ("copy", {"sourcePath": f"{place}/link", "destinationPath": f"{place}/link", "recursive": False}),
        ("canonicalize", {"path": f"{place}/link"}),
        ("canonicalize", {"path": f"{place}/nowhere"}),
        ("getMetadata", {"path": f"{place}/link"}),
        ("getMetadata", {"path": f"{place}/nowhere"}),
        ("readDirectory", {"path": place}),
        ("readDirectory", {"path": f"{place}/file"}),
        ("walk", {"path": place, "options": {"followDirectorySymlinks": True}}),
        ("walk", {"path": place, "options": {"maxDepth": 65}}),
        ("remove", {"path": f"{place}/directory", "recursive": False}),
        ("remove", {"path": f"{place}/absent", "force": False}),
        ("remove", {"path": f"{place}/absent"}),
    ]

    async def outcome(client: Client, method: str, params: dict[str, Any]) -> Any:
        try:
            return await client.call(method, **params)
        except RpcError as error:
            return error.code, error.message

    async def test(client: Client) -> None:
        for method, params in calls:
            plain = await outcome(client, method, params)
            for sandbox in (managed((inside, "write")), only((inside, "write"))):
                assert await outcome(client, method, params | {"sandbox": sandbox}) == plain

    run(test, backend)


def test_what_is_allowed_is_done(backend: SandboxBackend, inside: Path) -> None:
    sandbox = only((inside, "write"))
    content = os.urandom(5_000_000)

    async def test(client: Client) -> None:
        await client.call("writeFile", path=uri(inside / "new"), dataBase64=base64(content), sandbox=sandbox)
        assert (inside / "new").read_bytes() == content
        read = await client.call("readFile", path=uri(inside / "new"), sandbox=sandbox)
        assert data(read["dataBase64"]) == content
        await client.call("createDirectory", path=uri(inside / "a" / "b"), sandbox=sandbox)
        (inside / "a" / "tool").touch(mode=0o700)
        await client.call(
            "copy",
            sourcePath=uri(inside / "a"),
            destinationPath=uri(inside / "c"),
            recursive=True,
            sandbox=sandbox,
        )
        assert (inside / "c" / "tool").stat().st_mode & 0o777 == 0o700
        await client.call("remove", path=uri(inside / "a"), sandbox=sandbox)
        assert not (inside / "a").exists()

    run(test, backend)


@pytest.mark.parametrize("through", ["path", "link"])
def test_nothing_outside_is_changed(
    backend: SandboxBackend, inside: Path, outside: Path, through: str
) -> None:
    (inside / "way").symlink_to(outside)
    place = uri(outside if through == "path" else inside / "way")

    async def test(client: Client) -> None:
        for sandbox in (managed((inside, "write")), only((inside, "write"), (outside, "read"))):
            for name in ("file", "new"):
                await denied(
                    client, "writeFile", path=f"{place}/{name}", dataBase64=base64(b"x"), sandbox=sandbox
                )
            await denied(client, "createDirectory", path=f"{place}/a/b", sandbox=sandbox)
            await denied(client, "remove", path=f"{place}/file", sandbox=sandbox)
            ways = (f"{uri(inside)}/file", f"{place}/file"), (f"{uri(inside)}/directory", f"{place}/new")
            for source, target in ways:
                await denied(
                    client,
                    "copy",
                    sourcePath=source,
                    destinationPath=target,
                    recursive=True,
                    sandbox=sandbox,
                )

    run(test, backend)


@pytest.mark.parametrize(
    "method", ["readFile", "readDirectory", "walk", "getMetadata", "canonicalize", "copy", "remove"]
)
def test_what_may_not_be_read_is_not(
    backend: SandboxBackend, inside: Path, outside: Path, method: str
) -> None:
    """Among it is what the helper itself has to read, and what is not there."""
    own = Path(executors.__file__).parent
    places = [
        outside,
        outside / "file",
        outside / "absent",
        Path("/"),
        own,
        own / "__init__.py",
        Path("/usr/lib"),
    ]
    (inside / "way").symlink_to(outside)

    async def test(client: Client) -> None:
        for place in [*places, inside / "way" / "file"]:
            params = {"path": uri(place)}
            if method == "copy":
                params = {"sourcePath": uri(place), "destinationPath": uri(inside / "copy")}
            if method == "remove" and place == Path("/"):
                continue
            more = {"recursive": True} if method == "copy" else {}
            await denied(client, method, **params, **more, sandbox=only((inside, "write")))
        assert not (inside / "copy").exists()

    run(test, backend)


def test_links_out_are_not_followed_in_listings(backend: SandboxBackend, inside: Path, outside: Path) -> None:
    (inside / "way").symlink_to(outside)

    async def test(client: Client) -> None:
        options = {"followDirectorySymlinks": True}
        walked = await client.call("walk", path=uri(inside), options=options, sandbox=only((inside, "read")))
        assert not [
            entry for entry in walked["entries"] if entry["path"].startswith(uri(inside / "way") + "/")
        ]

    run(test, backend)


def test_what_comes_to_match_a_pattern_is_denied(bubblewrap: SandboxBackend, inside: Path) -> None:
    pattern = {"path": {"type": "glob_pattern", "pattern": f"{inside}/**/*.env"}, "access": "deny"}
    entry = {"path": {"type": "path", "path": uri(inside)}, "access": "write"}
    sandbox = with_entries(entry, pattern)
    (inside / "old.env").write_bytes(b"secret")

    async def test(client: Client) -> None:
        await denied(client, "readFile", path=uri(inside / "old.env"), sandbox=sandbox)
        (inside / "new.env").write_bytes(b"secret")
        (inside / "link").unlink()
        (inside / "link").symlink_to("new.env")
        for name in ("new.env", "link"):
            await denied(client, "readFile", path=uri(inside / name), sandbox=sandbox)
            params = {"path": uri(inside / name), "dataBase64": base64(b"x")}
            await denied(client, "writeFile", **params, sandbox=sandbox)
        await denied(client, "remove", path=uri(inside / "new.env"), sandbox=sandbox)
        await denied(client, "createDirectory", path=uri(inside / "made.env"), sandbox=sandbox)
        assert (inside / "new.env").read_bytes() == b"secret"
        assert not (inside / "made.env").exists()

    run(test, bubblewrap)


def test_what_is_carved_out_is_kept(bubblewrap: SandboxBackend, inside: Path) -> None:
    sandbox = only((inside, "write"), (inside / "directory", "read"))

    async def test(client: Client) -> None:
        await denied(client, "remove", path=uri(inside / "directory"), sandbox=sandbox)
        await denied(client, "createDirectory", path=uri(inside / "directory" / "x"), sandbox=sandbox)
        await client.call("remove", path=uri(inside / "file"), sandbox=sandbox)
        assert (inside / "directory" / "below").is_dir()

    run(test, bubblewrap)


def test_a_directory_that_turns_into_a_link_leads_nowhere(
    backend: SandboxBackend, inside: Path, outside: Path
) -> None:
    """Races: while files are written, their directory is swapped for a link out and back."""
    way = inside / "way"
    way.mkdir()
    (inside / "out").symlink_to(outside)
    over = threading.Event()

    def swap() -> None:
        while not over.is_set():
            os.rename(way, inside / "real")
            os.rename(inside / "out", way)
            os.rename(way, inside / "out")
            os.rename(inside / "real", way)

    async def test(client: Client) -> None:
        swapper = threading.Thread(target=swap)
        swapper.start()
        try:
            written = refused = 0
            for number in range(TRIES // len(BACKENDS)):
                name = "file" if number % 2 else f"new{number % 7}"
                params = {"path": uri(way / name), "dataBase64": base64(b"x")}
                try:
                    await client.call("writeFile", **params, sandbox=only((inside, "write")))
                    written += 1
                except RpcError:
                    refused += 1
            assert written
            assert refused
        finally:
            over.set()
            swapper.join()

    run(test, backend)


def test_there_are_no_handles_under_a_sandbox(backend: SandboxBackend, inside: Path) -> None:
    async def test(client: Client) -> None:
        code, message = await client.refused(
            "open", handleId="1", path=uri(inside / "file"), sandbox=only((inside, "write"))
        )
        assert code == ErrorCode.INVALID_PARAMS
        assert "readFile" in message

    run(test, backend)


def test_nothing_happens_where_nothing_enforces_it(inside: Path) -> None:
    async def test(client: Client) -> None:
        params = {"path": uri(inside / "file"), "dataBase64": base64(b"x")}
        code, message = await client.refused("writeFile", **params, sandbox=only((inside, "write")))
        assert code == ErrorCode.INVALID_PARAMS
        assert "sandbox" in message
        assert (inside / "file").read_bytes() == b"content"

    run(test)
