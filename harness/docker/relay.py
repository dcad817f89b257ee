"""A local socket that leads into a container by programs that run there, where no file can be shared."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final

from executors.transport.unix import UnixSocket, bind
from harness.docker.daemon import Daemon
from harness.docker.errors import NotStarted
from harness.docker.stream import Stream

_LOG: Final = logging.getLogger(__name__)
_READ_BYTES: Final = 65536
_BACKLOG: Final = 1024


def run_inside(daemon: Daemon, container: str, command: Sequence[str], user: str | None) -> tuple[str, Any]:
    """Starts a program in a running container; returns its id and its streams, for :class:`Stream`.

    :param user: None for the container's own.
    :raises NotStarted: the daemon refused.
    """
    from docker.errors import APIError

    try:
        id: str = daemon.api.exec_create(container, list(command), stdin=True, user=user or "")["Id"]
        return id, daemon.api.exec_start(id, socket=True)
    except APIError as error:
        raise NotStarted(
            f"{command[0]} cannot be started in {container[:12]}: {error.explanation}"
        ) from error


@contextmanager
def relayed(path: str, start: Callable[[], Any]) -> Iterator[None]:
    """Listens on the local socket *path*, this user's alone, and joins who connects to a new program.

    :param start: starts that program and returns its streams. Called in threads, one at a time.
    """
    with bind(path) as listener:
        listener.listen(_BACKLOG)
        relay = _Relay(listener, start)
        try:
            yield
        finally:
            relay.close()


class _Relay:
    def __init__(self, listener: UnixSocket, start: Callable[[], Any]) -> None:
        self._listener = listener
        self._start = start
        # docker-py's connections are not made for several threads.
        self._starting = threading.Lock()
        self._changing = threading.Lock()
        self._closing = False
        self._open: dict[threading.Thread, UnixSocket] = {}
        self._accepter = threading.Thread(target=self._accept, name="docker-relay", daemon=True)
        self._accepter.start()

    def close(self) -> None:
        with self._changing:
            self._closing = True
            for connection in self._open.values():
                _shut(connection)
            waiting = list(self._open)
        # Wakes who waits in accept().
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._accepter.join()
        for thread in waiting:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with self._changing:
                if self._closing:
                    connection.close()
                    return
                thread = threading.Thread(
                    target=self._serve, args=(connection,), name="docker-relayed", daemon=True
                )
                self._open[thread] = connection
                thread.start()

    def _serve(self, connection: UnixSocket) -> None:
        try:
            with self._starting:
                taken = self._start()
            said = bytearray()
            stream = Stream(taken, connection.sendall, said.extend, lambda: _shut(connection))
            try:
                with suppress(OSError):
                    while data := connection.recv(_READ_BYTES):
                        stream.send(data)
                stream.end_input()
                stream.wait_for_end()
            finally:
                stream.close()
            if said:
                _LOG.warning("a way into the container broke: %s", said.decode(errors="replace")[-1000:])
        except Exception as error:
            # Whoever has connected sees the end of the connection; the reason is here.
            _LOG.warning("no way into the container: %s", error)
        finally:
            with self._changing:
                del self._open[threading.current_thread()]
            connection.close()


def _shut(connection: UnixSocket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
