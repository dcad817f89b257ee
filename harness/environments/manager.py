"""Several environments in one program, by name: connected ahead, shared, connected afresh when lost."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Collection
from types import TracebackType
from typing import Final, Self

from harness.client import Client, ClientError, RpcError, State
from harness.environments.base import EnvironmentFailed
from harness.environments.lifecycle import EnvironmentState, Lifecycle
from harness.environments.sources import Opener, Source, opener

logger = logging.getLogger(__name__)

CONNECT_SECONDS: Final = 10.0
"""What a connection may take, where nothing else is said."""

_LOST: Final = (State.FAILED, State.CLOSED)


class EnvironmentUnknown(ClientError, LookupError):
    """No environment is registered by that name.

    :ivar name: the name that was asked for.
    :ivar known: those that there are.
    """

    def __init__(self, name: str, known: list[str]) -> None:
        super().__init__(name, known)
        self.name = name
        self.known = known

    def __str__(self) -> str:
        known = ", ".join(map(repr, self.known)) or "none"
        return f"no environment {self.name!r} is registered; there are: {known}"


class EnvironmentUnavailable(EnvironmentFailed):
    """An environment could not be connected to; the cause is what its source has raised, if it has.

    :ivar name: the environment's.
    :ivar tried: what was done to connect.
    :ivar found: what came of it.
    :ivar is_final: it was the first attempt, and there will be no other; or else the next use tries again.
    """

    def __init__(self, name: str, tried: str, found: str, is_final: bool) -> None:
        super().__init__(name, tried, found, is_final)
        self.name = name
        self.tried = tried
        self.found = found
        self.is_final = is_final

    def __str__(self) -> str:
        then = "register it anew to try again" if self.is_final else "the next use tries again"
        return f"environment {self.name!r} is not available: tried to {self.tried}: {self.found}; {then}"


class EnvironmentRemoved(ClientError):
    """An environment was dropped or replaced, or its manager closed, before there was a connection.

    :ivar name: the environment's.
    :ivar why: what has befallen it.
    """

    def __init__(self, name: str, why: str) -> None:
        super().__init__(name, why)
        self.name = name
        self.why = why

    def __str__(self) -> str:
        return f"environment {self.name!r} cannot be used: {self.why}"


class EnvironmentManager:
    """Holds environments by name, and one client of each.

    It is an asynchronous context manager, belongs to the event loop that has entered it, and is used there
    only. Every connection is made, held and closed by a task of its own; leaving the manager ends them all
    and waits for that.

    :param client_name: what the executors are told.
    """

    def __init__(self, *, client_name: str = "crossexec") -> None:
        self._client_name = client_name
        self._named: dict[str, _Named] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._closed = False

    def __repr__(self) -> str:
        return f"<EnvironmentManager of {', '.join(self._named) or 'nothing'}>"

    async def __aenter__(self) -> Self:
        if self._tasks is not None:
            raise RuntimeError("a manager of environments can be entered once")
        self._tasks = await asyncio.TaskGroup().__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._tasks is not None
        self._closed = True
        for each in self._named.values():
            each.remove("its manager was closed")
        # With the error it would cancel the tasks, which are about to close their clients in order.
        await self._tasks.__aexit__(None, None, None)

    @property
    def names(self) -> list[str]:
        """The environments, in the order of their registration."""
        return list(self._named)

    def state(self, name: str) -> EnvironmentState:
        """How it stands with an environment now.

        :raises EnvironmentUnknown: there is none of that name.
        """
        return self._find(name).look()

    def register(
        self,
        name: str,
        source: Source,
        *,
        connect_timeout: float = CONNECT_SECONDS,
        lazy: bool | None = None,
    ) -> None:
        """Adds an environment and begins to connect to it; returns at once.

        One of that name is replaced: whoever waits for its connection gets :class:`EnvironmentRemoved`, and
        its client is closed. The new one does not wait for that; to have the old one gone, first
        ``await`` :meth:`drop`.

        :param source: the URL of an executor; the command line, as a list, of one that speaks over its
            standard streams; an :class:`Environment`, whose executor comes up and goes with the client; or
            whatever returns an asynchronous context manager of a client, such as
            :meth:`Running.connect`. It is used again only after what it made before is closed.
        :param connect_timeout: seconds that any attempt to connect may take, all included: what
            *source* has to bring up, the handshake, and the end of a connection before.
        :param lazy: connect only when somebody asks for the client. By default so for a command line only.
        :raises TypeError: *source* is none of these.
        :raises ValueError: *source* is empty, or *connect_timeout* no time.
        :raises RuntimeError: this manager was not entered, or is closed.
        """
        if self._tasks is None or self._closed:
            raise RuntimeError(f"{self!r} is closed" if self._closed else f"{self!r} was not entered")
        if not 0 < connect_timeout < math.inf:
            raise ValueError(f"connect_timeout is {connect_timeout!r}: give a number of seconds above 0")
        made = opener(source, client_name=self._client_name, connect_timeout=connect_timeout)
        before = self._named.pop(name, None)
        if before is not None:
            before.remove("it was replaced")
        self._named[name] = named = _Named(name, made, Lifecycle(connect_timeout), self._tasks)
        if not (made.is_lazy if lazy is None else lazy):
            named.use()

    async def drop(self, name: str) -> None:
        """Forgets an environment: whoever waits for its connection gets :class:`EnvironmentRemoved`.

        Waits until its client is closed, which goes on if this call is cancelled.

        :raises EnvironmentUnknown: there is none of that name.
        """
        named = self._find(name)
        del self._named[name]
        named.remove("it was dropped")
        await named.wait_ended()

    async def client(self, name: str) -> Client:
        """Returns the client of an environment, the same for all that use it.

        It is the manager's to close. Waits while the first connection comes about; where its session was
        lost for good, connects afresh, while one that is being recovered is returned as it is. All who ask
        meanwhile share what comes of the one attempt, which goes on where one of them is cancelled.

        :raises EnvironmentUnknown: there is none of that name.
        :raises EnvironmentUnavailable: there is no connection. That is final if there never was one.
        :raises EnvironmentRemoved: it was dropped or replaced meanwhile, or this manager closed.
        """
        return await self._find(name).use().outcome()

    def _find(self, name: str) -> _Named:
        named = self._named.get(name)
        if named is None:
            raise EnvironmentUnknown(name, self.names)
        return named


class _Named:
    """One registration: its attempts to connect, one after the other."""

    def __init__(self, name: str, opener: Opener, lifecycle: Lifecycle, tasks: asyncio.TaskGroup) -> None:
        self._name = name
        self._opener = opener
        self._lifecycle = lifecycle
        self._tasks = tasks
        self._latest: _Attempt | None = None
        self._running: set[asyncio.Task[None]] = set()
        self._removed = ""

    def look(self) -> EnvironmentState:
        """Returns the state, in which a loss counts that its task has not come to see yet."""
        latest = self._latest
        if latest is not None and latest.client is not None and latest.client.state in _LOST:
            self._lifecycle.lost(latest.number)
            latest.end()
        return self._lifecycle.state

    def use(self) -> _Attempt:
        """Returns the attempt whose outcome counts, begun if there is none.

        :raises EnvironmentRemoved: it was removed.
        """
        if self.look() is EnvironmentState.REMOVED:
            raise EnvironmentRemoved(self._name, self._removed)
        loop = asyncio.get_running_loop()
        if self._lifecycle.ask(loop.time()):
            assert self._lifecycle.deadline is not None
            self._latest = attempt = _Attempt(self._lifecycle.attempt)
            holding = self._hold(attempt, frozenset(self._running))
            attempt.task = self._tasks.create_task(holding, name=f"environment {self._name}")
            attempt.timer = loop.call_at(self._lifecycle.deadline, self._expire, attempt)
            self._running.add(attempt.task)
            attempt.task.add_done_callback(self._running.discard)
        assert self._latest is not None
        return self._latest

    def remove(self, why: str) -> None:
        self._lifecycle.remove()
        self._removed = why
        if self._latest is not None:
            self._latest.tell(EnvironmentRemoved(self._name, why))
            self._latest.end()

    async def wait_ended(self) -> None:
        if self._running:
            await asyncio.wait(self._running)

    def _expire(self, attempt: _Attempt) -> None:
        assert self._lifecycle.deadline is not None
        # A timer may come a tick of its clock before the time it was set for.
        self._lifecycle.expired(self._lifecycle.deadline)
        waited = "" if attempt.begun else ": the one before is still being closed"
        self._tell_failure(attempt, f"no connection within {self._lifecycle.connect_timeout:g} s{waited}")
        attempt.end()

    async def _hold(self, attempt: _Attempt, before: Collection[asyncio.Task[None]]) -> None:
        """Makes one connection, tells what came of it, holds it while it is wanted, and closes it."""
        try:
            if before:
                await asyncio.wait(before)
            attempt.begun = True
            async with self._opener.open() as client:
                if self._lifecycle.connected(attempt.number):
                    attempt.tell(client)
                    await attempt.until_over(client)
                    self._lifecycle.lost(attempt.number)
        except asyncio.CancelledError:
            if not attempt.is_cancelled:
                # By its own source, or by whoever ends the loop.
                self._failed(attempt, "it was cancelled")
                raise
        except Exception as error:
            if attempt.is_told:
                logger.warning("environment %r: closing its client: %s", self._name, _words(error))
            else:
                self._failed(attempt, _words(error), error)
        except BaseException as error:
            self._failed(attempt, _words(error), error)
            raise
        finally:
            self._lifecycle.lost(attempt.number)

    def _failed(self, attempt: _Attempt, found: str, cause: BaseException | None = None) -> None:
        if self._lifecycle.failed(attempt.number):
            self._tell_failure(attempt, found, cause)

    def _tell_failure(self, attempt: _Attempt, found: str, cause: BaseException | None = None) -> None:
        is_final = self._lifecycle.state is EnvironmentState.FAILED
        error = EnvironmentUnavailable(self._name, self._opener.tried, found, is_final)
        error.__cause__ = cause
        attempt.tell(error)


class _Attempt:
    """One connection, from the attempt to its end.

    :ivar begun: its source was asked for it.
    :ivar client: what came of it.
    :ivar is_cancelled: the task that makes it was.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.begun = False
        self.client: Client | None = None
        self.is_cancelled = False
        self.task: asyncio.Task[None] | None = None
        self.timer: asyncio.TimerHandle | None = None
        self._error: ClientError | None = None
        self._told = asyncio.Event()
        self._over = asyncio.Event()

    @property
    def is_told(self) -> bool:
        return self._told.is_set()

    def tell(self, outcome: Client | ClientError) -> None:
        """Hands the outcome to all who wait for it, unless there was one before."""
        if self.is_told:
            return
        if isinstance(outcome, ClientError):
            self._error = outcome
        else:
            self.client = outcome
        if self.timer is not None:
            self.timer.cancel()
        self._told.set()

    async def outcome(self) -> Client:
        """Waits for what comes of it, and returns or raises that."""
        await self._told.wait()
        if self._error is not None:
            # One for each: a traceback belongs to whoever meets it.
            raise type(self._error)(*self._error.args) from self._error.__cause__
        assert self.client is not None
        return self.client

    def end(self) -> None:
        """Has it ended: what it waits for is cancelled, but never the closing of its client."""
        self._over.set()
        if self.client is None and not self.is_cancelled and self.task is not None:
            self.is_cancelled = True
            self.task.cancel()

    async def until_over(self, client: Client) -> None:
        """Waits until the client is lost for good, or not wanted any more."""
        waiting = [asyncio.ensure_future(client.wait_lost()), asyncio.ensure_future(self._over.wait())]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)


def _words(error: BaseException) -> str:
    text = str(error) if isinstance(error, (ClientError, RpcError)) else f"{type(error).__name__}: {error}"
    return "; ".join((text, *getattr(error, "__notes__", ())))
