"""WebSocket connections of executors and harnesses, and what waits to be sent on them."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from aiohttp import ClientConnectionResetError, WSCloseCode, web

from harness.rendezvous.signing import Ticket

MOST_FRAME_BYTES: Final = 256 * 1024
_HIGH_WATER_BYTES: Final = 4 * 1024 * 1024
_PING_SECONDS: Final = 30.0


class Link:
    """One connection.

    Whoever sends waits while 4 MiB wait to be sent, at most as long as it says.

    :ivar ticket: whose it is.
    :ivar received: bytes.
    :ivar sent: bytes.
    """

    def __init__(self, ticket: Ticket) -> None:
        self.ticket = ticket
        self.socket = web.WebSocketResponse(
            max_msg_size=MOST_FRAME_BYTES, heartbeat=_PING_SECONDS, compress=False, autoping=True
        )
        self.received = 0
        self.sent = 0
        self._queue: deque[bytes] = deque()
        self._waiting = 0
        self._may_send = asyncio.Event()
        self._has_room = asyncio.Event()
        self._has_room.set()
        self._close: tuple[int, str] | None = None

    def __repr__(self) -> str:
        return f"<{self.ticket.role} of {self.ticket.environment}>"

    @property
    def waiting(self) -> int:
        """Bytes that wait to be sent."""
        return self._waiting

    def send(self, frame: bytes) -> None:
        """Has a frame sent after those that wait."""
        if self._close is None:
            self._queue.append(frame)
            self._waiting += len(frame)
            if self._waiting >= _HIGH_WATER_BYTES:
                self._has_room.clear()
            self._may_send.set()

    async def room(self, seconds: float) -> bool:
        """Waits until more may be sent; returns False if that took too long."""
        if self._has_room.is_set():
            return True
        try:
            async with asyncio.timeout(seconds):
                await self._has_room.wait()
        except TimeoutError:
            return False
        return True

    def close(self, code: int, reason: str) -> None:
        """Ends it, without waiting for what is not sent yet."""
        if self._close is None:
            self._close = code, reason
            self._queue.clear()
            self._waiting = 0
            self._has_room.set()
            self._may_send.set()

    async def write(self) -> None:
        """Sends what there is to send until the connection ends or is to be closed, and closes it."""
        try:
            while self._close is None:
                await self._may_send.wait()
                self._may_send.clear()
                while self._queue:
                    frame = self._queue.popleft()
                    await self.socket.send_bytes(frame)
                    self.sent += len(frame)
                    self._waiting = max(0, self._waiting - len(frame))
                    if self._waiting < _HIGH_WATER_BYTES:
                        self._has_room.set()
        except (ClientConnectionResetError, ConnectionError):
            # The reader sees the end, too, and tells of it.
            self.close(WSCloseCode.GOING_AWAY, "")
        code, reason = self._close or (WSCloseCode.OK, "")
        await self.socket.close(code=code, message=reason.encode())
