"""The process that makes file calls inside of a sandbox: what it is given, and how it ends."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

if sys.platform != "linux":
    pytest.skip("Linux only", allow_module_level=True)

from executors.protocol.errors import ErrorCode, RpcError
from executors.sandbox.backend import SandboxBackend
from executors.sandbox.file_keeper_linux import widened
from executors.sandbox.policy import Access, Rule, make_policy
from tests.sandbox.files import BACKENDS, only, processes_below, run
from tests.support.file_client import Client, base64, data, uri

pytestmark = pytest.mark.skipif(not BACKENDS, reason="no sandbox backend works on this machine")
_LIMIT_SECONDS = 60


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> SandboxBackend:
    return BACKENDS[request.param]


def helpers() -> list[int]:
    """Returns the helper and the processes of its calls, also of the next one."""
    found = []
    for process in processes_below(os.getpid()):
        with suppress(FileNotFoundError, ProcessLookupError):
            if "python" in os.readlink(f"/proc/{process}/exe"):
                found.append(process)
    return found


def state(process: int) -> str:
    """Returns the letter of its state, as in proc(5)."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    return ""


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(_LIMIT_SECONDS):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0)


def spare() -> int | None:
    """Returns the process that is ready for the next call, if that of no other call is still there."""
    # One that has made its call does not sleep any more.
    found = helpers()
    return found[1] if len(found) == 2 and state(found[1]) == "S" else None


async def stop_spare() -> int:
    """Keeps the process that is ready for the next call from making it, and returns it."""
    async with asyncio.timeout(_LIMIT_SECONDS):
        while (process := spare()) is None:  # noqa: ASYNC110
            await asyncio.sleep(0)
    os.kill(process, signal.SIGSTOP)
    await until(lambda: state(process) == "T")
    return process


async def one_that_hangs(client: Client, place: Path) -> asyncio.Task[Any]:
    """Returns that of two calls which the stopped process has; the other one is answered meanwhile."""
    both = [
        asyncio.create_task(client.call("getMetadata", path=uri(place), sandbox=only((place, "read"))))
        for _ in range(2)
    ]
    async with asyncio.timeout(_LIMIT_SECONDS):
        (done,), (hanging,) = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    assert done.result()["isDirectory"]
    return hanging


def test_it_is_given_nothing_but_what_it_needs(
    backend: SandboxBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CROSSEXEC_TEST_SECRET", "secret")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    leaked = os.open(tmp_path, os.O_RDONLY)
    os.set_inheritable(leaked, True)

    async def test(client: Client) -> None:
        await client.call("getMetadata", path=uri(tmp_path), sandbox=only((tmp_path, "read")))
        helper = helpers()[0]
        environ = Path(f"/proc/{helper}/environ").read_bytes()
        assert b"SECRET" not in environ
        assert b"PYTHONPATH" not in environ
        assert b"PATH=" not in environ.replace(b"LD_LIBRARY_PATH=", b"")
        targets = [os.readlink(f"/proc/{helper}/fd/{fd}") for fd in os.listdir(f"/proc/{helper}/fd")]
        assert all(target.startswith(("socket:", "pipe:")) for target in targets), targets

    try:
        run(test, backend)
    finally:
        os.close(leaked)


def test_a_call_that_is_cancelled_ends_alone(backend: SandboxBackend, tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        await client.call("getMetadata", path=uri(tmp_path), sandbox=only((tmp_path, "read")))
        process = await stop_spare()
        helper = helpers()[0]
        call = await one_that_hangs(client, tmp_path)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await until(lambda: process not in helpers())
        await client.call("getMetadata", path=uri(tmp_path), sandbox=only((tmp_path, "read")))
        assert helpers()[0] == helper

    run(test, backend)


def test_a_call_that_hangs_ends_with_its_connection(backend: SandboxBackend, tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        await client.call("getMetadata", path=uri(tmp_path), sandbox=only((tmp_path, "read")))
        await stop_spare()
        call = await one_that_hangs(client, tmp_path)
        await client.files.close()
        with pytest.raises(RpcError) as refused:
            await call
        assert refused.value.code == ErrorCode.INTERNAL_ERROR
        assert not helpers()

    run(test, backend)


def test_a_process_that_ends_before_it_began_is_replaced(backend: SandboxBackend, tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        await client.call("getMetadata", path=uri(tmp_path), sandbox=only((tmp_path, "read")))
        process = await stop_spare()
        call = await one_that_hangs(client, tmp_path)
        os.kill(process, signal.SIGKILL)
        assert (await call)["isDirectory"]

    run(test, backend)


def test_a_helper_that_was_killed_is_started_again(backend: SandboxBackend, tmp_path: Path) -> None:
    sandbox = only((tmp_path, "read"))

    async def test(client: Client) -> None:
        await client.call("getMetadata", path=uri(tmp_path), sandbox=sandbox)
        helper = helpers()[0]
        os.kill(helper, signal.SIGKILL)
        await until(lambda: helper not in helpers())
        assert (await client.call("getMetadata", path=uri(tmp_path), sandbox=sandbox))["isDirectory"]

    run(test, backend)


def test_helpers_are_few(backend: SandboxBackend, tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        for number in range(12):
            place = tmp_path / str(number)
            place.mkdir()
            await client.call("getMetadata", path=uri(place), sandbox=only((place, "read")))
        assert len(helpers()) <= 2 * 9

    run(test, backend)


def test_one_that_takes_no_calls_is_replaced(
    backend: SandboxBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One that is well has to take them in that time, on a slow machine too.
    monkeypatch.setattr("executors.sandbox.file_keeper_linux._TAKEN_SECONDS", 3.0)

    async def test(client: Client) -> None:
        await client.call("getMetadata", path=uri(tmp_path), sandbox=only((tmp_path, "read")))
        stuck = helpers()[0]
        os.kill(stuck, signal.SIGSTOP)
        await until(lambda: state(stuck) == "T")
        found = await client.call("getMetadata", path=uri(tmp_path), sandbox=only((tmp_path, "read")))
        assert found["isDirectory"]
        assert stuck not in helpers()

    run(test, backend)


def test_many_calls_at_once(backend: SandboxBackend, tmp_path: Path) -> None:
    sandbox = only((tmp_path, "write"))

    async def test(client: Client) -> None:
        async def call(number: int) -> None:
            place, content = uri(tmp_path / str(number)), os.urandom(100_000)
            await client.call("writeFile", path=place, dataBase64=base64(content), sandbox=sandbox)
            read = await client.call("readFile", path=place, sandbox=sandbox)
            assert data(read["dataBase64"]) == content

        async with asyncio.TaskGroup() as tasks:
            for number in range(50):
                tasks.create_task(call(number))

    run(test, backend)


def test_only_reading_is_added_and_only_where_nothing_was(tmp_path: Path) -> None:
    policy = make_policy([Rule(Path("/usr"), Access.NONE), Rule(tmp_path, Access.WRITE)])
    wide = widened(policy)
    added = set(wide.rules) - set(policy.rules)
    assert added
    assert all(rule.access == Access.READ and policy.access(rule.path) == Access.NONE for rule in added)
    assert widened(make_policy([Rule(Path("/"), Access.READ)])).rules == (Rule(Path("/"), Access.READ),)
