"""One connection to an executor: calls out, replies and notifications in."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import msgspec

from executors.protocol.envelope import (
    Message,
    RequestId,
    decode,
    decode_as,
    encode_error,
    encode_notification,
    encode_request,
)
from executors.protocol.errors import ErrorCode, RpcError
from executors.protocol.methods import Method, Notification
from harness.client.calls import Calls, Pending
from harness.client.errors import ConnectionLost, MessageTooLarge
from harness.client.flow import ReadGate
from harness.client.links import Link
from harness.client.transcript import new_tap

P = TypeVar("P")
R = TypeVar("R")

logger = logging.getLogger(__name__)

_METHOD_FIRST = b'{"method":"'
_PROTOCOL_ERROR = 1002
_CLOSE_SECONDS = 5.0


class _Notified(msgspec.Struct, Generic[P], gc=False):
    """A notification whose method is known, decoded in one pass over its text."""

    params: P
    id: RequestId | msgspec.UnsetType = msgspec.UNSET


class Connection:
    """Carries messages over one link until it is lost; see :class:`executors.transport.base.Receiver`.

    :param url: for messages to people.
    :param gate: from now on it acts on this connection.
    :param on_lost: called once, before the waiting calls fail.
    :param explain: makes the error that a call under way fails with.
    """

    def __init__(
        self,
        link: Link,
        url: str,
        gate: ReadGate,
        on_lost: Callable[[ConnectionLost], None],
        explain: Callable[[ConnectionLost, Pending[Any]], ConnectionLost],
    ) -> None:
        self.url = url
        self.lost: ConnectionLost | None = None
        self.received = 0
        """Messages so far."""
        self._link = link
        self._on_lost = on_lost
        self._explain = explain
        self._calls = Calls()
        self._handlers: dict[str, Callable[[msgspec.Raw | msgspec.UnsetType], None]] = {}
        self._direct: dict[bytes, tuple[Callable[[bytes], _Notified[Any]], Callable[[Any], None]]] = {}
        self._writing_paused = False
        self._writable: set[asyncio.Future[None]] = set()
        self._ended = asyncio.Event()
        self._tap = new_tap()
        self._gate = gate
        gate.attach(self._calls.__len__, link.pause_reading, link.resume_reading)

    def on(self, notification: Notification[P], handler: Callable[[P], None]) -> None:
        """Has *handler* called for each such notification, in the order of arrival."""
        kind = notification.params
        self._handlers[notification.name] = lambda params: handler(decode_as(params, kind))
        decode_all = msgspec.json.Decoder(_Notified[kind]).decode  # type: ignore[valid-type]
        self._direct[notification.name.encode()] = decode_all, handler

    async def submit(self, method: Method[P, R], params: P) -> Pending[R]:
        """Sends a request, after waiting while the send buffer is full.

        :raises ConnectionLost: the connection is gone, and the request was not sent.
        """
        while self._writing_paused and self.lost is None:
            await self._until_writable()
        return self.post(method, params)

    async def call(self, method: Method[P, R], params: P) -> R:
        """Sends a request and waits for its result.

        :raises RpcError: the executor refused.
        :raises BadReply: the reply has another form than the method's.
        :raises ConnectionLost: no reply can come any more.
        """
        return await (await self.submit(method, params))

    def post(self, method: Method[P, R], params: P) -> Pending[R]:
        """Sends a request at once, however full the send buffer is.

        :raises ConnectionLost: the connection is gone, and the request was not sent.
        :raises MessageTooLarge: nor was this one.
        """
        if self.lost is not None:
            raise ConnectionLost(self.url, self.lost.code, self.lost.reason, method.name)
        pending = self._calls.add(method, params)
        try:
            self._send(encode_request(pending.id, method.name, params))
        except BaseException:
            pending.abandon()
            raise
        self._gate.update()
        return pending

    def notify(self, notification: Notification[P], params: P) -> None:
        self._send(encode_notification(notification.name, params))

    async def close(self, *, orderly: bool = True) -> None:
        """Closes the connection and waits until it is gone.

        :param orderly: sends what is still to be sent, and a close frame; a peer that does not
            let go of the connection then has it dropped.
        """
        for end in (self._link.close, self._link.abort) if orderly else (self._link.abort,):
            if not self._ended.is_set():
                end()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_CLOSE_SECONDS):
                    await self._ended.wait()
                    return

    async def wait_lost(self) -> None:
        """Waits until the connection is lost; why is in ``lost`` then."""
        await self._ended.wait()

    def abort(self) -> None:
        """Drops the connection at once."""
        self._link.abort()

    def note(self, text: str) -> None:
        """Says in the transcript what befalls the connection."""
        if self._tap is not None:
            self._tap.noted(text)

    def message_received(self, message: bytes) -> None:
        if self.lost is not None:
            return
        self.received += 1
        if self._tap is not None:
            self._tap.received(message)
        try:
            if message.startswith(_METHOD_FIRST) and self._notified_directly(message):
                return
            decoded = decode(message)
            if decoded.method is msgspec.UNSET:
                self._calls.settle(decoded)
                self._gate.update()
            else:
                self._called(decoded, decoded.method)
        except RpcError as error:
            # A message that cannot be read may have been anything, a reply too: to go on
            # would leave somebody waiting for ever.
            self._break(f"unreadable message from the executor: {error.message}: {message[:80]!r}")

    def pause_writing(self) -> None:
        self._writing_paused = True

    def resume_writing(self) -> None:
        self._writing_paused = False
        self._wake_writers()

    def connection_lost(self) -> None:
        self._ended.set()
        self._lose(*self._link.loss())

    def _send(self, message: bytes) -> None:
        largest = self._link.largest_message
        if largest is not None and len(message) > largest:
            raise MessageTooLarge(
                f"a message of {len(message)} bytes: the connection to {self.url} carries at most {largest}; "
                "give a large file or input in pieces"
            )
        if self._tap is not None:
            self._tap.sent(message)
        self._link.send(message)

    def _notified_directly(self, message: bytes) -> bool:
        """Handles *message* at half the cost if it is a known notification in its usual form."""
        start = len(_METHOD_FIRST)
        direct = self._direct.get(message[start : message.find(b'"', start)])
        if direct is None:
            return False
        decode_all, handler = direct
        try:
            notified = decode_all(message)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            # The general way finds it again, and words it.
            return False
        if notified.id is not msgspec.UNSET:
            return False
        handler(notified.params)
        return True

    def _called(self, message: Message, method: str) -> None:
        if message.id is not msgspec.UNSET:
            logger.warning("the executor called %s; a client answers no calls", method)
            refusal = RpcError(ErrorCode.METHOD_NOT_FOUND, f"a client has no method {method}")
            self._send(encode_error(message.id, refusal))
            return
        handler = self._handlers.get(method)
        if handler is None:
            logger.warning("unknown notification %s ignored", method)
        else:
            handler(message.params)

    def _break(self, reason: str) -> None:
        logger.error("%s: %s", self.url, reason)
        self._link.close(_PROTOCOL_ERROR, reason)
        self._lose(_PROTOCOL_ERROR, reason)

    def _lose(self, code: int | None, reason: str) -> None:
        if self.lost is not None:
            return
        self.lost = lost = ConnectionLost(self.url, code, reason)
        self.note(str(lost))
        self._gate.detach()
        self._on_lost(lost)
        self._calls.fail(lambda pending: self._explain(lost, pending))
        self._wake_writers()

    async def _until_writable(self) -> None:
        future = asyncio.get_running_loop().create_future()
        self._writable.add(future)
        try:
            await future
        finally:
            self._writable.discard(future)

    def _wake_writers(self) -> None:
        for future in self._writable:
            if not future.done():
                future.set_result(None)
