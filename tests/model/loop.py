"""An event loop with a clock of its own: no I/O, and time passes only when nothing else is left to do."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

T = TypeVar("T")

_BUSY_STEPS: Final = 200_000


class Stuck(AssertionError):
    """Something is waited for that cannot come: nothing is ready and no timer is set."""


class Busy(AssertionError):
    """The loop is never done with what is ready, so that time cannot pass."""


_numbers = itertools.count()


class _Task(asyncio.Task[Any]):
    """In a set of them, each has the same place every time; of others that goes by their addresses."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._number = next(_numbers)
        super().__init__(*args, **kwargs)

    def __hash__(self) -> int:
        return self._number


class _Future(asyncio.Future[Any]):
    """The same for futures."""

    def __init__(self, *, loop: asyncio.AbstractEventLoop) -> None:
        self._number = next(_numbers)
        super().__init__(loop=loop)

    def __hash__(self) -> int:
        return self._number


class VirtualLoop(asyncio.BaseEventLoop):
    """Runs callbacks in the order they were made ready, and jumps to the next timer when none is.

    Two runs of the same program are the same: there are no threads and no sockets here.
    """

    # Of the base class, which its stub does not tell.
    _scheduled: list[asyncio.TimerHandle]

    def __init__(self) -> None:
        super().__init__()
        global _numbers
        _numbers = itertools.count()
        self.set_task_factory(lambda loop, work, **kwargs: _Task(work, loop=loop, **kwargs))
        self._selector = self
        self._clock_resolution = 1e-9
        self._now = 0.0
        self._until: float | None = 0.0
        self._steps = 0
        self.errors: list[dict[str, Any]] = []
        """What nobody caught."""
        self.set_exception_handler(lambda _, context: self.errors.append(context))

    def time(self) -> float:
        return self._now

    def create_future(self) -> asyncio.Future[Any]:
        return _Future(loop=self)

    def advance(self, seconds: float) -> None:
        """Lets *seconds* pass, with all that happens in them; 0 for what happens at once."""
        self._until = self._now + seconds
        self._steps = 0
        self.run_forever()

    def turn(self, rounds: int) -> None:
        """Does so many rounds of what is ready, in which no time passes."""
        self._until = self._now
        self._steps = 0
        for _ in range(rounds):
            self.call_soon(self.stop)
            self.run_forever()

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Runs *main* to its end, however long that takes.

        :raises Stuck: it waits for what cannot come.
        """
        self._until = None
        self._steps = 0
        return self.run_until_complete(main)

    def timers(self) -> list[asyncio.TimerHandle]:
        """Returns the timers that are set."""
        return [timer for timer in self._scheduled if not timer.cancelled()]

    # What the base class calls, as it would a selector.

    def select(self, timeout: float | None) -> list[Any]:
        self._steps += 1
        if self._steps > _BUSY_STEPS:
            raise Busy(f"never done: {_BUSY_STEPS} rounds of the loop, at {self._now:g} s")
        if timeout == 0:
            return []
        due = None if timeout is None else self._scheduled[0].when()
        if self._until is not None and (due is None or due > self._until):
            self._now = max(self._now, self._until)
            self.stop()
        elif due is None:
            raise Stuck(f"nothing is left to happen at {self._now:g} s")
        else:
            self._now = max(self._now, due)
        return []

    def close(self) -> None:
        # The selector, which is this object, is not to be closed.
        super().close()

    def _process_events(self, event_list: list[Any]) -> None:
        assert not event_list

    def _write_to_self(self) -> None:
        raise AssertionError("a thread takes part in what must be without any")
