"""A raw connection whose replies and notifications are kept apart, each as it came."""

from __future__ import annotations

import base64
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from executors.protocol.errors import RpcError
from executors.protocol.path_uri import PathUri
from fixtures.wire import JsonObject, Wire

INHERIT = {"inherit": "all", "ignoreDefaultExcludes": True, "exclude": [], "set": {}, "includeOnly": []}


@dataclass(frozen=True)
class Told:
    """A notification of a process.

    :ivar kind: ``output``, ``exited`` or ``closed``.
    """

    kind: str
    seq: int
    stream: str = ""
    data: bytes = b""
    exit_code: int | None = None


class Conversation:
    """Calls and their replies, processes and what they tell, on one connection.

    Unlike the client it neither sorts nor completes anything.

    :param cwd: where processes run if they do not say otherwise.
    """

    def __init__(self, wire: Wire, cwd: PathUri) -> None:
        self.wire = wire
        self._cwd = str(cwd)
        self._replies: dict[int | str, JsonObject] = {}
        self._told: dict[str, list[Told]] = defaultdict(list)
        self._first: dict[tuple[str, str], Told] = {}

    def post(self, method: str, **params: Any) -> int:
        """Sends a request and returns its id."""
        return self.wire.post(method, params)

    def replied(self, request_id: int) -> bool:
        """Whether the reply has been received already."""
        return request_id in self._replies

    def reply(self, request_id: int) -> JsonObject:
        """Waits for the whole reply to a request."""
        while request_id not in self._replies:
            self._receive()
        return self._replies.pop(request_id)

    def result(self, request_id: int) -> JsonObject:
        """Waits for the result of a request.

        :raises RpcError: it was refused.
        """
        reply = self.reply(request_id)
        if "error" in reply:
            raise RpcError(reply["error"]["code"], reply["error"]["message"])
        result: JsonObject = reply["result"]
        return result

    def call(self, method: str, **params: Any) -> JsonObject:
        """Makes a call and returns its result.

        :raises RpcError: it was refused.
        """
        return self.result(self.post(method, **params))

    def post_start(self, process_id: str, argv: list[str], **more: Any) -> int:
        """Asks for a process with the executor's own environment; *more* are further fields."""
        params = {"cwd": self._cwd, "env": {}, "envPolicy": INHERIT, "tty": False} | more
        return self.post("process/start", processId=process_id, argv=argv, **params)

    def start(self, process_id: str, argv: list[str], **more: Any) -> JsonObject:
        """Starts a process as :meth:`post_start` and returns the result of the call."""
        return self.result(self.post_start(process_id, argv, **more))

    def write(self, process_id: str, data: bytes, write_id: str) -> str:
        """Returns the status."""
        chunk = base64.b64encode(data).decode()
        status: str = self.call("process/write", processId=process_id, chunk=chunk, writeId=write_id)[
            "status"
        ]
        return status

    def told(self, process_id: str) -> list[Told]:
        """What has been received of a process, in the order in which it came."""
        return self._told[process_id]

    def until(self, kind: str, process_id: str) -> Told:
        """Waits for the first notification of a kind."""
        while (kind, process_id) not in self._first:
            self._receive()
        return self._first[kind, process_id]

    def until_output(self, process_id: str, text: bytes, stream: str = "stdout") -> None:
        """Waits until *text* is part of what was received of a stream."""
        while text not in self.output(process_id, stream):
            self._receive()

    def finish(self, process_id: str) -> list[Told]:
        """Waits for the last notification and returns all."""
        self.until("closed", process_id)
        return self._told[process_id]

    def output(self, process_id: str, stream: str = "stdout") -> bytes:
        """What has been received of a stream."""
        return b"".join(told.data for told in self._told[process_id] if told.stream == stream)

    def _receive(self) -> None:
        waiting = self.wire.notifications
        message = waiting.pop(0) if waiting else self.wire.receive()
        if "method" not in message:
            self._replies[message["id"]] = message
            return
        params = message["params"]
        kind = message["method"].removeprefix("process/")
        told = Told(
            kind,
            params["seq"],
            params.get("stream", ""),
            base64.b64decode(params.get("chunk", ""), validate=True),
            params.get("exitCode"),
        )
        self._told[params["processId"]].append(told)
        self._first.setdefault((kind, params["processId"]), told)
