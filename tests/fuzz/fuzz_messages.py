"""Fuzzes what the executor does with messages: envelope, params, dispatch and replies.

No socket, no process and no file is touched: the transport keeps what is sent, processes are
played, and file calls end where their params have been decoded. Run it with atheris, which is
no dependency of this project::

    pip install atheris
    python tests/fuzz/fuzz_messages.py -max_total_time=60 [CORPUS_DIRECTORY]

An input is a few messages, one a line, to a connection whose handshake is over. What counts as
a crash: an exception that leaves :meth:`Connection.message_received`, a reply that is no valid
reply, more than one reply to a message, and the words "unexpected error". The test suite runs
:func:`target` over :data:`SEEDS`.
"""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from executors.process.base import ProcessObserver, SpawnRequest
from executors.protocol.environment import InitializeParams
from executors.protocol.errors import ErrorCode, not_found
from executors.protocol.methods import METHODS
from executors.protocol.path_uri import PathUri, PathUriError
from executors.server.connection import Connection
from executors.server.handlers import Handler, handler
from executors.server.session import Session
from executors.server.sessions import Attachment

CODES = {int(code) for code in ErrorCode}
HANDSHAKE = [
    b'{"id":1,"method":"initialize","params":{"clientName":"fuzz"}}',
    b'{"method":"initialized"}',
]


def call(method: str, **params: Any) -> bytes:
    return json.dumps({"id": 7, "method": method, "params": params}).encode()


_START = {"processId": "p", "argv": ["a"], "cwd": "file:///", "env": {"A": "b"}, "tty": False}
_CHUNK = base64.b64encode(b"hello").decode()
SEEDS = [
    b"",
    b"{}",
    b"[]",
    b'{"id":1,"id":2,"method":"x"}',
    b'{"method":"nope"}',
    b'{"id":-1,"error":{"code":1,"message":"m"}}',
    b'{"id":"\\ud83d\\ude00","method":"environment/info","params":null}',
    call("initialize", clientName="x", resumeSessionId="y"),
    call(
        "process/start", **_START, pipeStdin=True, arg0="z", envPolicy={"inherit": "core", "exclude": ["*a*"]}
    )
    + b"\n"
    + call("process/write", processId="p", chunk=_CHUNK, writeId="w")
    + b"\n"
    + call("process/read", processId="p", afterSeq=0, maxBytes=10, waitMs=5)
    + b"\n"
    + call("process/signal", processId="p", signal="interrupt")
    + b"\n"
    + call("process/resize", processId="p", rows=1, cols=65535)
    + b"\n"
    + call("process/closeStdin", processId="p")
    + b"\n"
    + call("process/terminate", processId="p"),
    call("process/start", **_START, pipeStdin=True)
    + b"\n"
    + call("process/write", processId="p", chunk=_CHUNK, writeId="w")
    + b'\n{"method":"process/acknowledge","params":{"processId":"p","seq":1}}\n'
    + b'{"method":"process/acknowledge","params":{"processId":"q","seq":-1}}\n'
    + b'{"method":"process/acknowledge","params":{"seq":"x"}}',
    call("process/start", **(_START | {"cwd": "file:///C:/x", "sandbox": {"permissions": {}}})),
    call("process/read", processId="p", waitMs=10**400),
    call("process/write", processId="p", chunk="\\u0041!", writeId=""),
    call("fs/readFile", path="file:///%FF%00"),
    call("fs/writeFile", path="file://host/share", dataBase64=_CHUNK),
    call("fs/walk", path="file:///", options={"maxDepth": 64, "maxDirectories": 1, "maxEntries": 1}),
    call("fs/readBlock", handleId="h", offset=0, len=1),
    b'{"id":1,"method":"fs/copy","params":' + b"[" * 5000 + b"]" * 5000 + b"}",
]


class PlayedTransport:
    """Keeps what is sent; the last kilobytes count as unread, so that holding back is reached."""

    largest_message: int | None = None

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.paused = False
        self.ended_in_order = False

    def send(self, message: bytes) -> None:
        self.sent.append(message)

    def send_buffer_size(self) -> int:
        return sum(map(len, self.sent[-4:]))

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def close(self, code: int = 1000, reason: str = "") -> None:
        raise AssertionError(f"no message closes a connection: {code} {reason}")

    def abort(self) -> None:
        raise AssertionError("no message drops a connection")


class PlayedProcess:
    """Echoes what is written and ends when it is told to."""

    def __init__(self, request: SpawnRequest, observer: ProcessObserver) -> None:
        self._request = request
        self._observer = observer
        self._running = True
        self.pid = 1

    def write(self, data: bytes) -> asyncio.Future[None] | None:
        if not self._request.pipe_stdin:
            raise BrokenPipeError
        if data:
            self._observer.output("stdout", data)
        return None

    def close_stdin(self) -> None:
        self._end(0)

    def interrupt(self) -> None:
        self._end(130)

    def resize(self, rows: int, cols: int) -> None:
        assert 1 <= rows <= 65535
        assert 1 <= cols <= 65535

    def pause_output(self) -> None: ...

    def resume_output(self) -> None: ...

    async def terminate(self) -> None:
        self._end(137)

    def has_left_any(self) -> bool:
        return False

    def release(self) -> None: ...

    def _end(self, code: int) -> None:
        if self._running:
            self._running = False
            self._observer.exited(code)
            self._observer.output_closed()


class PlayedBackend:
    can_resize = True

    def spawn(self, request: SpawnRequest, observer: ProcessObserver) -> PlayedProcess:
        assert request.argv
        if request.argv[0].startswith("/"):
            raise FileNotFoundError(2, "No such file or directory", request.argv[0])
        return PlayedProcess(request, observer)

    def has_orphans(self) -> bool:
        return False

    async def close(self) -> None: ...


class PlayedSessions:
    """One real session of played processes, for whoever asks; it ends with the connection."""

    def __init__(self) -> None:
        self.session = Session(PlayedBackend())

    def attach(self, params: InitializeParams, send: Callable[[bytes], None]) -> Attachment:
        self.session.attach(send, bool(params.acknowledges))
        return Attachment(self.session, 1, 0)

    def leave(self, attachment: Attachment, in_order: bool) -> bool:
        self.session.detach()
        return True


class PlayedFiles:
    """File calls that find nothing, after a look at their paths."""

    def handlers(self) -> list[Handler]:
        return [handler(method, self._file) for name, method in METHODS.items() if name.startswith("fs/")]

    async def close(self) -> None: ...

    def _file(self, params: Any) -> Any:
        for name in ("path", "source_path", "destination_path"):
            text = getattr(params, name, None)
            if text is not None:
                try:
                    PathUri.parse(text).to_native("linux")
                except PathUriError as error:
                    raise not_found(str(error)) from None
        raise not_found("there are no files here")


def check_reply(text: bytes) -> bool:
    """Returns whether a message that was sent is a reply; it must be well formed in any case."""
    message = json.loads(text)
    if "method" in message:
        assert set(message) == {"method", "params"}, message
        return False
    assert set(message) in ({"id", "result"}, {"id", "error"}), message
    if "error" in message:
        assert set(message["error"]) == {"code", "message"}, message
        assert message["error"]["code"] in CODES, message
        assert "unexpected error" not in message["error"]["message"], message
    return True


async def _play(lines: list[bytes]) -> None:
    transport = PlayedTransport()
    tasks: set[asyncio.Task[None]] = set()

    def start_task(coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(coroutine)
        tasks.add(task)
        return task

    connection = Connection(transport, PlayedSessions(), PlayedFiles, start_task, lambda _: None)  # type: ignore[arg-type]
    for line in [*HANDSHAKE, *lines]:
        before = len(transport.sent)
        connection.message_received(line)
        assert sum(check_reply(text) for text in transport.sent[before:]) <= 1
    # One turn for what is answered later; what still waits then is called off.
    await asyncio.sleep(0)
    connection.connection_lost()
    done = await asyncio.gather(*tasks, return_exceptions=True)
    for result in done:
        if isinstance(result, Exception):
            raise result
    replies = sum(map(check_reply, transport.sent))
    assert replies <= len(lines) + 1


def target(data: bytes) -> None:
    """Takes one input.

    :raises Exception: the executor has a fault.
    """
    asyncio.run(_play(data.split(b"\n")))


def main() -> None:
    import atheris

    atheris.instrument_all()
    corpus = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
    if corpus:
        for number, seed in enumerate(SEEDS):
            (Path(corpus[0]) / f"seed-{number:02}").write_bytes(seed)
    atheris.Setup(sys.argv, target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
