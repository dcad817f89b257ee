"""The client for code that is not asynchronous, such as most tests.

All clients of a program share one event loop on a thread of its own, which runs while there is
at least one. Their calls may be made from any thread but that one.
"""

from __future__ import annotations

import asyncio
import functools
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, AbstractContextManager, contextmanager
from typing import Any, Concatenate, Final, Generic, ParamSpec, Self, TypeVar, Unpack, overload

from anyio.from_thread import BlockingPortal, BlockingPortalProvider

from executors.protocol.environment import EnvironmentInfo
from executors.protocol.methods import Method
from harness.bearer import BearerAuth
from harness.client.client import Client, connect
from harness.client.errors import CallTimeout, SessionLost
from harness.client.events import Completed, Event, ExitedEvent
from harness.client.files import Files, Path, ReadHandle, WriteHandle
from harness.client.flow import BufferLimits
from harness.client.links import LinkOptions
from harness.client.process import Process, StartOptions
from harness.client.recovery import RecoveryOptions, State
from harness.client.sandbox import Sandbox
from harness.client.session import OpenLink

A = ParamSpec("A")
F = TypeVar("F")
P = TypeVar("P")
R = TypeVar("R")
T = TypeVar("T")

DEFAULT_TIMEOUT: Final = 60.0

_portals: Final = BlockingPortalProvider()
_LINK_OPTIONS: Final = LinkOptions()
_BUFFER_LIMITS: Final = BufferLimits()
_RECOVERY_OPTIONS: Final = RecoveryOptions()


class Loop:
    """The event loop as a blocking caller sees it.

    :param timeout: seconds that a call may take where it names no other; None for any time.
    """

    def __init__(self, portal: BlockingPortal, timeout: float | None) -> None:
        self.timeout = timeout
        self._portal = portal
        self._loop: asyncio.AbstractEventLoop = portal.call(asyncio.get_running_loop)

    def run(self, call: Coroutine[Any, Any, R], name: str, timeout: float | None = None) -> R:
        """Runs *call* and returns its result.

        :param timeout: seconds; None for the default.
        :raises CallTimeout: it took longer; it is cancelled then.
        """
        seconds = self.timeout if timeout is None else timeout
        # The clock runs on the loop's side: a call that has taken an event is not called off.
        future = asyncio.run_coroutine_threadsafe(_within(seconds, call, name), self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    @contextmanager
    def enter(self, context: AbstractAsyncContextManager[T]) -> Iterator[T]:
        """Enters an asynchronous context manager; Ctrl-C meanwhile leaves it too."""
        held = _Held(context, self._loop)
        try:
            held.start()
            entered = held.entered.result()
        except BaseException:
            held.cancel()
            raise
        try:
            yield entered
        except BaseException as error:
            if not held.leave(error):
                raise
        else:
            held.leave(None)


class _Held(Generic[T]):
    """An asynchronous context manager that one task enters and leaves.

    :ivar entered: what entering it returned or raised.
    """

    def __init__(self, context: AbstractAsyncContextManager[T], loop: asyncio.AbstractEventLoop) -> None:
        self.entered: Future[T] = Future()
        self._context = context
        self._loop = loop
        self._task: asyncio.Task[bool] | None = None
        self._error: Future[BaseException | None] = Future()
        self._left: Future[bool] = Future()

    def start(self) -> None:
        self._loop.call_soon_threadsafe(self._start)

    def leave(self, error: BaseException | None) -> bool:
        """Leaves it because of *error*, and returns whether that is swallowed.

        :raises BaseException: as leaving it.
        """
        self._error.set_result(error)
        return self._left.result()

    def cancel(self) -> None:
        """Cancels what goes on, and waits for its end; what it raises is of no interest any more."""
        self._loop.call_soon_threadsafe(self._cancel)
        self._left.exception()

    def _start(self) -> None:
        self._task = self._loop.create_task(self._hold())
        self._task.add_done_callback(self._ended)

    def _cancel(self) -> None:
        if self._task is None:
            # Interrupted before it was started.
            self._left.set_result(False)
        else:
            self._task.cancel()

    def _ended(self, task: asyncio.Task[bool]) -> None:
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if error is None:
            self._left.set_result(task.result())
            return
        if not self.entered.done():
            self.entered.set_exception(error)
        self._left.set_exception(error)

    async def _hold(self) -> bool:
        self.entered.set_result(await self._context.__aenter__())
        try:
            error = await asyncio.wrap_future(self._error)
        except asyncio.CancelledError as cancelled:
            error = cancelled
        kind = None if error is None else type(error)
        trace = None if error is None else error.__traceback__
        return bool(await self._context.__aexit__(kind, error, trace))


async def _within(seconds: float | None, call: Coroutine[Any, Any, R], name: str) -> R:
    try:
        async with asyncio.timeout(seconds) as limit:
            return await call
    except TimeoutError:
        if not limit.expired():
            raise
        raise CallTimeout(f"{name} did not finish within {seconds:g} s") from None


class Face(Generic[T]):
    """The blocking face of an asynchronous object."""

    def __init__(self, target: T, loop: Loop) -> None:
        self._target = target
        self._loop = loop

    def __repr__(self) -> str:
        return repr(self._target)

    def _run(self, name: str, call: Coroutine[Any, Any, R], timeout: float | None = None) -> R:
        return self._loop.run(call, f"{name} on {self._target!r}", timeout)


class blocking(Generic[A, R]):
    """The blocking twin of an asynchronous method: same arguments, same result."""

    def __init__(self, method: Callable[Concatenate[Any, A], Coroutine[Any, Any, R]]) -> None:
        self._method = method
        self.__doc__ = method.__doc__

    @overload
    def __get__(self, face: None, owner: type) -> Self: ...

    @overload
    def __get__(self, face: Face[Any], owner: type) -> Callable[A, R]: ...

    def __get__(self, face: Face[Any] | None, owner: type) -> Self | Callable[A, R]:
        if face is None:
            return self

        @functools.wraps(self._method)
        def call(*args: A.args, **kwargs: A.kwargs) -> R:
            name = f"{self._method.__name__}{args!r}"
            return face._run(name, self._method(face._target, *args, **kwargs))

        return call


class SyncReadHandle(Face[ReadHandle]):
    """See :class:`harness.client.files.ReadHandle`."""

    read_block = blocking(ReadHandle.read_block)


class SyncWriteHandle(Face[WriteHandle]):
    """See :class:`harness.client.files.WriteHandle`."""

    write_block = blocking(WriteHandle.write_block)


class SyncFiles(Face[Files]):
    """See :class:`harness.client.files.Files`."""

    read_file = blocking(Files.read_file)
    write_file = blocking(Files.write_file)
    create_directory = blocking(Files.create_directory)
    remove = blocking(Files.remove)
    copy = blocking(Files.copy)
    canonicalize = blocking(Files.canonicalize)
    metadata = blocking(Files.metadata)
    read_directory = blocking(Files.read_directory)
    walk = blocking(Files.walk)
    write_stream = blocking(Files.write_stream)

    def sandboxed(self, sandbox: Sandbox) -> SyncFiles:
        """See :meth:`Files.sandboxed`."""
        return SyncFiles(self._target.sandboxed(sandbox), self._loop)

    @contextmanager
    def open_read(self, path: Path) -> Iterator[SyncReadHandle]:
        with self._loop.enter(self._target.open_read(path)) as handle:
            yield SyncReadHandle(handle, self._loop)

    @contextmanager
    def open_replace(self, path: Path) -> Iterator[SyncWriteHandle]:
        with self._loop.enter(self._target.open_replace(path)) as handle:
            yield SyncWriteHandle(handle, self._loop)

    def stream(self, path: Path) -> Iterator[bytes]:
        blocks = self._target.stream(path)

        async def next_block() -> bytes | None:
            return await anext(blocks, None)

        try:
            while (block := self._run(f"stream({path})", next_block())) is not None:
                yield block
        finally:
            self._run(f"stream({path})", blocks.aclose())


class SyncProcess(Face[Process]):
    """See :class:`harness.client.process.Process`.

    Iterate over it for its events. As a context manager it terminates the process on leaving.
    """

    write = blocking(Process.write)
    close_stdin = blocking(Process.close_stdin)
    interrupt = blocking(Process.interrupt)
    resize = blocking(Process.resize)
    terminate = blocking(Process.terminate)

    def __init__(self, target: Process, loop: Loop) -> None:
        super().__init__(target, loop)
        self._events: deque[Event] = deque()

    @property
    def process_id(self) -> str:
        return self._target.process_id

    @property
    def argv(self) -> list[str]:
        return self._target.argv

    @property
    def exit_code(self) -> int | None:
        return self._target.exit_code

    @property
    def exited(self) -> ExitedEvent | None:
        return self._target.exited

    @property
    def closed(self) -> bool:
        return self._target.closed

    def wait(self, timeout: float | None = None) -> int:
        """See :meth:`Process.wait`; *timeout* in seconds for this call."""
        return self._run("wait", self._target.wait(), timeout)

    def communicate(self, input: bytes | None = None, *, timeout: float | None = None) -> Completed:
        """See :meth:`Process.communicate`; *timeout* in seconds for this call."""
        return self._run("communicate", self._communicate(input), timeout)

    async def _communicate(self, input: bytes | None) -> Completed:
        self._target.put_back(self._events)
        self._events.clear()
        return await self._target.communicate(input)

    def events(self, timeout: float | None = None) -> Iterator[Event]:
        """Yields the events; *timeout* in seconds for the wait for each."""
        while True:
            if not self._events:
                self._events.extend(self._run("the next event", self._target.next_events(), timeout))
                if not self._events:
                    return
            yield self._events.popleft()

    def __iter__(self) -> Iterator[Event]:
        return self.events()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._run("terminate", self._target.__aexit__(*exc_info))


class SyncClient(Face[Client]):
    """See :class:`harness.client.client.Client`; made by :func:`connect_sync`.

    Every call that takes longer than the client's timeout raises :class:`CallTimeout`.
    """

    def __init__(self, target: Client, loop: Loop) -> None:
        super().__init__(target, loop)
        self.files = SyncFiles(target.files, loop)

    @property
    def info(self) -> EnvironmentInfo:
        return self._target.info

    @property
    def session_id(self) -> str:
        return self._target.session_id

    @property
    def url(self) -> str:
        return self._target.url

    @property
    def state(self) -> State:
        """See :attr:`Client.state`."""
        return self._target.state

    @property
    def generation(self) -> int:
        """See :attr:`Client.generation`."""
        return self._target.generation

    @property
    def recovered(self) -> int:
        """See :attr:`Client.recovered`."""
        return self._target.recovered

    def wait_lost(self, timeout: float | None = None) -> SessionLost:
        """See :meth:`Client.wait_lost`; *timeout* in seconds for this call."""
        return self._run("wait_lost", self._target.wait_lost(), timeout)

    def call(self, method: Method[P, R], params: P, *, timeout: float | None = None) -> R:
        """Makes one call of the protocol; *timeout* in seconds for this call."""
        return self._run(method.name, self._target.call(method, params), timeout)

    def start(self, argv: Sequence[str], **options: Unpack[StartOptions]) -> SyncProcess:
        """See :meth:`Client.start`."""
        process = self._run(f"start({list(argv)!r})", self._target.start(argv, **options))
        return SyncProcess(process, self._loop)

    def run(
        self,
        argv: Sequence[str],
        *,
        input: bytes | None = None,
        check: bool = False,
        timeout: float | None = None,
        **options: Unpack[StartOptions],
    ) -> Completed:
        """See :meth:`Client.run`; *timeout* in seconds for this call."""
        call = self._target.run(argv, input=input, check=check, **options)
        return self._run(f"run({list(argv)!r})", call, timeout)


@contextmanager
def blocking_context(context: AbstractAsyncContextManager[T], *, timeout: float | None = None) -> Iterator[T]:
    """Enters any asynchronous context manager on the shared event loop."""
    with _portals as portal, Loop(portal, timeout).enter(context) as entered:
        yield entered


@contextmanager
def blocking_face(
    context: AbstractAsyncContextManager[T],
    make_face: Callable[[T, Loop], F],
    *,
    timeout: float | None = DEFAULT_TIMEOUT,
) -> Iterator[F]:
    """Enters *context* on the shared event loop; yields the blocking face of what was entered.

    :param timeout: seconds that a call may take where it names no other; None for any time.
    """
    with _portals as portal:
        loop = Loop(portal, timeout)
        with loop.enter(context) as entered:
            yield make_face(entered, loop)


def sync_client(
    context: AbstractAsyncContextManager[Client], *, timeout: float | None = DEFAULT_TIMEOUT
) -> AbstractContextManager[SyncClient]:
    """The blocking face of the client that *context* makes.

    :param timeout: seconds that a call may take where it names no other; None for any time.
    """
    return blocking_face(context, SyncClient, timeout=timeout)


def connect_sync(
    url: str,
    *,
    client_name: str = "crossexec",
    timeout: float | None = DEFAULT_TIMEOUT,
    options: LinkOptions = _LINK_OPTIONS,
    limits: BufferLimits = _BUFFER_LIMITS,
    recovery: RecoveryOptions = _RECOVERY_OPTIONS,
    open_link: OpenLink | None = None,
    bearer: BearerAuth | None = None,
) -> AbstractContextManager[SyncClient]:
    """As :func:`harness.client.connect`, for blocking callers."""
    context = connect(
        url,
        client_name=client_name,
        options=options,
        limits=limits,
        recovery=recovery,
        open_link=open_link,
        bearer=bearer,
    )
    return sync_client(context, timeout=timeout)


__all__ = [
    "DEFAULT_TIMEOUT",
    "SyncClient",
    "SyncFiles",
    "SyncProcess",
    "SyncReadHandle",
    "SyncWriteHandle",
    "blocking_context",
    "blocking_face",
    "connect_sync",
    "sync_client",
]
