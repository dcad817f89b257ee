"""Approval and retry: what is asked, what is run again, and what is never."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from executors.protocol.environment import Empty
from executors.protocol.errors import ErrorCode
from executors.protocol.methods import ENVIRONMENT_INFO
from executors.protocol.path_uri import PathUri
from harness.client import (
    CommandDenied,
    CommandFailed,
    Completed,
    ConnectionLost,
    RpcError,
    SandboxDenied,
    SandboxRefused,
)
from harness.client.orchestration import Orchestrator, SyncOrchestrator
from harness.client.sandbox import read_only, workspace_write
from harness.client.sync import SyncClient, blocking_context, sync_client
from harness.environments import Running
from harness.environments.local import LocalEnvironment
from tests.support.fake_executor import Fake, fake

pytestmark = pytest.mark.anyio

SANDBOX = read_only()
Json = dict[str, Any]


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


class Scripted:
    """An executor that ends each process as it is told to.

    :ivar starts: what was asked for, in order.
    """

    def __init__(self, *ends: Json | str) -> None:
        self.starts: list[Json] = []
        self._ends = list(ends)

    async def __call__(self, server: Fake, method: str, params: Json, id: int) -> Any:
        assert method == "process/start", method
        self.starts.append(params)
        end = self._ends.pop(0)
        if end == "drop":
            await server.socket.close(1011, "as scripted")
            return None
        assert isinstance(end, dict)
        if "error" in end:
            await server.send(id=id, error=end["error"])
            return None
        name = params["processId"]
        await server.send(id=id, result={"processId": name})
        if end.get("drop"):
            await server.socket.close(1011, "as scripted")
            return None
        await server.told("output", processId=name, seq=1, stream="stderr", chunk="d2h5")
        await server.told(
            "exited",
            processId=name,
            seq=2,
            exitCode=end["exit_code"],
            sandboxDenied=end.get("denied", False),
        )
        await server.told("closed", processId=name, seq=3)
        return None

    @property
    def sandboxes(self) -> list[bool]:
        """Of each start, whether it had an intent."""
        return ["sandbox" in start for start in self.starts]


DENIED: Json = {"exit_code": 2, "denied": True}
REFUSED: Json = {"error": {"code": ErrorCode.INVALID_PARAMS, "message": "field `sandbox`: not here"}}


@asynccontextmanager
async def runner(executor: Scripted) -> AsyncIterator[Orchestrator]:
    async with fake(executor) as client:
        yield Orchestrator(client)


class Asked:
    """Answers always the same and keeps the questions."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.questions: list[CommandDenied] = []

    def __call__(self, denied: CommandDenied) -> Any:
        self.questions.append(denied)
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


async def test_an_approved_command_runs_again_once_and_sends_no_intent() -> None:
    executor, approve = Scripted(DENIED, {"exit_code": 0}), Asked(True)
    async with runner(executor) as run:
        done = await run.run(
            ["make", "it"],
            SANDBOX,
            approve=approve,
            process_id="mine",
            cwd="file:///there",
            env={"A": "b"},
        )
    assert done == Completed(0, b"", b"why")
    assert executor.sandboxes == [True, False]
    first, again = executor.starts
    # An executor knows the id of a process after its end.
    assert first.pop("processId") == "mine" != again.pop("processId")
    del first["sandbox"]
    assert first == again
    (question,) = approve.questions
    assert (question.argv, question.exit_code, question.stdout, question.stderr) == (
        ["make", "it"],
        2,
        b"",
        b"why",
    )
    (decision,) = run.decisions
    assert (decision.argv, decision.denied, decision.approved, decision.retried_exit_code) == (
        ["make", "it"],
        question,
        True,
        0,
    )


async def test_what_is_not_approved_is_raised_and_not_run_again() -> None:
    executor = Scripted(DENIED)
    async with runner(executor) as run:
        with pytest.raises(SandboxDenied, match=r"(?s)\['make'\].*exit code 2.*why") as error:
            await run.run(["make"], SANDBOX, approve=Asked(False))
    assert executor.sandboxes == [True]
    (decision,) = run.decisions
    assert (decision.denied, decision.approved, decision.retried_exit_code) == (error.value, False, None)
    assert not isinstance(error.value, CommandFailed)


async def test_the_callback_may_be_a_coroutine_function() -> None:
    async def approve(denied: CommandDenied) -> bool:
        await asyncio.sleep(0)
        return denied.exit_code == 2

    executor = Scripted(DENIED, {"exit_code": 7}, {"exit_code": 3, "denied": True})
    async with runner(executor) as run:
        assert (await run.run(["a"], SANDBOX, approve=approve)).exit_code == 7
        with pytest.raises(CommandDenied):
            await run.run(["b"], SANDBOX, approve=approve)
    assert [decision.retried_exit_code for decision in run.decisions] == [7, None]


@pytest.mark.parametrize("exit_code", [0, 1])
async def test_an_ordinary_end_is_a_result_and_no_question(exit_code: int) -> None:
    approve = Asked(True)
    async with runner(Scripted({"exit_code": exit_code})) as run:
        assert (await run.run(["a"], SANDBOX, approve=approve)).exit_code == exit_code
    assert (approve.questions, run.decisions) == ([], [])


async def test_an_ordinary_failure_is_an_error_where_asked_for() -> None:
    approve = Asked(True)
    async with runner(Scripted({"exit_code": 1}, DENIED, {"exit_code": 5})) as run:
        with pytest.raises(CommandFailed, match="exit code 1"):
            await run.run(["a"], SANDBOX, approve=approve, check=True)
        assert approve.questions == []
        with pytest.raises(CommandFailed, match="exit code 5"):
            await run.run(["a"], SANDBOX, approve=approve, check=True)
    assert [decision.retried_exit_code for decision in run.decisions] == [5]


async def test_without_an_intent_nothing_is_denied() -> None:
    executor, approve = Scripted(DENIED), Asked(True)
    async with runner(executor) as run:
        assert (await run.run(["a"], None, approve=approve)).exit_code == 2
    assert (approve.questions, executor.sandboxes) == ([], [False])


async def test_the_run_without_a_sandbox_is_the_last_one() -> None:
    executor, approve = Scripted(DENIED, DENIED), Asked(True)
    async with runner(executor) as run:
        assert (await run.run(["a"], SANDBOX, approve=approve)).exit_code == 2
    assert (len(approve.questions), executor.sandboxes) == (1, [True, False])


async def test_a_refusal_is_no_denial() -> None:
    executor, approve = Scripted(REFUSED), Asked(True)
    async with runner(executor) as run:
        with pytest.raises(SandboxRefused, match="not here") as error:
            await run.run(["a"], SANDBOX, approve=approve)
    assert not isinstance(error.value, SandboxDenied)
    assert (error.value.code, approve.questions, executor.sandboxes, run.decisions) == (
        ErrorCode.INVALID_PARAMS,
        [],
        [True],
        [],
    )


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (ErrorCode.INVALID_PARAMS, "argv must not be empty"),
        (ErrorCode.INTERNAL_ERROR, "cannot start 'a' in the sandbox of landlock: no such file"),
    ],
)
async def test_a_start_that_fails_for_another_reason_is_no_refusal(code: int, message: str) -> None:
    executor, approve = Scripted({"error": {"code": code, "message": message}}), Asked(True)
    async with runner(executor) as run:
        with pytest.raises(RpcError) as error:
            await run.run(["a"], SANDBOX, approve=approve)
    assert type(error.value) is RpcError
    assert (approve.questions, executor.sandboxes) == ([], [True])


@pytest.mark.parametrize("end", ["drop", {"drop": True}], ids=["before the reply", "after it"])
async def test_a_lost_connection_is_no_denial(end: Any) -> None:
    executor, approve = Scripted(end), Asked(True)
    async with runner(executor) as run:
        with pytest.raises(ConnectionLost):
            await run.run(["a"], SANDBOX, approve=approve)
    assert (approve.questions, executor.sandboxes, run.decisions) == ([], [True], [])


async def test_a_connection_lost_in_the_second_run_ends_it() -> None:
    executor = Scripted(DENIED, {"drop": True})
    async with runner(executor) as run:
        with pytest.raises(ConnectionLost):
            await run.run(["a"], SANDBOX, approve=Asked(True))
    assert executor.sandboxes == [True, False]
    (decision,) = run.decisions
    assert (decision.approved, decision.retried_exit_code) == (True, None)
    assert "has not ended" in str(decision)


@pytest.mark.parametrize("failure", [RuntimeError("asked nobody"), StopIteration()], ids=repr)
async def test_a_callback_that_raises_approves_nothing(failure: Exception) -> None:
    executor = Scripted(DENIED)
    async with runner(executor) as run:
        with pytest.raises((RuntimeError, StopIteration)):
            await run.run(["a"], SANDBOX, approve=Asked(failure))
    assert (executor.sandboxes, run.decisions) == ([True], [])


@pytest.mark.parametrize("answer", [None, 1, "yes"])
async def test_what_is_not_true_approves_nothing(answer: Any) -> None:
    executor = Scripted(DENIED)
    async with runner(executor) as run:
        with pytest.raises(TypeError, match="must return True or False"):
            await run.run(["a"], SANDBOX, approve=Asked(answer))
    assert (executor.sandboxes, run.decisions) == ([True], [])


async def test_a_cancelled_callback_approves_nothing() -> None:
    asked = asyncio.Event()

    async def approve(denied: CommandDenied) -> bool:
        asked.set()
        await asyncio.get_running_loop().create_future()
        return True

    executor = Scripted(DENIED)
    async with runner(executor) as run:
        task = asyncio.create_task(run.run(["a"], SANDBOX, approve=approve))
        await asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert (executor.sandboxes, run.decisions) == ([True], [])


async def test_commands_at_a_time_have_decisions_of_their_own() -> None:
    class Several(Scripted):
        async def __call__(self, server: Fake, method: str, params: Json, id: int) -> Any:
            self._ends = [DENIED if "sandbox" in params else {"exit_code": int(params["argv"][0])}]
            return await super().__call__(server, method, params, id)

    async with runner(Several()) as run:
        ends = await asyncio.gather(
            *(run.run([str(number)], SANDBOX, approve=Asked(True)) for number in range(20))
        )
    assert [end.exit_code for end in ends] == list(range(20))
    assert {(int(one.argv[0]), one.retried_exit_code) for one in run.decisions} == {(n, n) for n in range(20)}


# With an executor, and programs.


@pytest.fixture(scope="module")
def up() -> Iterator[Running]:
    with blocking_context(LocalEnvironment().start()) as running:
        yield running


@pytest.fixture
def client(up: Running) -> Iterator[SyncClient]:
    with sync_client(up.connect()) as client:
        if not client.call(ENVIRONMENT_INFO, Empty()).capabilities.sandbox:
            pytest.skip("this machine offers no sandbox")
        yield client


Place = Callable[[str], PathUri]


@pytest.fixture
def place(client: SyncClient, up: Running) -> Iterator[Place]:
    """Makes an empty directory."""
    base = up.workspace_root.join("orchestration")

    def make(name: str) -> PathUri:
        client.files.create_directory(base.join(name))
        return client.files.canonicalize(base.join(name))

    yield make
    client.files.remove(base)


def writing(uri: PathUri) -> list[str]:
    script = "import sys; open(sys.argv[1], 'ab').write(sys.stdin.buffer.read()); sys.exit(3)"
    return [sys.executable, "-I", "-S", "-c", script, uri.render()]


def test_a_denied_write_is_approved_and_happens_once(client: SyncClient, place: Place) -> None:
    inside, outside = place("inside"), place("outside")
    runner, sandbox, approve = SyncOrchestrator(client), workspace_write([inside]), Asked(True)
    done = runner.run(writing(inside.join("f")), sandbox, approve=approve, input=b"text")
    assert (done.exit_code, approve.questions) == (3, [])
    done = runner.run(writing(outside.join("f")), sandbox, approve=approve, input=b"text")
    assert done.exit_code == 3
    assert client.files.read_file(outside.join("f")) == b"text"
    (decision,) = runner.decisions
    assert (decision.approved, decision.retried_exit_code) == (True, 3)
    assert b"PermissionError" in decision.denied.stderr or b"OSError" in decision.denied.stderr


def test_a_denied_write_that_is_not_approved_never_happens(client: SyncClient, place: Place) -> None:
    inside, outside = place("inside"), place("outside")
    runner = SyncOrchestrator(client)
    with pytest.raises(CommandDenied):
        runner.run(
            writing(outside.join("f")), workspace_write([inside]), approve=lambda _: False, input=b"text"
        )
    with pytest.raises(RpcError) as error:
        client.files.read_file(outside.join("f"))
    assert error.value.code == ErrorCode.NOT_FOUND


def test_a_blocking_callback_may_use_the_client(client: SyncClient, place: Place) -> None:
    inside, outside = place("inside"), place("outside")

    def approve(denied: CommandDenied) -> bool:
        return client.files.read_directory(outside) == []

    done = SyncOrchestrator(client).run(
        writing(outside.join("f")), workspace_write([inside]), approve=approve, input=b""
    )
    assert done.exit_code == 3


def test_a_blocking_caller_cannot_give_a_coroutine(client: SyncClient, place: Place) -> None:
    inside, outside = place("inside"), place("outside")

    class Later:
        def __await__(self) -> Iterator[bool]:
            raise AssertionError("nobody awaits it")

    answer: Any = Later()
    with pytest.raises(TypeError, match="must return True or False"):
        SyncOrchestrator(client).run(
            writing(outside.join("f")), workspace_write([inside]), approve=lambda _: answer, input=b""
        )
