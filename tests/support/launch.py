"""Starts executors as users do: as a process of their own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from tests.support.watch import SECONDS, Holdings, holdings, until
from tests.support.wire import Client, Lines, WebSocket

_RUN = ("-W", "always", "-m", "executors")

ROOT = Path(__file__).resolve().parent.parent.parent


class Executor:
    """An executor process; leaving the block ends it and expects a quiet, orderly end.

    :param listen: ``ws://…`` or ``stdio``.
    :param popen: further arguments of :class:`subprocess.Popen`.
    """

    def __init__(self, *options: str, listen: str = "ws://127.0.0.1:0", **popen: Any) -> None:
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed at the end of the block
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))),
        }
        self.process = subprocess.Popen(
            # A blocking client answers no ping while a test does something else.
            [sys.executable, *_RUN, "--listen", listen, "--ping-seconds", "120", *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            **{"env": environment, **popen},
        )
        self.pid = self.process.pid
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.stdin = self.process.stdin
        self.stdout = self.process.stdout
        self.url = "" if listen.startswith("stdio") else self.stdout.readline().decode().strip()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None and self.url:
            self.process.send_signal(signal.SIGTERM)
        elif kind is None and not self.stdin.closed:
            self.stdin.close()
        status = self.finish(kill=kind is not None)
        errors = self.errors()
        self._stderr.close()
        if kind is None:
            assert (status, errors) == (0, ""), f"status {status}; stderr: {errors}"
        elif errors:
            print(errors)

    def finish(self, kill: bool = False) -> int:
        """Waits for the end, or forces it, and returns the exit status."""
        try:
            return self.process.wait(0 if kill else SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()
        finally:
            self.stdout.close()
            with suppress(BrokenPipeError):
                self.stdin.close()

    def errors(self) -> str:
        """Returns what was written to stderr so far."""
        self._stderr.seek(0)
        return self._stderr.read().decode(errors="replace")

    def expect_errors(self, *texts: str) -> None:
        """Checks that stderr holds *texts*, and lets the end pass in spite of them."""
        found = self.errors()
        for text in texts:
            assert text in found, found
        self._stderr.truncate(0)

    @contextmanager
    def client(self, **how: Any) -> Iterator[Client]:
        """A client over WebSocket whose handshake is over."""
        with self.new_client(**how) as client:
            client.handshake()
            yield client

    def new_client(self, **how: Any) -> Client:
        """A client that has yet to say anything."""
        return Client(WebSocket(self.url, **how) if self.url else Lines(self.stdin, self.stdout))  # type: ignore[arg-type]

    def usual_holdings(self, client: Client) -> Holdings:
        """Returns what is held when something of every kind has been done once."""
        client.call("fs/getMetadata", path="file:///")
        client.call("fs/readFile", path=Path(__file__).as_uri())
        return holdings(self.pid)

    def until_holds(self, before: Holdings) -> None:
        """Waits until the executor holds no more than *before*."""

        def same() -> bool:
            now = holdings(self.pid)
            return now.fds <= before.fds and set(now.children) <= set(before.children)

        until(same, lambda: f"the executor, which held {before}, holds {holdings(self.pid)}")


def http_get(url: str, path: str, *headers: str, method: str = "GET") -> tuple[int, bytes]:
    """Returns status and body of a plain HTTP request to an executor."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), SECONDS) as connection:
        lines = [f"{method} {path} HTTP/1.1", f"Host: {parts.netloc}", "Connection: close", *headers, "", ""]
        connection.sendall("\r\n".join(lines).encode())
        answer = b""
        while data := connection.recv(65536):
            answer += data
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split(None, 2)[1]), body
