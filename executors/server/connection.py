"""One peer: takes its messages, has them answered, and holds it back when it is too fast."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import msgspec

from executors.protocol.binary import Base64
from executors.protocol.envelope import (
    UNKNOWN_ID,
    Message,
    RequestId,
    decode,
    decode_as,
    encode_error,
    encode_result,
)
from executors.protocol.environment import InitializeParams, InitializeResult
from executors.protocol.errors import ErrorCode, RpcError, internal_error, invalid_request
from executors.protocol.large import put_back, set_aside
from executors.protocol.methods import (
    INITIALIZE,
    INITIALIZED,
    METHODS,
    NOTIFICATIONS,
    PROCESS_ACKNOWLEDGE,
)
from executors.server.file_calls import FileCalls
from executors.server.handlers import Handler, handler
from executors.server.handshake import Handshake
from executors.server.sessions import Attachment, Sessions
from executors.transport.base import Transport

# A peer that sends requests and leaves the replies: its own are not read beyond this.
_MAX_UNREAD_REPLY_BYTES = 16 * 1024 * 1024
# Requests that are being worked on, with the replies they will have: beyond this no more are read
# until some are done. Those that wait for something the peer may still send (a read with waitMs, a
# write) are not counted.
_MAX_WORKING_BYTES = 64 * 1024 * 1024
_WAITING = frozenset(("process/read", "process/write", "process/terminate"))

_log = logging.getLogger(__name__)


class Connection:
    """The receiver of one transport.

    Calls are answered as soon as they are done, whatever came before them. At its end those under way are
    called off and its files are closed; its session goes on without it, or ends.

    :param make_files: makes what answers the calls on files of this connection alone.
    :param start_task: runs a coroutine for this connection under an owner that waits for it.
    :param on_lost: called once, when the transport has ended.
    """

    def __init__(
        self,
        transport: Transport,
        sessions: Sessions,
        make_files: Callable[[], FileCalls],
        start_task: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
        on_lost: Callable[[Connection], None],
    ) -> None:
        self._transport = transport
        self._on_lost = on_lost
        self._start_task = start_task
        self._handshake = Handshake()
        self._sessions = sessions
        self._make_files = make_files
        # From the handshake to the end.
        self._attachment: Attachment | None = None
        self._files: FileCalls | None = None
        self._handlers: dict[str, Handler] = {INITIALIZE.name: handler(INITIALIZE, self._initialize)}
        self._working: set[asyncio.Future[Any]] = set()
        self._working_bytes = 0
        self._reading_paused = False
        # What the transport had already read when it was paused.
        self._backlog: deque[bytes] = deque()
        self._lost = False

    def message_received(self, data: bytes) -> None:
        if self._lost:
            return
        if self._reading_paused:
            self._backlog.append(data)
        else:
            self._take(data)

    def pause_writing(self) -> None:
        if self._attachment is not None:
            self._attachment.session.processes.pause_output()

    def resume_writing(self) -> None:
        if self._attachment is not None:
            self._attachment.session.processes.resume_output()
        self._read_again()

    def connection_lost(self) -> None:
        self._lost = True
        for future in self._working:
            future.cancel()
        # At once, so that the next connection can have the session.
        attachment, self._attachment = self._attachment, None
        is_over = attachment is not None and self._sessions.leave(attachment, self._transport.ended_in_order)
        # Whoever still knows this connection reaches nothing of the session by it.
        self._handlers = {}
        self._backlog.clear()
        self._start_task(self._finish(attachment if is_over else None))
        self._on_lost(self)

    def close(self, code: int, reason: str) -> None:
        """Closes the transport."""
        self._transport.close(code, reason)

    def abort(self) -> None:
        self._transport.abort()

    async def _finish(self, over: Attachment | None) -> None:
        """Ends what is this connection's own, and the session where it is *over*."""
        await asyncio.gather(*self._working, return_exceptions=True)
        if over is not None:
            await over.session.close()
        if self._files is not None:
            await self._files.close()

    def _take(self, data: bytes) -> None:
        request_id: RequestId = UNKNOWN_ID
        try:
            short, aside = set_aside(data)
            message = decode(short)
            if message.id is msgspec.UNSET or message.method is msgspec.UNSET:
                self._uncalled_for(message)
                return
            request_id = message.id
            self._call(request_id, message.method, message.params, data, aside)
        except RpcError as error:
            self._send(encode_error(request_id, error))
        except Exception as error:
            self._send(encode_error(request_id, _unexpected(error)))

    def _uncalled_for(self, message: Message) -> None:
        """A notification, or a reply to a call that we never make."""
        if message.method == INITIALIZED.name:
            self._handshake.initialized_received()
        elif message.method == PROCESS_ACKNOWLEDGE.name:
            if self._attachment is None:
                raise invalid_request(f"client must call initialize before it sends {message.method}")
            told = decode_as(message.params, PROCESS_ACKNOWLEDGE.params)
            self._attachment.session.processes.acknowledge(told)
        elif message.method is msgspec.UNSET:
            raise invalid_request(f"unexpected reply: this executor makes no calls (id {message.id!r})")
        elif message.method in METHODS:
            raise invalid_request(f"`{message.method}` is a call: it needs an `id`")
        elif message.method in NOTIFICATIONS:
            raise invalid_request(f"notification `{message.method}` is sent by the executor only")
        else:
            raise invalid_request(f"unknown notification `{message.method}`")

    def _call(
        self,
        request_id: RequestId,
        method: str,
        params: msgspec.Raw | msgspec.UnsetType,
        data: bytes,
        aside: Base64 | None,
    ) -> None:
        if method not in METHODS:
            raise RpcError(ErrorCode.METHOD_NOT_FOUND, f"unknown method `{method}`")
        self._handshake.check_call(method)
        found = self._handlers[method]
        decoded = decode_as(params, found.method.params)
        if aside is not None and not put_back(decoded, aside):
            decoded = decode_as(decode(data).params, found.method.params)
        result = found.call(decoded)
        if not isinstance(result, asyncio.Future | Coroutine):
            self._send(self._fitting(request_id, encode_result(request_id, result)))
            return
        counted = 0 if method in _WAITING else len(data)
        if found.reply_bytes is not None:
            counted += found.reply_bytes(decoded)
        self._working_bytes += counted
        if isinstance(result, asyncio.Future):
            self._working.add(result)
            result.add_done_callback(partial(self._finished, request_id, counted))
        else:
            task = self._start_task(self._answer(request_id, counted, result))
            self._working.add(task)
            task.add_done_callback(partial(self._ended, result))
        if self._working_bytes > _MAX_WORKING_BYTES:
            self._hold_back()

    def _finished(self, request_id: RequestId, counted: int, future: asyncio.Future[Any]) -> None:
        self._working.discard(future)
        if not future.cancelled():
            self._reply(request_id, counted, future.result)

    async def _answer(self, request_id: RequestId, counted: int, result: Coroutine[Any, Any, Any]) -> None:
        try:
            value = await result
        except Exception as error:
            self._reply(request_id, counted, partial(_raise, error))
        else:
            self._reply(request_id, counted, lambda: value)

    def _ended(self, result: Coroutine[Any, Any, Any], task: asyncio.Task[None]) -> None:
        self._working.discard(task)
        # A task that is cancelled before its first step has not touched it.
        result.close()

    def _reply(self, request_id: RequestId, counted: int, outcome: Callable[[], Any]) -> None:
        """Sends what *outcome* returns or raises."""
        self._working_bytes -= counted
        try:
            reply = self._fitting(request_id, encode_result(request_id, outcome()))
        except RpcError as error:
            reply = encode_error(request_id, error)
        except Exception as error:
            reply = encode_error(request_id, _unexpected(error))
        self._send(reply)
        self._read_again()

    def _initialize(self, params: InitializeParams) -> InitializeResult:
        self._attachment = self._sessions.attach(params, self._notify)
        self._handshake.initialize_answered()
        session = self._attachment.session
        self._files = self._make_files()
        every = [*session.handlers(), *self._files.handlers()]
        self._handlers |= {one.method.name: one for one in every}
        return InitializeResult(session.session_id, session.environment_info, self._attachment.retention_ms)

    def _notify(self, message: bytes) -> None:
        if not self._lost:
            self._transport.send(message)

    def _fitting(self, request_id: RequestId, reply: bytes) -> bytes:
        """Returns *reply*, or an error where it would end the connection."""
        largest = self._transport.largest_message
        if largest is None or len(reply) <= largest:
            return reply
        refusal = internal_error(
            f"the reply has {len(reply)} bytes: this connection carries at most {largest}; ask for less at a "
            "time, of a file by `fs/open` and `fs/readBlock`"
        )
        return encode_error(request_id, refusal)

    def _send(self, reply: bytes) -> None:
        if self._lost:
            return
        self._transport.send(reply)
        if self._transport.send_buffer_size() > _MAX_UNREAD_REPLY_BYTES:
            self._hold_back()

    def _hold_back(self) -> None:
        if not self._reading_paused:
            self._reading_paused = True
            self._transport.pause_reading()

    def _read_again(self) -> None:
        if (
            self._reading_paused
            and not self._lost
            and self._working_bytes <= _MAX_WORKING_BYTES // 2
            and self._transport.send_buffer_size() <= _MAX_UNREAD_REPLY_BYTES // 2
        ):
            self._reading_paused = False
            while self._backlog and not self._reading_paused:
                self._take(self._backlog.popleft())
            if not self._reading_paused:
                self._transport.resume_reading()


def _raise(error: Exception) -> Any:
    raise error


def _unexpected(error: Exception) -> RpcError:
    """A fault of this program: the log gets all of it, the peer its kind."""
    _log.error("unexpected error in a call", exc_info=error)
    return internal_error(f"unexpected error in the executor: {type(error).__name__}: {error}")
