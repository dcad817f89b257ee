"""A client with nothing in it but what measuring needs: no recovery, no ordering, no retry.

Frames of output and replies of calls, which come by the thousand, are told by their first
bytes and not parsed as JSON; whatever looks unusual takes the general way.
"""

from __future__ import annotations

import asyncio
import socket
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import count
from typing import Any, TypeVar

import msgspec
import pybase64
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from bench.system import POSIX, System

T = TypeVar("T")
Reply = Callable[[memoryview], None]
"""Gets the whole message, valid during the call only."""

# A whole file of 64 MiB comes in one frame of base64.
MAX_FRAME_BYTES = 256 * 1024 * 1024
_READ_BUFFER_BYTES = 2 * 1024 * 1024
# The head of a message: everything that stands before its data.
_HEAD_BYTES = 512
_OUTPUT = b'{"method":"process/output","params":'
_REPLY = b'{"id":'
_CHUNK = b'"chunk":"'
_RESULT = b',"result":'
_QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)


class CallError(Exception):
    """The executor has answered a call with an error."""


class ConnectionEnded(Exception):
    """The executor has dropped the connection."""


class _Error(msgspec.Struct):
    code: int
    message: str


class _Event(msgspec.Struct, rename="camel"):
    process_id: str = ""
    seq: int = 0
    exit_code: int | None = None
    chunk: str = ""


class _Message(msgspec.Struct):
    id: int | str | None = None
    method: str | None = None
    params: msgspec.Raw = msgspec.Raw(b"{}")
    result: msgspec.Raw = msgspec.Raw(b"null")
    error: _Error | None = None


_decode_message = msgspec.json.Decoder(_Message).decode
_decode_event = msgspec.json.Decoder(_Event).decode
_encode = msgspec.json.Encoder().encode


class Process:
    """What is known of one process.

    :ivar started: done with the reply of ``process/start``.
    :ivar exited: done with the exit code.
    :ivar closed: done once the last event has come.
    :ivar output_bytes: so much output has come, decoded.
    :ivar wrong: what was wrong with the output, if it was verified.
    :ivar sandbox_type: what confines it, if a sandbox was asked for; known with *started*, if it is told.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, process_id: str, verify: bytes | None) -> None:
        self.process_id = process_id
        self.started: asyncio.Future[None] = loop.create_future()
        self.exited: asyncio.Future[int] = loop.create_future()
        self.closed: asyncio.Future[None] = loop.create_future()
        self.some_output: asyncio.Future[bytes] = loop.create_future()
        self.output_bytes = 0
        self.wrong = ""
        self.sandbox_type = ""
        self._verify = verify

    def take_chunk(self, base64: memoryview) -> None:
        if self._verify is not None:
            data = pybase64.b64decode(base64, validate=True)
            if data != self._verify * len(data):
                self.wrong = f"after {self.output_bytes} bytes other ones than {self._verify!r}"
            self.output_bytes += len(data)
        else:
            self.output_bytes += decoded_size(base64)
        if not self.some_output.done():
            self.some_output.set_result(pybase64.b64decode(base64, validate=True))


class Client(ABC):
    """One connection.

    :param system: the executor's.
    :ivar lost: done once the connection has ended.
    """

    def __init__(self, system: System) -> None:
        self._system = system
        self._loop = asyncio.get_running_loop()
        self._ids = count(1)
        self._calls: dict[int, tuple[Reply, asyncio.Future[Any]]] = {}
        self._processes: dict[str, Process] = {}
        self.lost: asyncio.Future[None] = self._loop.create_future()

    # What carries the messages.

    @abstractmethod
    def _send(self, message: bytes) -> None: ...

    @abstractmethod
    def pause_reading(self) -> None:
        """Leaves what the executor sends where it is, so that sooner or later it has to wait."""

    @abstractmethod
    def resume_reading(self) -> None: ...

    @abstractmethod
    def disconnect(self) -> None: ...

    def ended(self) -> None:
        """To be called once the connection has."""
        self.lost.set_result(None)
        ended = ConnectionEnded("the executor has dropped the connection")
        for _, failed in self._calls.values():
            _fail(failed, ended)
        self._calls.clear()
        for process in self._processes.values():
            for each in (process.started, process.exited, process.closed, process.some_output):
                _fail(each, ended)

    def take(self, payload: memoryview) -> None:
        """To be called with each message."""
        head = bytes(payload[:_HEAD_BYTES])
        if head.startswith(_OUTPUT) and self._output(head, payload):
            return
        if head.startswith(_REPLY):
            end = head.find(_RESULT)
            number = head[len(_REPLY) : end]
            if end > 0 and number.isdigit():
                self._reply(int(number), payload)
                return
        self._other(payload)

    def pause_writing(self) -> None:  # noqa: B027
        """Nothing to do: what a measure has in flight is all that is ever queued."""

    def resume_writing(self) -> None:  # noqa: B027
        """As :meth:`pause_writing`."""

    def _output(self, head: bytes, payload: memoryview) -> bool:
        at = head.find(_CHUNK)
        name = _between(head, b'"processId":"', b'"')
        if at < 0 or bytes(payload[-3:]) != b'"}}':
            return False
        process = self._processes.get(name.decode())
        if process is None:
            return False
        process.take_chunk(payload[at + len(_CHUNK) : -3])
        return True

    def _reply(self, number: int, payload: memoryview) -> None:
        reply, failed = self._calls.pop(number, (None, None))
        if reply is None or failed is None:
            return
        try:
            reply(payload)
        except Exception as error:
            _fail(failed, error)

    def _other(self, payload: memoryview) -> None:
        message = _decode_message(payload)
        if message.method is None:
            number = message.id if isinstance(message.id, int) else -1
            if message.error is None:
                self._reply(number, payload)
                return
            _, failed = self._calls.pop(number, (None, None))
            if failed is not None:
                _fail(failed, CallError(f"{message.error.code}: {message.error.message}"))
            return
        event = _decode_event(message.params)
        process = self._processes.get(event.process_id)
        if process is None:
            return
        if message.method == "process/output":
            process.take_chunk(memoryview(event.chunk.encode()))
        elif message.method == "process/exited":
            process.exited.set_result(-1 if event.exit_code is None else event.exit_code)
        elif message.method == "process/closed":
            del self._processes[event.process_id]
            process.closed.set_result(None)

    # For the measures.

    def request(self, method: bytes, params: bytes, reply: Reply, failed: asyncio.Future[Any]) -> None:
        """Sends a call.

        :param params: JSON.
        :param reply: called with the reply's whole message.
        :param failed: gets the exception if the reply is an error, *reply* raises one or the
            connection ends.
        """
        number = next(self._ids)
        self._calls[number] = (reply, failed)
        self._send(b'{"id":%d,"method":"%b","params":%b}' % (number, method, params))

    async def call(self, method: str, params: Any = None) -> Any:
        """Makes a call and returns its decoded result.

        :raises CallError: the reply is an error.
        :raises ConnectionEnded: there is none.
        """
        future: asyncio.Future[msgspec.Raw] = self._loop.create_future()

        def reply(payload: memoryview) -> None:
            # A Raw refers to the buffer, which is used again: the copy is for that.
            if not future.done():
                future.set_result(_decode_message(bytes(payload)).result)

        self.request(method.encode(), _encode({} if params is None else params), reply, future)
        return msgspec.json.decode(await future)

    def notify(self, method: str) -> None:
        self._send(_encode({"method": method}))

    def start(
        self,
        process_id: str,
        argv: list[str],
        *,
        pipe_stdin: bool = False,
        verify: bytes | None = None,
        sandbox: dict[str, Any] | None = None,
    ) -> Process:
        """Sends ``process/start``; the process gets no environment but what its system needs.

        :param verify: a byte; all output must consist of it.
        :param sandbox: an intent.
        """
        process = self._processes[process_id] = Process(self._loop, process_id, verify)
        params = {
            "processId": process_id,
            "argv": argv,
            "cwd": self._system.cwd,
            "env": self._system.environment,
            "tty": False,
            "pipeStdin": pipe_stdin,
        }
        if sandbox is not None:
            params["sandbox"] = sandbox
        started = process.started

        def refused(future: asyncio.Future[None]) -> None:
            error = future.exception()
            if error is not None:
                self._processes.pop(process_id, None)
                for each in (process.exited, process.closed, process.some_output):
                    _fail(each, error)

        started.add_done_callback(refused)

        def reply(payload: memoryview) -> None:
            if sandbox is not None:
                result = msgspec.json.decode(_decode_message(bytes(payload)).result)
                process.sandbox_type = result.get("sandboxType", "")
            _done(started)

        self.request(b"process/start", _encode(params), reply, started)
        return process

    async def terminate(self, process: Process) -> None:
        """Kills *process* and waits until its last event is here."""
        await self.call("process/terminate", {"processId": process.process_id})
        await process.closed

    async def initialize(self) -> dict[str, Any]:
        result: dict[str, Any] = await self.call("initialize", {"clientName": "crossexec-bench"})
        self.notify("initialized")
        return result


class DirectClient(Client, WSListener):
    """A connection to an executor that listens.

    :param quickack: acknowledge each TCP segment at once. The kernel leaves this mode by itself,
        so that it is set again after every read.
    """

    def __init__(self, quickack: bool, system: System) -> None:
        super().__init__(system)
        self._transport: WSTransport
        self._socket: Any = None
        self._quickack = _QUICKACK if quickack else None

    def _send(self, message: bytes) -> None:
        self._transport.send(WSMsgType.TEXT, message)

    def pause_reading(self) -> None:
        self._transport.underlying_transport.pause_reading()

    def resume_reading(self) -> None:
        self._transport.underlying_transport.resume_reading()

    def disconnect(self) -> None:
        self._transport.disconnect(graceful=False)

    # Of WSListener.

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport
        self._socket = transport.underlying_transport.get_extra_info("socket")
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self.ended()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type not in (WSMsgType.TEXT, WSMsgType.BINARY):
            if frame.msg_type == WSMsgType.CLOSE:
                transport.disconnect()
            return
        if self._quickack is not None and frame.last_in_buffer:
            self._socket.setsockopt(socket.IPPROTO_TCP, self._quickack, 1)
        self.take(frame.get_payload_as_memoryview())


@asynccontextmanager
async def initialized(open_one: Callable[[], Awaitable[Client]]) -> AsyncIterator[Client]:
    """Yields an initialized connection.

    :param open_one: opens it.
    :raises OSError: nobody is there.
    """
    client = await open_one()
    try:
        await client.initialize()
        yield client
    finally:
        client.disconnect()
        await client.lost


async def open_client(url: str, *, quickack: bool = True, system: System = POSIX) -> Client:
    """Returns a connection on which nothing has been sent yet.

    :raises OSError: nobody listens at *url*.
    """
    _, listener = await ws_connect(
        lambda: DirectClient(quickack, system),
        url,
        max_frame_size=MAX_FRAME_BYTES,
        read_buffer_init_size=_READ_BUFFER_BYTES,
        logger_name="bench",
    )
    assert isinstance(listener, DirectClient)
    return listener


def decoded_size(base64: memoryview) -> int:
    """Returns how many bytes padded base64 stands for, without decoding it.

    :raises ValueError: the length is none that base64 can have.
    """
    size = len(base64)
    if size % 4:
        raise ValueError(f"base64 of {size} characters")
    if not size:
        return 0
    return size // 4 * 3 - (base64[-1] == 0x3D) - (base64[-2] == 0x3D)


def base64_field(payload: memoryview, name: bytes) -> memoryview:
    """Returns the base64 text of the first field *name* of a message, without parsing the message.

    :raises ValueError: it is not there.
    """
    head = bytes(payload[:_HEAD_BYTES])
    marker = b'"%b":"' % name
    at = head.find(marker)
    if at < 0:
        raise ValueError(f"no field {name.decode()} in {head!r}")
    begin = at + len(marker)
    # Base64 has no quote: the first one near the end of the message ends the text.
    tail = bytes(payload[max(begin, len(payload) - _HEAD_BYTES) :])
    return payload[begin : len(payload) - len(tail) + tail.find(b'"')]


def _between(text: bytes, before: bytes, after: bytes) -> bytes:
    _, _, rest = text.partition(before)
    return rest.partition(after)[0]


def _done(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _fail(future: asyncio.Future[Any], error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)
        # Marks it as seen: not every future of a process has somebody who waits for it.
        future.exception()
