"""``process/start`` with an intent: what confines the process, when it is refused, and what is left of it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

if sys.platform == "win32":
    pytest.skip("the POSIX backend", allow_module_level=True)

import msgspec

from executors.protocol.errors import ErrorCode, RpcError
from executors.sandbox.backend import Evidence, Proof, SandboxBackend
from executors.sandbox.denial import Judge
from executors.sandbox.policy import Access, Rule, make_policy
from executors.server import managed_process
from executors.server.managed_process import ManagedProcess
from executors.server.outlet import Outlet
from tests.sandbox.open_backend import Open, OpenConfinement
from tests.sandbox.session import Calls, Json, backends, holds, managed, open_calls
from tests.support.launch import Executor
from tests.support.watch import holdings, until
from tests.support.wire import Client


class Released:
    """A child of which nothing is left but to be released."""

    def release(self) -> None:
        return


class Proving:
    """Proofs that end when the test says so.

    :ivar asked: set once there is one to wait for.
    """

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    async def __call__(self, backend: SandboxBackend) -> Proof:
        self.asked.set()
        return await holds(backend) if await self.answer else Proof(backend.name, reason="it leaks")


@asynccontextmanager
async def proving(backend: SandboxBackend) -> AsyncIterator[tuple[Calls, Proving]]:
    proof = Proving()
    async with open_calls([backend], proof) as calls:
        yield calls, proof


def error_of(calls: Calls, *argv: str, **params: Any) -> RpcError:
    with pytest.raises(RpcError) as caught:
        calls.start("p", *argv, **params)
    return caught.value


def with_pattern(path: Path) -> Json:
    """Returns an intent whose confinement serves one start."""
    sandbox = managed((path, "write"))
    sandbox["permissions"]["file_system"]["entries"].append(
        {"path": {"type": "glob_pattern", "pattern": f"{path}/*.key"}, "access": "deny"}
    )
    return sandbox


NOTHING_TO_ENFORCE: dict[str, Json | None] = {
    "null": None,
    "disabled": {"permissions": {"type": "disabled"}, "windowsSandboxLevel": "disabled"},
    "external": {
        "permissions": {"type": "external", "network": "enabled"},
        "windowsSandboxLevel": "disabled",
    },
    "unrestricted": {
        "permissions": {
            "type": "managed",
            "file_system": {"type": "unrestricted"},
            "network": "enabled",
        },
        "windowsSandboxLevel": "disabled",
    },
}


@pytest.mark.parametrize("sandbox", NOTHING_TO_ENFORCE.values(), ids=NOTHING_TO_ENFORCE.keys())
def test_nothing_to_enforce(sandbox: Json | None) -> None:
    async def main() -> None:
        backend = Open()
        async with open_calls([backend]) as calls:
            result = calls.start(
                "p", "sh", "-c", 'echo Permission denied; test -z "$WRAPPED"', sandbox=sandbox
            )
            assert msgspec.to_builtins(result) == {"processId": "p", "sandboxType": "none"}
            assert (await calls.event("process/exited", "p"))["exitCode"] == 0
            # Never denied, whatever it says.
            exited = await calls.run("q", "sh", "-c", "echo Permission denied; exit 1", sandbox=sandbox)
            assert (exited["exitCode"], exited["sandboxDenied"]) == (1, False)
        assert not backend.confined

    asyncio.run(main())


def test_the_result_names_what_confines(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_calls([Open()]) as calls:
            # The backend has yet to be proved, which takes a turn of the event loop.
            result = await calls.start(
                "p", "sh", "-c", "exit 0$WRAPPED", sandbox=managed((tmp_path, "write"))
            )
            assert (result.sandbox_type, result.sandbox_backend) == ("linuxSeccomp", "open")
            assert (await calls.event("process/exited", "p"))["exitCode"] == 1
            # From now on it is answered at once.
            result = calls.start("q", "true", sandbox=managed((tmp_path, "write")))
            assert (result.sandbox_type, result.sandbox_backend) == ("linuxSeccomp", "open")

    asyncio.run(main())


def test_refused_before_anything_runs(tmp_path: Path) -> None:
    async def main() -> None:
        backend = Open()
        touch = ("touch", str(tmp_path / "ran"))
        async with open_calls([backend]) as calls:
            error = error_of(calls, *touch, sandbox=managed((tmp_path, "write"), network="enabled"))
            assert error.code == ErrorCode.INVALID_PARAMS
            assert "open: it cannot open the network" in error.message
            error = error_of(calls, *touch, sandbox={"permissions": {"type": "managed"}})
            assert error.code == ErrorCode.INVALID_PARAMS
            assert (await calls.run("p", "true"))["exitCode"] == 0, "the id is not taken"
        async with proving(backend) as (calls, proof):
            proof.answer.set_result(False)
            with pytest.raises(RpcError, match="open: it leaks") as caught:
                await calls.start("p", *touch, sandbox=managed((tmp_path, "write")))
            assert caught.value.code == ErrorCode.INVALID_PARAMS
            assert (await calls.run("p", "true"))["exitCode"] == 0, "the id is not taken"
        async with open_calls([]) as calls:
            error = error_of(calls, *touch, sandbox=managed((tmp_path, "write")))
            assert error.code == ErrorCode.INVALID_PARAMS
        assert not backend.confined
        assert not (tmp_path / "ran").exists()

    asyncio.run(main())


def test_an_id_is_taken_while_it_starts(tmp_path: Path) -> None:
    async def main() -> None:
        async with proving(Open()) as (calls, proof):
            sandbox = managed((tmp_path, "write"))
            starting = asyncio.ensure_future(calls.start("p", "cat", pipeStdin=True, sandbox=sandbox))
            await proof.asked.wait()
            assert "already exists" in error_of(calls, "true").message
            assert "already exists" in error_of(calls, "true", sandbox=sandbox).message
            write: Json = {"processId": "p", "chunk": "aGk=", "writeId": "1"}
            assert calls.send("process/write", **write).status == "starting"
            assert calls.send("process/closeStdin", processId="p").status == "starting"
            refused: list[tuple[str, Json]] = [
                ("read", {}),
                ("signal", {"signal": "interrupt"}),
                ("resize", {"rows": 1, "cols": 1}),
            ]
            for method, params in refused:
                with pytest.raises(RpcError, match="p is starting"):
                    calls.send(f"process/{method}", processId="p", **params)
            other = asyncio.ensure_future(calls.start("q", "true", sandbox=sandbox))
            proof.answer.set_result(True)
            assert [(await one).sandbox_backend for one in (starting, other)] == ["open", "open"]
            # What was not taken then is taken now, under the same id.
            assert calls.send("process/write", **write).status == "accepted"
            assert calls.send("process/closeStdin", processId="p").status == "accepted"
            await calls.event("process/closed", "p")
            assert calls.output("p") == "hi"

    asyncio.run(main())


def test_terminated_while_it_starts(tmp_path: Path) -> None:
    async def main() -> None:
        backend = Open()
        async with proving(backend) as (calls, proof):
            sandbox = managed((tmp_path, "write"))
            starting = asyncio.ensure_future(
                calls.start("p", "touch", str(tmp_path / "ran"), sandbox=sandbox)
            )
            await proof.asked.wait()
            assert (await calls.call("process/terminate", processId="p")).running is False
            again = asyncio.ensure_future(calls.start("p", "true", sandbox=sandbox))
            proof.answer.set_result(True)
            with pytest.raises(RpcError, match="p was terminated before it was started"):
                await starting
            await again
            assert (await calls.event("process/exited", "p"))["exitCode"] == 0
        assert not (tmp_path / "ran").exists()
        assert backend.held == 0

    asyncio.run(main())


def test_called_off_while_it_starts(tmp_path: Path) -> None:
    async def main() -> None:
        backend = Open()
        async with proving(backend) as (calls, proof):
            sandbox = managed((tmp_path, "write"))
            starting = asyncio.ensure_future(
                calls.start("p", "touch", str(tmp_path / "ran"), sandbox=sandbox)
            )
            await proof.asked.wait()
            starting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await starting
            assert not backend.confined
            assert (await calls.run("p", "true"))["exitCode"] == 0, "the id is not taken"
        assert not (tmp_path / "ran").exists()

    asyncio.run(main())


def test_one_confinement_for_all_of_a_policy(tmp_path: Path) -> None:
    async def main() -> None:
        backend = Open()
        (tmp_path / "a").mkdir()
        async with open_calls([backend]) as calls:
            for number in range(5):
                await calls.run(str(number), "true", sandbox=managed((tmp_path / "a", "write")))
            assert len(backend.confined) == 1
            # The rules are about files, not names.
            (tmp_path / "a").rename(tmp_path / "b")
            (tmp_path / "a").mkdir()
            await calls.run("new", "true", sandbox=managed((tmp_path / "a", "write")))
            assert len(backend.confined) == 2
        assert backend.held == 0

    asyncio.run(main())


def test_few_are_kept_and_all_that_are_used(tmp_path: Path) -> None:
    async def main() -> None:
        backend = Open()
        paths = [tmp_path / str(number) for number in range(40)]
        for path in paths:
            path.mkdir()
        async with open_calls([backend]) as calls:
            for path in paths:
                await calls.run(path.name, "true", sandbox=managed((path, "write")))
            assert [one.closed for one in backend.confined] == [True] * 8 + [False] * 32
            await calls.run("again", "true", sandbox=managed((paths[8], "write")))
            await calls.run("other", "true", sandbox=managed((paths[0], "write")))
            assert not backend.confined[8].closed, "used last"
            assert backend.confined[9].closed
            for path in paths:
                await calls.call(
                    "process/start",
                    processId=f"{path.name}-runs",
                    argv=["sleep", "1000"],
                    cwd="file:///",
                    env={"PATH": os.environ["PATH"]},
                    tty=False,
                    sandbox=managed((path, "write")),
                )
            assert backend.held == 40
            for path in paths:
                await calls.call("process/terminate", processId=f"{path.name}-runs")
                await calls.event("process/closed", f"{path.name}-runs")
            assert backend.held == 32
        assert backend.held == 0

    asyncio.run(main())


def test_patterns_are_looked_for_at_each_start(tmp_path: Path) -> None:
    async def main() -> None:
        backend = Open()
        sandbox = with_pattern(tmp_path)
        async with open_calls([backend]) as calls:
            for number in range(3):
                await calls.run(str(number), "true", sandbox=sandbox)
            assert [one.closed for one in backend.confined] == [True] * 3

    asyncio.run(main())


def test_a_confinement_outlives_what_was_started_in_it(tmp_path: Path) -> None:
    async def main() -> None:
        backend = Open()
        sandbox = with_pattern(tmp_path)
        async with open_calls([backend]) as calls:
            script = "setsid sleep 1000 </dev/null >/dev/null 2>&1 & echo $!"
            await calls.run("p", "sh", "-c", script, sandbox=sandbox)
            daemon = int(calls.output("p"))
            await calls.run("q", "true", sandbox=sandbox)
            assert [one.closed for one in backend.confined] == [False, True]
            os.kill(daemon, signal.SIGKILL)
            for number in range(1000):
                await calls.run(str(number), "true", sandbox=sandbox)
                if backend.confined[0].closed:
                    break
            assert backend.held == 0

    asyncio.run(main())


@pytest.mark.parametrize(
    ("where", "error", "code"),
    [
        ("fails", PermissionError(1, "no more threads"), ErrorCode.INTERNAL_ERROR),
        ("fails", ValueError("a place is gone"), ErrorCode.INVALID_PARAMS),
        ("fails_to_wrap", FileNotFoundError(2, "no bwrap"), ErrorCode.INTERNAL_ERROR),
        ("fails_to_wrap", ValueError("arg0 cannot be given"), ErrorCode.INVALID_PARAMS),
        ("fails_to_start", OSError(12, "out of memory"), ErrorCode.INTERNAL_ERROR),
    ],
    ids=["confine-system", "confine-policy", "wrap-system", "wrap-request", "start"],
)
def test_a_backend_that_fails_runs_nothing(tmp_path: Path, where: str, error: Exception, code: int) -> None:
    async def main() -> None:
        backend = Open()
        sandbox = managed((tmp_path, "write"))
        touch = ("touch", str(tmp_path / "ran"))
        async with open_calls([backend]) as calls:
            await calls.run("first", "true", sandbox=managed())
            before = holdings()
            setattr(backend, where, error)
            caught = error_of(calls, *touch, sandbox=sandbox)
            assert caught.code == code
            assert "open" in caught.message
            assert str(error.args[-1]) in caught.message
            assert holdings() == before
            setattr(backend, where, None)
            assert (await calls.run("p", *touch, sandbox=sandbox))["exitCode"] == 0
        assert backend.held == 0

    asyncio.run(main())
    assert (tmp_path / "ran").exists()


def test_a_missing_program_is_the_same_error_and_gives_back(tmp_path: Path) -> None:
    async def main() -> None:
        backend = Open()
        async with open_calls([backend]) as calls:
            with pytest.raises(RpcError, match=r"no-such-program.* in the sandbox of open: .*No such file"):
                await calls.start("p", "no-such-program", sandbox=managed((tmp_path, "write")))
            assert [one.closed for one in backend.confined] == [False]
            with pytest.raises(RpcError, match="No such file"):
                calls.start("p", "no-such-program", sandbox=with_pattern(tmp_path))
            assert [one.closed for one in backend.confined] == [False, True], "it serves no other start"
        assert backend.held == 0

    asyncio.run(main())


def test_output_that_tells_why_comes_before_the_exit(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_calls([Open()]) as calls:
            # More than is read at once, so that the exit is known before the last of it.
            script = (
                f"head -c 1000000 /dev/zero; echo 'cannot write {Path('/new')}: Permission denied'; exit 1"
            )
            for number in range(10):
                process_id = str(number)
                exited = await calls.run(process_id, "sh", "-c", script, sandbox=managed((tmp_path, "write")))
                assert exited["sandboxDenied"] is (os.access("/", os.W_OK))
                events = [event for event in calls.events if event["processId"] == process_id]
                assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
                assert [event["method"] for event in events[-2:]] == ["process/exited", "process/closed"]

    asyncio.run(main())


@pytest.mark.parametrize("tty", [False, True])
def test_the_grace_ends_though_somebody_holds_the_output(tmp_path: Path, tty: bool) -> None:
    async def main() -> None:
        async with open_calls([Open()]) as calls:
            # The background job outlives the shell with its output, at a terminal too.
            script = "trap '' HUP; sleep 1000 & echo $!; exit 3"
            await calls.start("p", "sh", "-c", script, tty=tty, sandbox=managed((tmp_path, "write")))
            exited = await calls.event("process/exited", "p")
            assert (exited["exitCode"], exited["sandboxDenied"]) == (3, False)
            read = calls.send("process/read", processId="p")
            assert (read.exited, read.closed) == (True, False)
            os.kill(int(calls.output("p")), signal.SIGKILL)
            closed = await calls.event("process/closed", "p")
            assert closed["seq"] == exited["seq"] + 1

    asyncio.run(main())


def test_nothing_comes_of_the_grace_after_the_end_of_the_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(managed_process, "_GRACE_SECONDS", 0.0)
    policy = make_policy([Rule(tmp_path, Access.WRITE)])

    async def main(released: bool) -> list[bytes]:
        told: list[bytes] = []
        judge = Judge(OpenConfinement(Open()), policy, sees_denials=False, cwd="/")
        process = ManagedProcess("p", Outlet(told.append), lambda _: None, judge)
        process.exited(3)
        assert not told
        if released:
            process._child = Released()  # type: ignore[assignment]
            process.release()
        over = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(0.001, over.set_result, None)
        await over
        return told

    assert len(asyncio.run(main(released=False))) == 1
    assert asyncio.run(main(released=True)) == []


def test_evidence_is_told_in_the_exit_and_in_reads(tmp_path: Path) -> None:
    async def main() -> None:
        backend = Open()
        backend.evidence = Evidence("openat", "/outside/file")
        async with open_calls([backend]) as calls:
            exited = await calls.run("p", "false", sandbox=managed((tmp_path, "write")))
            assert (exited["exitCode"], exited["sandboxDenied"]) == (1, True)
            assert calls.send("process/read", processId="p").sandbox_denied is True
            exited = await calls.run("q", "true", sandbox=managed((tmp_path, "write")))
            assert (exited["exitCode"], exited["sandboxDenied"]) == (0, False)
            assert calls.send("process/read", processId="q").sandbox_denied is False

    asyncio.run(main())


@pytest.mark.parametrize("name", ["landlock", "bubblewrap"])
def test_a_real_sandbox(tmp_path: Path, name: str) -> None:
    found = [backend for backend in backends() if backend.name == name]
    if not found:
        pytest.skip(f"{name} does not work here")
    inside, outside = tmp_path / "in", tmp_path / "out"
    inside.mkdir()
    outside.mkdir()

    async def main() -> None:
        before = holdings()
        async with open_calls(found) as calls:
            sandbox = managed((inside, "write"))
            for tty in (False, True):
                denied = await calls.run(f"d{tty}", "touch", str(outside / "x"), tty=tty, sandbox=sandbox)
                assert (denied["exitCode"], denied["sandboxDenied"]) == (1, True), calls.output(f"d{tty}")
                fine = await calls.run(f"f{tty}", "touch", str(inside / "x"), tty=tty, sandbox=sandbox)
                assert (fine["exitCode"], fine["sandboxDenied"]) == (0, False), calls.output(f"f{tty}")
            script = "setsid sleep 1000 </dev/null >/dev/null 2>&1 & sleep 1000"
            calls.start("runs", "sh", "-c", script, sandbox=sandbox)
        until(lambda: holdings() == before, lambda: f"{holdings()} is left of {before}")

    asyncio.run(main())
    assert (inside / "x").exists()
    assert not (outside / "x").exists()


@pytest.mark.skipif(not backends(), reason="no sandbox works here")
def test_over_the_wire(executor: Executor, client: Client, tmp_path: Path) -> None:
    sandbox = managed((tmp_path, "write"))
    if not client.call("environment/info")["capabilities"]["sandbox"]:
        pytest.skip("no sandbox holds here")
    outside = f"/tmp/new-by-a-test-{os.urandom(8).hex()}"
    started = client.start("p", "touch", outside, sandbox=sandbox)
    assert started["sandboxType"] == "linuxSeccomp"
    assert started["sandboxBackend"] in ("landlock", "bubblewrap")
    exited = client.wait_for("process/exited", "p")
    assert (exited["exitCode"], exited["sandboxDenied"]) == (1, True)
    client.wait_for("process/closed", "p")
    assert client.call("process/read", processId="p")["sandboxDenied"] is True
    assert client.run("q", "touch", str(tmp_path / "new"), sandbox=sandbox)[0] == 0
    assert not Path(outside).exists()


def test_a_connection_that_ends_in_the_first_proof_leaves_nothing(tmp_path: Path) -> None:
    with Executor() as executor:
        with executor.client() as client:
            before = executor.usual_holdings(client)
            client.post(
                "process/start",
                processId="p",
                argv=["touch", str(tmp_path / "ran")],
                cwd="file:///",
                env={"PATH": os.environ["PATH"]},
                tty=False,
                sandbox=managed((tmp_path, "write")),
            )
            # The canaries run when this is answered.
            client.call("environment/status")
        executor.until_holds(before)
        with executor.client() as client:
            info = client.call("environment/info")
            assert isinstance(info["capabilities"]["sandbox"], list)
    assert not (tmp_path / "ran").exists()
