"""What an environment in a client is made from: real executors, programs, and sources that fail."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from harness.client import Client, ConnectionLost, connect, connect_stdio
from harness.environments.base import Running
from harness.environments.lifecycle import EnvironmentState
from harness.environments.local import LocalEnvironment
from harness.environments.manager import (
    EnvironmentManager,
    EnvironmentUnavailable,
    EnvironmentUnknown,
)
from tests.support.environments import (
    PYTHON,
    SECONDS,
    SLEEP,
    anyio_backend,
    ask_many,
    failures,
    managing,
    nothing_is_left,
    server,
    up,
)
from tests.support.watch import Watched

__all__ = ["anyio_backend", "nothing_is_left", "up"]
pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_is_left")]
ROOT = str(Path(__file__).resolve().parent.parent)


async def test_a_real_executor_by_its_url(up: Running) -> None:
    async with managing() as manager:
        manager.register("local", up.url)
        manager.register("other", up.connect)
        one, other = await manager.client("local"), await manager.client("other")
        assert one.session_id != other.session_id
        assert (await one.run([*PYTHON, "print(1)"])).stdout.strip() == b"1"
        process = await other.start(SLEEP)
        await manager.drop("other")
        assert (await one.run([*PYTHON, "print(2)"])).stdout.strip() == b"2"
        with pytest.raises(ConnectionLost):
            await other.run([*PYTHON, "print(3)"])
        assert process.exit_code is not None


@pytest.mark.parametrize("source", [LocalEnvironment(), LocalEnvironment().start], ids=["object", "start"])
async def test_an_environment_comes_up_and_goes_with_its_client(source: Any) -> None:
    async with managing() as manager:
        manager.register("local", source, connect_timeout=SECONDS)
        client = await manager.client("local")
        told = await client.run([*PYTHON, "import os; print(os.getppid())"])
        executor = Watched(int(told.stdout))
        assert not executor.has_ended()
        await manager.drop("local")
    assert executor.has_ended()
    executor.close()


async def test_a_program_is_started_when_it_is_used_and_again_when_it_has_ended(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    code = (
        "import os, sys; open(sys.argv.pop(1), 'a').write(f'{os.getpid()}\\n');"
        "sys.path[0] = sys.argv.pop(1);"
        "from executors.command import main; sys.exit(main())"
    )
    argv = [sys.executable, "-c", code, str(pids), ROOT, "--listen", "stdio"]
    async with managing() as manager:
        manager.register("program", argv, connect_timeout=SECONDS)
        assert manager.state("program") is EnvironmentState.IDLE
        await asyncio.sleep(0)
        assert not pids.exists()
        first, *others = await ask_many(manager, "program")
        assert set(others) == {first}
        (pid,) = map(int, pids.read_text().split())
        child = Watched(pid)
        await first.start([*PYTHON, f"import os, signal; os.kill({pid}, signal.SIGKILL)"])
        await first.wait_lost()
        assert child.has_ended(SECONDS)
        second, *others = await ask_many(manager, "program")
        assert set(others) == {second} != {first}
        assert (await second.run([*PYTHON, "print(1)"])).stdout.strip() == b"1"
        last = Watched(int(pids.read_text().split()[1]))
    assert last.has_ended()
    child.close()
    last.close()


async def test_a_program_that_cannot_be_started() -> None:
    async with managing() as manager:
        manager.register("none", ["/nonexistent/program", "--token", "abc123"], lazy=False)
        with pytest.raises(EnvironmentUnavailable, match="No such file") as failed:
            await manager.client("none")
        assert "/nonexistent/program" in failed.value.tried
        assert "abc123" not in failed.value.tried


async def test_a_url_with_credentials_is_refused_and_they_are_not_told() -> None:
    async with managing() as manager:
        with pytest.raises(ValueError, match="--url-token-file") as refused:
            manager.register("dead", "ws://me:hunter2@127.0.0.1:9")
        assert "hunter2" not in str(refused.value) and manager.names == []


async def test_a_lazy_source_waits_to_be_asked() -> None:
    async with server() as far, managing() as manager:
        manager.register("far", lambda: connect(far.url), lazy=True)
        manager.register("unused", far.url, lazy=True)
        assert manager.state("far") is EnvironmentState.IDLE
        assert far.opened == 0
        await manager.client("far")
        assert far.opened == 1
        await manager.drop("unused")


async def raise_error() -> Client:
    raise OSError("the disk is full")


async def be_cancelled() -> Client:
    raise asyncio.CancelledError


async def make_no_client() -> Any:
    return 42


async def note_error() -> Client:
    error = OSError("no luck")
    error.add_note("its log ends so")
    raise error


@pytest.mark.parametrize(
    ("make", "found"),
    [
        (raise_error, "OSError: the disk is full"),
        (be_cancelled, "it was cancelled"),
        (make_no_client, "made 42, which is no client"),
        (note_error, "OSError: no luck; its log ends so"),
    ],
)
async def test_a_source_that_fails(make: Callable[[], Awaitable[Client]], found: str) -> None:
    @asynccontextmanager
    async def source() -> AsyncIterator[Client]:
        yield await make()

    async with server() as far, managing() as manager:
        manager.register("good", far.url)
        manager.register("bad", source)
        for error in await failures(manager, "bad"):
            assert isinstance(error, EnvironmentUnavailable)
            assert found in error.found
            assert "source" in error.tried
        await manager.client("good")


async def test_a_source_that_is_no_context_manager() -> None:
    def source() -> AbstractAsyncContextManager[Client]:
        raise ValueError("nothing to connect to")

    async with managing() as manager:
        manager.register("bad", source)
        with pytest.raises(EnvironmentUnavailable, match="nothing to connect to"):
            await manager.client("bad")
        manager.register("worse", lambda: 3)  # type: ignore[arg-type,return-value]
        with pytest.raises(EnvironmentUnavailable, match=r"TypeError.*context manager"):
            await manager.client("worse")


@pytest.mark.parametrize(
    ("source", "error"),
    [("", ValueError), ([], ValueError), (b"ls", TypeError), (3, TypeError), ([1], TypeError)],
)
async def test_what_is_no_source_is_refused(source: Any, error: type[Exception]) -> None:
    async with managing() as manager:
        with pytest.raises(error):
            manager.register("x", source)
        assert manager.names == []


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf")])
async def test_what_is_no_time_is_refused(seconds: float) -> None:
    async with managing() as manager:
        with pytest.raises(ValueError, match="connect_timeout"):
            manager.register("x", "ws://127.0.0.1:1", connect_timeout=seconds)


async def test_a_manager_is_entered_once_and_before_it_is_used() -> None:
    manager = EnvironmentManager()
    with pytest.raises(RuntimeError, match="not entered"):
        manager.register("x", "ws://127.0.0.1:1")
    async with manager:
        with pytest.raises(EnvironmentUnknown, match=r"'y'.*none"):
            await manager.client("y")
        manager.register("x", "ws://127.0.0.1:1", lazy=True)
        for call in (manager.client("y"), manager.drop("y")):
            with pytest.raises(EnvironmentUnknown, match=r"'y'.*there are: 'x'") as unknown:
                await call
            assert isinstance(unknown.value, LookupError)
    with pytest.raises(RuntimeError, match="once"):
        await manager.__aenter__()


async def test_a_client_over_pipes_of_ones_own_options() -> None:
    def source() -> AbstractAsyncContextManager[Client]:
        return connect_stdio([sys.executable, "-m", "executors", "--listen", "stdio"], cwd=ROOT)

    async with managing() as manager:
        manager.register("pipes", source, lazy=True, connect_timeout=SECONDS)
        assert (await (await manager.client("pipes")).run([*PYTHON, "print(1)"])).stdout.strip() == b"1"
