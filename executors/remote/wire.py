"""The WebSocket to the rendezvous, whose frames are handed on as they come, with no task in between.

A call through the relay passes four of these, and what a task takes to be woken is more than what is done
with a frame.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final, Protocol

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed
from websockets.frames import DATA_OPCODES, Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import State

_UNSUPPORTED_DATA: Final = 1003
_FRAMES_A_TURN: Final = 8

_log = logging.getLogger(__name__)


class WireUser(Protocol):
    """Who makes something of the frames. Nothing here is called within another of these calls."""

    def frame_received(self, frame: bytes) -> None: ...

    def next_frame(self) -> bytes | None:
        """What to send next; None if there is nothing now, until :meth:`Wire.send_soon` is called."""

    def frame_sent(self) -> None:
        """What :meth:`next_frame` gave is on its way."""

    def wire_failed(self, reason: str) -> None:
        """The connection is about to be dropped for this *reason*, and :meth:`wire_lost` follows."""

    def wire_lost(self, error: ConnectionClosed) -> None:
        """Called once, last."""


class Wire(ClientConnection):
    """One connection. Once it was started, its own ways of sending and receiving messages are of no use."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._user: WireUser | None = None
        self._early: list[Frame] = []
        self._fragments = bytearray()
        self._in_message = False
        # While one of them is set, what there is to send is asked for anyway: at the end of a call that is
        # under way, or in the loop's next turn.
        self._is_busy = False
        self._will_send = False
        self._is_refused = False
        self._deadline: asyncio.TimerHandle | None = None

    def start(self, user: WireUser) -> None:
        """Hands on what comes from now on, and what came meanwhile, and asks for what to send."""
        self._user = user
        early, self._early = self._early, []
        for frame in early:
            self._frame_received(frame)
        if self.connection_lost_waiter.done():
            self.loop.call_soon(user.wire_lost, self.protocol.close_exc)
        self.send_soon()

    def send_soon(self) -> None:
        """There is something to send: it goes out right after the frame that is being received, else together
        with what else there will be in this turn of the loop."""
        if not self._will_send and not self._is_busy:
            self._will_send = True
            self.loop.call_soon(self._send_later)

    def send_now(self) -> None:
        """Sends what there is, as much as the socket takes, and some of it at a time."""
        user = self._user
        if user is None or self._is_busy:
            return
        self._is_busy = True
        try:
            is_done = self._send_some(user)
        except Exception:
            self._failed()
            return
        finally:
            self._is_busy = False
        if not is_done:
            # A socket that takes all at once would have the loop to itself.
            self.send_soon()

    def _send_some(self, user: WireUser) -> bool:
        """Returns whether there is no more for now."""
        for _ in range(_FRAMES_A_TURN):
            if self.paused or self.state is not State.OPEN:
                return True
            frame = user.next_frame()
            if frame is None:
                return True
            self.protocol.send_binary(frame)
            self.send_data()
            user.frame_sent()
        return False

    def _send_later(self) -> None:
        self._will_send = False
        self.send_now()

    # Of the library.

    def process_event(self, event: Frame | Any) -> None:
        if isinstance(event, Response) or event.opcode not in DATA_OPCODES:
            super().process_event(event)
        elif self._user is None:
            self._early.append(event)
        else:
            self._frame_received(event)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.close_deadline is not None:
            self._drop_at(self.close_deadline)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._deadline is not None:
            self._deadline.cancel()
        if self._user is not None:
            self._user.wire_lost(self.protocol.close_exc)

    def resume_writing(self) -> None:
        super().resume_writing()
        self.send_soon()

    def _frame_received(self, frame: Frame) -> None:
        user = self._user
        if user is None or self._is_refused or self.transport.is_closing():
            return
        if frame.opcode is Opcode.TEXT:
            self._refuse(user)
            return
        self._is_busy = True
        try:
            if frame.fin and not self._in_message:
                user.frame_received(bytes(frame.data))
            else:
                self._fragment_received(user, frame)
        except Exception:
            self._failed()
            return
        finally:
            self._is_busy = False
        self.send_now()

    def _fragment_received(self, user: WireUser, frame: Frame) -> None:
        self._in_message = not frame.fin
        self._fragments += frame.data
        if frame.fin:
            message = bytes(self._fragments)
            self._fragments.clear()
            user.frame_received(message)

    def _refuse(self, user: WireUser) -> None:
        self._is_refused = True
        user.wire_failed("the rendezvous sent text: frames of the relay are binary")
        self.protocol.fail(_UNSUPPORTED_DATA)
        self.send_data()
        self._drop_at(self.loop.time() + (self.close_timeout or 0.0))

    def _drop_at(self, when: float) -> None:
        """Nobody may be waiting for the end of what was closed for what the other side did."""
        if self._deadline is None:
            self._deadline = self.loop.call_at(when, self.transport.abort)

    def _failed(self) -> None:
        """What goes wrong within costs the connection, and nothing besides."""
        _log.exception("unexpected error in the relay: the connection is dropped")
        if self._user is not None:
            self._user.wire_failed("an unexpected error")
        self.transport.abort()
