"""What waits for a process's stdin. Plain state, no I/O."""

from __future__ import annotations

import asyncio
from collections import deque

HIGH_WATER_BYTES = 1024 * 1024


class InputQueue:
    """Data in its order, and a future for those who wait until less of it is queued.

    :ivar closing: nothing is to be added any more.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._views: deque[memoryview] = deque()
        self._size = 0
        self._room: asyncio.Future[None] | None = None
        self.closing = False

    def __bool__(self) -> bool:
        return bool(self._views)

    @property
    def head(self) -> memoryview:
        """What is to be written next."""
        return self._views[0]

    def put(self, view: memoryview) -> asyncio.Future[None] | None:
        """Queues *view*, which is not empty.

        :returns: None while there is room for more, else a future that is done when there is.
        """
        self._views.append(view)
        self._size += len(view)
        if self._size <= HIGH_WATER_BYTES:
            return None
        if self._room is None:
            self._room = self._loop.create_future()
        return self._room

    def taken(self, count: int) -> None:
        """*count* bytes of the head were written."""
        view = self._views[0]
        self._size -= count
        if count < len(view):
            self._views[0] = view[count:]
        else:
            self._views.popleft()
        if self._size <= HIGH_WATER_BYTES:
            self._tell_room()

    def clear(self) -> None:
        """Drops everything and lets go those who wait: nobody reads any more."""
        self.closing = True
        self._views.clear()
        self._size = 0
        self._tell_room()

    def _tell_room(self) -> None:
        if self._room is not None:
            if not self._room.done():
                self._room.set_result(None)
            self._room = None
