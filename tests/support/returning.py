"""A blocking client that comes back to its session, and what it has got of its processes so far."""

from __future__ import annotations

import base64
import time
from typing import Any

from tests.support.launch import Executor
from tests.support.watch import SECONDS
from tests.support.wire import Json, ReplyError, WebSocket


class Returning:
    """One session over any number of connections.

    :ivar client: the present connection.
    :ivar resumed: the reply to the last ``initialize``.
    :param params: of ``initialize``, every time.
    """

    def __init__(self, executor: Executor, **params: Any) -> None:
        self._executor = executor
        self._params = params
        self.client = executor.new_client()
        self.resumed: Json = self.client.handshake(**params)
        self.session_id: str = self.resumed["sessionId"]
        self._events: dict[str, dict[int, Json]] = {}
        self._taken = 0
        self._writes = 0

    def cut(self, reset: bool = False) -> None:
        """Ends the connection with no word, after what has come in by now."""
        assert isinstance(self.client.channel, WebSocket)
        self.client.channel.cut(reset)

    def resume(self) -> None:
        """Comes back, as soon as the executor has noticed the cut."""
        self._take()
        self.client = self._executor.new_client()
        self._taken = 0
        deadline = time.monotonic() + SECONDS
        while True:
            try:
                self.resumed = self.client.handshake(resumeSessionId=self.session_id, **self._params)
            except ReplyError as error:
                if error.code != -32010 or time.monotonic() > deadline:
                    raise
            else:
                return

    def close(self) -> None:
        self.client.channel.close()

    def catch_up(self, process_id: str, max_bytes: int | None = None) -> Json:
        """Reads what has been missed; returns the last reply."""
        while True:
            after = self.last_seq(process_id)
            read = self.client.call("process/read", processId=process_id, afterSeq=after, maxBytes=max_bytes)
            # What came before the reply may have been dropped by now.
            self._take()
            known = self._events.setdefault(process_id, {})
            for chunk in read["chunks"]:
                known[chunk["seq"]] = chunk
            # Numbers without a chunk are those of the exit and the end; output may come between them.
            for seq in range(after + 1, read["nextSeq"]):
                known.setdefault(seq, {})
            if max_bytes is None or not read["chunks"]:
                return read

    def last_seq(self, process_id: str) -> int:
        """Returns the number up to which every event is known."""
        self._take()
        known = self._events.setdefault(process_id, {})
        seq = 0
        while seq + 1 in known:
            seq += 1
        return seq

    def output(self, process_id: str) -> bytes:
        """Returns the output up to :meth:`last_seq`, each piece once."""
        last = self.last_seq(process_id)
        known = self._events[process_id]
        return b"".join(base64.b64decode(known[seq].get("chunk", "")) for seq in range(1, last + 1))

    def until(self, process_id: str, text: bytes) -> None:
        """Takes in messages until the output holds *text*."""
        while text not in self.output(process_id):
            self.client.step()

    def finish(self, process_id: str) -> bytes:
        """Returns all output once the process has closed."""
        if not self.catch_up(process_id)["closed"]:
            self.client.wait_for("process/closed", process_id)
        assert self.catch_up(process_id)["closed"]
        return self.output(process_id)

    def write(self, process_id: str, data: bytes) -> str:
        """As that of the connection, whose numbers of writes would begin anew with the next one."""
        self._writes += 1
        return self.client.write(process_id, data, f"returning {self._writes}")

    def finish_with_acknowledgements(self, process_id: str) -> bytes:
        """As :meth:`finish`, for a client that acknowledges as it reads."""
        at = 0
        while not any(
            event["method"] == "process/closed" and event["processId"] == process_id
            for event in self.client.events[at:]
        ):
            at = len(self.client.events)
            for _ in range(4):
                self.client.call("environment/status")
            self.catch_up(process_id)
            self.acknowledge(process_id)
        return self.output(process_id)

    def acknowledge(self, process_id: str) -> None:
        self.client.notify("process/acknowledge", processId=process_id, seq=self.last_seq(process_id))

    def _take(self) -> None:
        """Files the notifications that have come in."""
        for event in self.client.events[self._taken :]:
            if event["method"].startswith("process/"):
                self._events.setdefault(event["processId"], {}).setdefault(event["seq"], event)
        self._taken = len(self.client.events)
