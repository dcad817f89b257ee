"""One stream of the relay on a WebSocket of its own, as a link of the client."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import Final

from websockets.exceptions import ConnectionClosed

from executors.remote.dial import reason_of
from executors.remote.wire import Wire
from executors.transport import relay_endpoint
from executors.transport.base import Receiver
from executors.transport.relay_endpoint import Ended, Event, Opened, Readable, RelayStream
from executors.transport.relay_harness import HarnessRelay, NotOpened
from harness.client.links import MakeReceiver

_GOING_AWAY: Final = 1001
_SEND_HIGH_WATER: Final = 1024 * 1024
_SEND_LOW_WATER: Final = 256 * 1024

logger = logging.getLogger(__name__)


class NotAnswered(Exception):
    """The handshake has failed; the text is fit for people.

    :ivar refused: the executor says that the registry would not have it.
    """

    def __init__(self, reason: str, refused: bool = False) -> None:
        super().__init__(reason)
        self.refused = refused


class RelayLink:
    """See :class:`harness.client.links.Link`. It runs from the beginning, and until the WebSocket has ended.

    :param socket: carries nothing else.
    """

    def __init__(self, socket: Wire, relay: HarnessRelay, make_receiver: MakeReceiver) -> None:
        self.largest_message: int | None = relay.largest_message
        self._socket = socket
        self._relay = relay
        self._make_receiver = make_receiver
        self._loop = asyncio.get_running_loop()
        self._stream: RelayStream | None = None
        self._receiver: Receiver | None = None
        self._opened: asyncio.Future[None] = self._loop.create_future()
        self._end = asyncio.Event()
        self._settling = False
        self._writing_paused = False
        self._reason = ""
        self._task = self._loop.create_task(self._run())
        # Whoever hears of the end finds nothing running any more.
        self._task.add_done_callback(self._ended)

    async def open(self) -> None:
        """Waits for the handshake. Whether it fails or is cancelled, nothing is left of the connection.

        :raises NotAnswered: it has failed.
        """
        try:
            await self._opened
        except BaseException:
            self.abort()
            await asyncio.gather(self._task, return_exceptions=True)
            raise

    # The transport.

    @property
    def ended_in_order(self) -> bool:
        return self._stream is not None and self._stream.ended_in_order

    def loss(self) -> tuple[int | None, str]:
        # A code of the WebSocket's is the rendezvous' word, which says nothing of the executor: that one ends
        # a stream in order, which nobody else can, only when it ends itself.
        if self.ended_in_order:
            return _GOING_AWAY, "the executor has ended the stream"
        return None, self._reason

    def send(self, message: bytes) -> None:
        stream = self._open_stream()
        self._relay.send(stream, message)
        self._settle()
        if not self._writing_paused and stream.unsent_bytes > _SEND_HIGH_WATER:
            self._writing_paused = True
            assert self._receiver is not None
            self._receiver.pause_writing()

    def send_buffer_size(self) -> int:
        return self._open_stream().unsent_bytes

    def pause_reading(self) -> None:
        self._relay.pause_reading(self._open_stream())

    def resume_reading(self) -> None:
        self._relay.resume_reading(self._open_stream())
        # Not from here: the caller is in the middle of something.
        self._loop.call_soon(self._settle_read)

    def close(self, code: int = 1000, reason: str = "") -> None:
        self._relay.close(self._open_stream(), f"{code} {reason}".rstrip())
        self._settle()

    def abort(self) -> None:
        self._reason = self._reason or "aborted"
        self._socket.transport.abort()

    # The connection.

    async def _run(self) -> None:
        """Lasts until the WebSocket has ended, which it closes after the stream's end."""
        try:
            self._socket.start(self)
            while not self._end.is_set():
                with suppress(TimeoutError):
                    async with asyncio.timeout(relay_endpoint.GAP_SECONDS):
                        await self._end.wait()
                self._relay.look_for_gaps()
                self._settle()
            with suppress(OSError):
                await self._socket.drain()
            self._socket.send_now()
            await self._socket.close()
        finally:
            self._socket.transport.abort()

    def frame_received(self, frame: bytes) -> None:
        self._relay.receive(frame)
        self._tell()

    def next_frame(self) -> bytes | None:
        frame = self._relay.next_frame()
        if frame is None:
            self._tell()
        return frame

    def frame_sent(self) -> None:
        self._tell()
        self._resume_writer()

    def wire_failed(self, reason: str) -> None:
        self._finish(reason)

    def wire_lost(self, error: ConnectionClosed) -> None:
        self._finish(reason_of(error))

    # The stream.

    def _open_stream(self) -> RelayStream:
        assert self._stream is not None, "nobody has a link before it is open"
        return self._stream

    def _settle(self) -> None:
        """To be called when something was done with the relay: tells what has happened, and sends."""
        self._tell()
        self._socket.send_soon()

    def _settle_read(self) -> None:
        self._deliver()
        self._settle()

    def _tell(self) -> None:
        if self._settling:
            return
        self._settling = True
        try:
            while events := self._relay.take_events():
                for event in events:
                    self._tell_event(event)
        finally:
            self._settling = False

    def _tell_event(self, event: Event) -> None:
        match event:
            case Readable():
                self._deliver()
            case Ended(_, reason):
                self._finish(reason)
            case Opened(stream):
                if not self._opened.done():
                    self._stream = stream
                    self._receiver = self._make_receiver(self)
                    self._opened.set_result(None)
            case NotOpened(reason, refused):
                self._finish(reason, refused)

    def _deliver(self) -> None:
        if self._stream is None or self._receiver is None:
            return
        while (message := self._relay.next_message(self._stream)) is not None:
            self._receiver.message_received(message)

    def _resume_writer(self) -> None:
        if self._writing_paused and self._open_stream().unsent_bytes <= _SEND_LOW_WATER:
            self._writing_paused = False
            assert self._receiver is not None
            self._receiver.resume_writing()

    def _finish(self, reason: str, refused: bool = False) -> None:
        """The stream is over, or will not come about."""
        self._reason = self._reason or reason
        self._end.set()
        if not self._opened.done():
            self._opened.set_exception(NotAnswered(reason, refused))

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("unexpected error in the relay", exc_info=error)
        self._relay.lost(self._reason)
        self._finish(self._reason or "the connection ended")
        if self._receiver is not None:
            self._receiver.connection_lost()
        elif not self._opened.cancelled():
            # Somebody has to have asked for it.
            self._opened.exception()
