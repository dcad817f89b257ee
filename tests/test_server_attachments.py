"""What connects a session with a connection, and what comes apart with it: no sockets, no processes."""

from __future__ import annotations

import asyncio
import base64
import gc
import json
import weakref
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from executors.process.base import ProcessObserver, SpawnRequest
from executors.process.output_log import RETAINED_BYTES
from executors.protocol.environment import InitializeParams
from executors.protocol.errors import RpcError
from executors.server.closed_processes import ClosedProcesses
from executors.server.connection import Connection
from executors.server.managed_process import ManagedProcess
from executors.server.outlet import WINDOW_BYTES, Outlet, window
from executors.server.process_calls import ProcessCalls
from executors.server.session import Session
from executors.server.sessions import Sessions
from tests.fuzz.fuzz_messages import PlayedBackend, PlayedFiles, PlayedProcess, PlayedTransport, call

Json = dict[str, Any]

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Child(PlayedProcess):
    """Says what it is told to, and whether it may go on."""

    def __init__(self, request: SpawnRequest, observer: ProcessObserver) -> None:
        super().__init__(request, observer)
        self.observer = observer
        self.is_paused = False

    def say(self, data: bytes) -> None:
        self.observer.output("stdout", data)

    def end(self) -> None:
        self._end(0)

    def pause_output(self) -> None:
        assert not self.is_paused
        self.is_paused = True

    def resume_output(self) -> None:
        assert self.is_paused
        self.is_paused = False


class Machine(PlayedBackend):
    """Remembers the processes that it has started."""

    def __init__(self) -> None:
        self.children: list[Child] = []

    def spawn(self, request: SpawnRequest, observer: ProcessObserver) -> Child:
        self.children.append(Child(request, observer))
        return self.children[-1]


class SlowSandboxes:
    """Confinements that have yet to prove themselves until the test says so."""

    def __init__(self) -> None:
        self.proved = asyncio.Event()
        self.asked = 0
        self.given = 0
        self.closed = False

    def policy(self, sandbox: Any, environ: Any = None) -> Any:
        return None if sandbox is None else sandbox

    def take_now(self, policy: Any) -> None:
        return None

    async def take(self, policy: Any) -> Any:
        self.asked += 1
        try:
            await self.proved.wait()
        except asyncio.CancelledError:
            if policy == "stubborn":
                # A cancellation that is lost on the way, as any await of others may lose it.
                return object()
            raise
        return object()

    def give_back(self, confined: Any) -> None:
        self.given += 1

    def offered_by_now(self) -> tuple[str, ...]:
        return ()

    def close(self) -> None:
        self.closed = True


class Stage:
    """Sessions of one played machine, and connections to them."""

    def __init__(self, retention: float = 30.0, confinements: Callable[[], Any] = lambda: None) -> None:
        self.machine = Machine()
        self.tasks: set[asyncio.Task[None]] = set()
        self._task_started = asyncio.Event()
        self.sessions = Sessions(lambda: Session(self.machine, confinements()), self.start_task, retention)

    def start_task(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(coroutine)
        self.tasks.add(task)
        self._task_started.set()
        task.add_done_callback(self.tasks.discard)
        return task

    def connect(self, resume: str | None = None, **params: Any) -> Peer:
        return Peer(self, {"clientName": "x", "resumeSessionId": resume} | params)

    async def until_empty(self) -> None:
        """Returns once every session is over."""
        while len(self.sessions):
            self._task_started.clear()
            await self._task_started.wait()

    async def settle(self) -> None:
        while self.tasks:
            for result in await asyncio.gather(*self.tasks, return_exceptions=True):
                assert result is None or isinstance(result, asyncio.CancelledError), result


class Peer:
    """A client whose connection is a list of what was sent to it."""

    def __init__(self, stage: Stage, params: Json) -> None:
        self.transport = PlayedTransport()
        self.connection = Connection(
            self.transport,
            stage.sessions,
            PlayedFiles,  # type: ignore[arg-type]
            stage.start_task,
            lambda _: None,
        )
        self.call("initialize", **params)
        self.connection.message_received(b'{"method":"initialized"}')
        self.handshake = self.messages()[0]
        self.session_id: str = self.handshake.get("result", {}).get("sessionId", "")

    def call(self, method: str, **params: Any) -> None:
        self.connection.message_received(call(method, **params))

    def start(self, process_id: str, **params: Any) -> None:
        start: Json = {"processId": process_id, "argv": ["a"], "cwd": "file:///", "env": {}, "tty": False}
        self.call("process/start", **(start | params))

    def messages(self) -> list[Json]:
        return [json.loads(text) for text in self.transport.sent]

    def told(self, method: str) -> list[Json]:
        return [message["params"] for message in self.messages() if message.get("method") == method]

    def output(self) -> bytes:
        return b"".join(base64.b64decode(told["chunk"]) for told in self.told("process/output"))

    def cut(self, in_order: bool = False) -> None:
        self.transport.ended_in_order = in_order
        self.connection.connection_lost()


async def test_an_old_connection_reaches_nothing_of_a_session() -> None:
    stage = Stage()
    old = stage.connect()
    old.start("p", pipeStdin=True)
    (child,) = stage.machine.children
    child.say(b"one")
    old.cut()
    # There is no turn of the event loop between the end of one and the next.
    new = stage.connect(old.session_id)
    assert new.handshake["result"]["sessionId"] == old.session_id
    sent = len(old.transport.sent)
    child.say(b"two")
    old.call("process/terminate", processId="p")
    old.call("process/acknowledge", processId="p", seq=1)
    old.connection.message_received(b'{"method":"process/acknowledge","params":{"processId":"p","seq":1}}')
    old.connection.pause_writing()
    assert not child.is_paused
    new.connection.pause_writing()
    old.connection.resume_writing()
    assert child.is_paused, "that is the other's to say"
    new.connection.resume_writing()
    await asyncio.sleep(0)
    assert (len(old.transport.sent), old.output(), new.output()) == (sent, b"one", b"two")
    # What it does with a session that it has no more, a second end too, is nothing to the one that has it.
    old.cut(in_order=True)
    child.say(b"three")
    assert new.output() == b"twothree"
    assert stage.connect(old.session_id).handshake["error"]["code"] == -32010
    new.cut(in_order=True)
    await stage.settle()


@pytest.mark.parametrize("sandbox", ["obedient", "stubborn"])
@pytest.mark.parametrize("again", [True, False])
async def test_a_start_that_waits_for_its_sandbox_is_called_off_with_its_connection(
    sandbox: str, again: bool
) -> None:
    slow = SlowSandboxes()
    stage = Stage(confinements=lambda: slow)
    old = stage.connect()
    old.start("p", sandbox=sandbox)
    await asyncio.sleep(0)
    assert slow.asked == 1
    old.cut()
    new = stage.connect(old.session_id)
    if again:
        # The same id, at once: it is another start.
        new.start("p")
        assert [message.get("result") for message in new.messages() if message.get("id") == 7][-1]
    slow.proved.set()
    await stage.settle()
    assert len(stage.machine.children) == again
    assert slow.given == (sandbox == "stubborn"), "what it had been given is given back"
    if not again:
        new.call("process/read", processId="p")
        assert "unknown process id p" in new.messages()[-1]["error"]["message"]
    new.cut(in_order=True)
    await stage.settle()
    assert slow.closed


async def test_a_start_that_has_not_begun_when_its_connection_goes_never_does() -> None:
    slow = SlowSandboxes()
    slow.proved.set()
    stage = Stage(confinements=lambda: slow)
    old = stage.connect()
    old.start("p", sandbox="any")
    old.cut()
    new = stage.connect(old.session_id)
    for _ in range(5):
        await asyncio.sleep(0)
    assert not stage.machine.children
    new.cut(in_order=True)
    await stage.settle()


async def test_the_reasons_to_pause_a_process_are_kept_apart() -> None:
    stage = Stage()
    one = stage.connect(acknowledges=True)
    one.start("p")
    one.start("q")
    child, other = stage.machine.children
    for _ in range(5):
        child.say(bytes(1024 * 1024))
    assert (child.is_paused, other.is_paused) == (True, False), "its window is full"
    one.connection.pause_writing()
    assert (child.is_paused, other.is_paused) == (True, True)
    one.connection.resume_writing()
    assert (child.is_paused, other.is_paused) == (True, False), "its window is as full as before"
    one.connection.pause_writing()
    acknowledge = b'{"method":"process/acknowledge","params":{"processId":"p","seq":%d}}'
    one.connection.message_received(acknowledge % 5)
    assert child.is_paused, "the connection is as slow as before"
    one.connection.resume_writing()
    assert not child.is_paused
    # The end of a connection ends that reason, but not the other.
    for _ in range(5):
        child.say(bytes(1024 * 1024))
    one.connection.pause_writing()
    one.cut()
    assert (child.is_paused, other.is_paused) == (True, False)
    two = stage.connect(one.session_id, acknowledges=True)
    assert child.is_paused
    two.connection.message_received(acknowledge % 7)
    assert child.is_paused, "it resumes at half of its window"
    two.connection.message_received(acknowledge % 9)
    assert not child.is_paused
    two.cut(in_order=True)
    await stage.settle()


async def test_one_that_acknowledges_nothing_gets_what_it_missed_by_reading_it() -> None:
    stage = Stage()
    one = stage.connect()
    one.start("p")
    (child,) = stage.machine.children
    for _ in range(20):
        child.say(bytes(RETAINED_BYTES))
    assert not child.is_paused, "what was sent counts as come in"
    one.cut()
    said = 0
    while not child.is_paused:
        child.say(b"%07d\n" % said * (RETAINED_BYTES // 8))
        said += 1
    assert said * RETAINED_BYTES >= WINDOW_BYTES
    two = stage.connect(one.session_id)
    assert child.is_paused
    got = []
    after = 20
    while after < 20 + said:
        two.call("process/read", processId="p", afterSeq=after, maxBytes=RETAINED_BYTES)
        result = two.messages()[-1]["result"]
        got += [base64.b64decode(chunk["chunk"])[:7] for chunk in result["chunks"]]
        after = result["nextSeq"] - 1
    assert got == [b"%07d" % number for number in range(said)]
    assert not child.is_paused
    for _ in range(20):
        child.say(bytes(RETAINED_BYTES))
    assert not child.is_paused, "it has caught up"
    two.cut(in_order=True)
    await stage.settle()


async def test_of_expired_and_of_ended_sessions_nothing_is_left() -> None:
    loop = asyncio.get_running_loop()
    tasks = asyncio.all_tasks()
    stage = Stage(retention=0.01)
    refs: list[weakref.ref[Any]] = []
    for in_order in (False, True, False):
        peers = [stage.connect() for _ in range(30)]
        for number, peer in enumerate(peers):
            if number % 3:
                peer.start("p", pipeStdin=True)
                stage.machine.children[-1].say(b"x")
                peer.call("process/read", processId="p", afterSeq=5, waitMs=600_000)
        refs += [weakref.ref(child.observer) for child in stage.machine.children]
        refs += [weakref.ref(session) for session in stage.sessions._sessions.values()]
        refs += [weakref.ref(peer.connection) for peer in peers]
        for peer in peers:
            peer.cut(in_order)
        del peer, peers
        await stage.until_empty()
        await stage.settle()
        assert all(not child._running for child in stage.machine.children)
        stage.machine.children.clear()
    assert len(refs) > 200
    gc.collect()
    assert [found for ref in refs if (found := ref()) is not None] == []
    assert asyncio.all_tasks() == tasks
    timers = loop._scheduled  # type: ignore[attr-defined]
    assert [timer for timer in timers if not timer.cancelled() and "essions" in repr(timer)] == []


async def test_sessions_without_processes_are_not_kept_by_the_thousand(
    caplog: pytest.LogCaptureFixture,
) -> None:
    stage = Stage()
    with_process = stage.connect()
    with_process.start("p")
    with_process.cut()
    first = stage.connect()
    first.cut()
    for _ in range(4096):
        stage.connect().cut()
    await stage.settle()
    assert len(stage.sessions) == 4097
    assert "1 sessions without processes were ended" in caplog.text
    assert stage.connect(first.session_id).handshake["error"]["code"] == -32600
    assert "result" in stage.connect(with_process.session_id).handshake
    stage.sessions.close()
    await stage.settle()
    assert len(stage.sessions) == 1, "that of the connection that is there"


async def test_no_session_waits_once_the_executor_closes() -> None:
    stage = Stage()
    waiting, attached = stage.connect(), stage.connect()
    for peer in (waiting, attached):
        peer.start("p")
    waiting.cut()
    stage.sessions.close()
    attached.cut()
    late = stage.connect()
    late.cut()
    await stage.settle()
    assert len(stage.sessions) == 0
    assert all(not child._running for child in stage.machine.children)


def closed_process(name: str, outlet: Outlet, size: int = 0) -> ManagedProcess:
    process = ManagedProcess(name, outlet, lambda _: None)
    if size:
        process.log.append("stdout", bytes(size))
    process.log.mark_exited(0)
    process.log.mark_closed()
    return process


def test_more_is_kept_of_what_the_client_has_yet_to_read() -> None:
    outlet = Outlet(acknowledges=True)
    closed = ClosedProcesses()
    processes = [closed_process(f"p{number}", outlet) for number in range(5000)]
    gone = []
    for process in processes:
        closed.add(process)
        gone += [each.process_id for each in closed.pop_surplus()]
    assert gone == [f"p{number}" for number in range(5000 - 4096)]
    for process in processes:
        process.log.acknowledge(2)
        closed.learned(process)
    gone = [each.process_id for each in closed.pop_surplus()]
    assert gone == [f"p{number}" for number in range(5000 - 4096, 5000 - 1024)]
    assert len(closed) == 1024


def test_what_is_kept_counts_by_its_size_too() -> None:
    mib = 1024 * 1024
    outlet = Outlet(acknowledges=True)
    closed = ClosedProcesses()
    processes = [closed_process(f"p{number}", outlet, mib) for number in range(300)]
    for process in processes:
        closed.add(process)
    assert len(list(closed.pop_surplus())) == 300 - 255
    for process in processes:
        process.log.acknowledge(3)
        closed.learned(process)
    assert len(list(closed.pop_surplus())) == 255 - 63


def test_a_share_of_the_session_is_never_less_than_what_is_retained() -> None:
    assert [window(count) for count in (0, 1, 16, 32, 64, 100_000)] == [
        WINDOW_BYTES,
        WINDOW_BYTES,
        WINDOW_BYTES,
        WINDOW_BYTES // 2,
        RETAINED_BYTES,
        RETAINED_BYTES,
    ]


async def test_the_share_follows_the_number_of_open_processes() -> None:
    machine, outlet = Machine(), Outlet(lambda _: None)
    calls = ProcessCalls(machine, "linux", outlet)
    start = next(one for one in calls.handlers() if one.method.name == "process/start")
    for number in range(64):
        start.call(
            start.method.params(process_id=f"p{number}", argv=["a"], cwd="file:///", env={}, tty=False)
        )
    assert outlet.window == RETAINED_BYTES
    for child in machine.children[:48]:
        child.end()
    assert outlet.window == WINDOW_BYTES
    await calls.close()


async def test_a_refused_resume_changes_nothing() -> None:
    stage = Stage()
    with pytest.raises(RpcError):
        stage.sessions.attach(InitializeParams("x", "nope"), lambda _: None)
    with pytest.raises(RpcError):
        stage.sessions.attach(InitializeParams("x", retention_ms=-1), lambda _: None)
    assert len(stage.sessions) == 0
