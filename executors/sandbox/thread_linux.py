"""A thread that has given up rights, and starts programs for the others."""

from __future__ import annotations

import os
import queue
import select
import threading
from collections.abc import Callable
from concurrent.futures import Future

Call = tuple[Callable[[], int], "Future[int]"]
_PATIENCE_MS = 50
"""A start takes a fraction of that, and waits for nobody."""


class ConfinedThread:
    """Lives until it is closed: what it has started has it as its parent thread.

    :param confine: gives rights up, on the thread, before anything is started there.
    :raises OSError, ValueError: as *confine*.
    """

    def __init__(self, confine: Callable[[], None]) -> None:
        self._calls: queue.SimpleQueue[Call | None] = queue.SimpleQueue()
        self._done = os.eventfd(0, os.EFD_CLOEXEC)
        confined: Future[None] = Future()
        # A daemon, so that a forgotten one keeps no process alive.
        self._thread = threading.Thread(
            target=self._run, args=(confine, confined), name="confined", daemon=True
        )
        try:
            self._thread.start()
            try:
                confined.result()
            except BaseException:
                self._thread.join()
                raise
        except BaseException:
            os.close(self._done)
            raise

    @property
    def native_id(self) -> int:
        """The thread's number in /proc."""
        assert self._thread.native_id is not None, "started"
        return self._thread.native_id

    def call(self, function: Callable[[], int], waiting: tuple[int, Callable[[], None]] | None = None) -> int:
        """Returns what *function* returns on the thread; it blocks until then.

        :param waiting: a descriptor, and what is to be called here when that becomes readable. Any code may
            come to run on the thread, such as a finalizer, and that may wait for an answer of the caller.
        :raises BaseException: as *function*.
        """
        result: Future[int] = Future()
        self._calls.put((function, result))
        if waiting is not None:
            poll = select.poll()
            poll.register(self._done, select.POLLIN)
            if not poll.poll(_PATIENCE_MS):
                fd, answer = waiting
                poll.register(fd, select.POLLIN)
                while not result.done():
                    poll.poll()
                    answer()
        try:
            return result.result()
        finally:
            os.eventfd_read(self._done)

    def close(self) -> None:
        self._calls.put(None)
        self._thread.join()
        os.close(self._done)

    def _run(self, confine: Callable[[], None], confined: Future[None]) -> None:
        try:
            confine()
        except BaseException as error:
            confined.set_exception(error)
            return
        confined.set_result(None)
        while (call := self._calls.get()) is not None:
            function, result = call
            try:
                result.set_result(function())
            except BaseException as error:
                result.set_exception(error)
            os.eventfd_write(self._done, 1)
