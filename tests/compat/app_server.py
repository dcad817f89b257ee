"""The released program that editors talk to: JSON-RPC over its standard streams, one object a line."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.watch import SECONDS

_LIMIT_SECONDS = 3 * SECONDS


class AppServer:
    """Calls, and the notifications that came meanwhile.

    :ivar thread: the id of the conversation, once there is one.
    """

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.thread = ""
        self._process = process
        self._number = 0
        self._notifications: list[dict[str, Any]] = []

    def call(self, method: str, **params: Any) -> Any:
        """
        :raises AssertionError: the reply is an error.
        """
        self._number += 1
        self._send({"id": self._number, "method": method, "params": params})
        while (message := self._receive()).get("id") != self._number:
            self._notifications.append(message)
        assert "result" in message, message
        return message["result"]

    def use(self, executor_url: str, cwd: str) -> None:
        """Begins a conversation whose tools work on that executor alone.

        :param cwd: as the executor's system spells it.
        """
        client = {"name": "tests", "title": "tests", "version": "1"}
        self.call("initialize", clientInfo=client, capabilities={"experimentalApi": True})
        self._send({"method": "initialized"})
        self.call("environment/add", environmentId="box", execServerUrl=executor_url)
        environment = {"environmentId": "box", "cwd": cwd}
        self.thread = self.call("thread/start", environments=[environment])["thread"]["id"]

    def ask(self) -> str:
        """Begins a turn; returns its id."""
        text = {"type": "text", "text": "Run the commands."}
        turn: str = self.call("turn/start", threadId=self.thread, input=[text])["turn"]["id"]
        return turn

    def completed(self) -> str:
        """Waits for the turn's end; returns its status."""
        status: str = self._wait_for("turn/completed")["turn"]["status"]
        return status

    def _wait_for(self, method: str) -> Any:
        for message in self._notifications:
            if message.get("method") == method:
                return message["params"]
        while (message := self._receive()).get("method") != method:
            self._notifications.append(message)
        return message["params"]

    def _send(self, message: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message).encode() + b"\n")
        self._process.stdin.flush()

    def _receive(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the app server has ended, or was ended because it fell silent"
        message: dict[str, Any] = json.loads(line)
        return message


@contextmanager
def app_server(program: Path, env: Mapping[str, str]) -> Iterator[AppServer]:
    """Runs it."""
    process = subprocess.Popen(
        [program, "app-server"],
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    # A program that falls silent is ended, so that whoever reads from it fails.
    deadline = threading.Timer(_LIMIT_SECONDS, process.kill)
    deadline.start()
    try:
        yield AppServer(process)
    finally:
        deadline.cancel()
        process.kill()
        process.communicate()
