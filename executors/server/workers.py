"""Threads for calls that block.

The standard thread pool is not used: it joins its threads when the interpreter exits, so that
one call stuck on a hung file system would keep the whole executor alive, and it wakes the event
loop once for each call where one wake-up can deliver many results.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

THREAD_LIMIT = 32
"""So many calls can be stuck at once before others have to wait for them."""


class Workers:
    """Runs blocking functions on daemon threads, for the event loop that made it.

    Threads are started as calls need them, up to a limit, and stay. A call that never returns
    holds its thread only: it delays no other call and does not keep the interpreter alive.
    """

    def __init__(self, limit: int = THREAD_LIMIT) -> None:
        self._loop = asyncio.get_running_loop()
        self._limit = limit
        self._threads = 0
        self._undelivered = 0
        """Calls taken and not yet answered; read and written by the loop's thread only."""
        self._queue: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._completed: deque[_Job] = deque()
        self._wake_pending = False
        self._closed = False

    async def run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Returns what *call* returns, or raises what it raises; cancellation as in :meth:`submit`."""
        return await self.submit(call, *args, **kwargs)

    def submit(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> asyncio.Future[T]:
        """Starts *call* at once, whether or not the future is awaited.

        If the future is cancelled, a call that waits for a thread is dropped; one that runs
        goes on, and its result is lost. A call whose result must not be lost keeps it
        elsewhere, as a file handle keeps its descriptor.

        :raises RuntimeError: after :meth:`close`.
        """
        job = self._job(call, args, kwargs)
        self._enqueue(job.run)
        return job.future

    def strand(self) -> Strand:
        """A queue of its own, whose calls run one after the other."""
        return Strand(self)

    def close(self) -> None:
        """Ends the threads once they are idle; waits for none.

        Calls already taken still run where a thread is free.
        """
        self._closed = True
        for _ in range(self._threads):
            self._queue.put(None)

    def _job(self, call: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Job:
        if self._closed:
            raise RuntimeError("the worker threads are closed")
        self._undelivered += 1
        return _Job(self._loop.create_future(), call, args, kwargs, self._complete)

    def _enqueue(self, work: Callable[[], None]) -> None:
        self._queue.put(work)
        if self._threads < self._limit and self._undelivered > self._threads:
            self._threads += 1
            threading.Thread(target=self._work, name=f"worker-{self._threads}", daemon=True).start()

    def _work(self) -> None:
        for work in iter(self._queue.get, None):
            work()
            # Else this frame would hold the last call's arguments while it waits.
            del work

    def _complete(self, job: _Job) -> None:
        """Called on the worker's thread. One wake-up delivers whatever has completed by then."""
        self._completed.append(job)
        if self._wake_pending:
            return
        self._wake_pending = True
        try:
            self._loop.call_soon_threadsafe(self._deliver)
        except RuntimeError:  # The loop is closed: nobody is left to be told.
            self._completed.clear()

    def _deliver(self) -> None:
        # Before the queue is emptied: whoever completes a call after that wakes the loop again.
        self._wake_pending = False
        while self._completed:
            self._undelivered -= 1
            self._completed.popleft().deliver()


class Strand:
    """Calls that run one at a time, in the order they were submitted, on the threads of :class:`Workers`."""

    def __init__(self, workers: Workers) -> None:
        self._workers = workers
        self._jobs: deque[_Job] = deque()
        self._lock = threading.Lock()
        self._running = False

    def submit(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> asyncio.Future[T]:
        """Queues *call*; cancellation as in :meth:`Workers.submit`.

        :raises RuntimeError: after :meth:`Workers.close`.
        """
        job = self._workers._job(call, args, kwargs)
        with self._lock:
            self._jobs.append(job)
            start = not self._running
            self._running = True
        if start:
            self._workers._enqueue(self._drain)
        return job.future

    def _drain(self) -> None:
        while True:
            with self._lock:
                if not self._jobs:
                    self._running = False
                    return
                job = self._jobs.popleft()
            job.run()
            del job


class _Job:
    """One call and what came of it."""

    __slots__ = ("args", "call", "complete", "error", "future", "kwargs", "result")

    def __init__(
        self,
        future: asyncio.Future[Any],
        call: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        complete: Callable[[_Job], None],
    ) -> None:
        self.future = future
        self.call = call
        self.args = args
        self.kwargs = kwargs
        self.complete = complete
        self.result: Any = None
        self.error: BaseException | None = None

    def run(self) -> None:
        """On a worker's thread."""
        if not self.future.cancelled():
            try:
                self.result = self.call(*self.args, **self.kwargs)
            except BaseException as error:
                self.error = error
        self.complete(self)

    def deliver(self) -> None:
        """On the loop's thread."""
        if self.future.cancelled():
            return
        if self.error is None:
            self.future.set_result(self.result)
        else:
            self.future.set_exception(self.error)
            # Marks it as seen: where the awaiting task is gone, so is whoever wanted to know.
            self.future.exception()
