"""Starts a file helper inside of a sandbox, has it make calls, and ends it."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import count
from pathlib import Path, PurePath
from types import ModuleType
from typing import Any, Final, Protocol

import msgspec

import executors
from executors.filesystem.local import MAX_READ_FILE_BYTES
from executors.filesystem.operations import Operation
from executors.process.base import Backend, ChildProcess, SpawnRequest
from executors.protocol.errors import RpcError, internal_error
from executors.protocol.processes import Stream
from executors.sandbox import file_helper_linux as helper
from executors.sandbox import interpreter
from executors.sandbox.backend import Confinement
from executors.sandbox.policy import Access, Policy, Rule, make_policy

_MOST_SAID: Final = 2000
_READY_SECONDS: Final = 20.0
_TAKEN_SECONDS: Final = 10.0
"""So long may a helper take until it has a process for a call; one that takes longer is replaced."""
_MOST_RESULT: Final = 256 * 1024 * 1024
_LIBRARIES: Final = (
    *("/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/libx32", "/usr/local/lib", "/lib", "/lib32", "/lib64"),
    *("/libx32", "/nix/store", "/gnu/store", "/etc/ld.so.cache"),
)
_PACKAGES: Final[tuple[ModuleType, ...]] = (msgspec, executors)
# A directory on sys.path would have to be listed, with all else that is in it.
_BOOT: Final = """
import importlib.util, json, sys
for name, folder in json.loads(sys.argv[1]):
    spec = importlib.util.spec_from_file_location(
        name, folder + "/__init__.py", submodule_search_locations=[folder])
    sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[name])
from executors.sandbox.file_helper_linux import main
main()
"""


def widened(policy: Policy) -> Policy:
    """Returns *policy* with all that a helper has to read; the helper itself keeps to *policy*.

    :raises FileNotFoundError: there is no interpreter to start, or a package is in no folder of its own.
    """
    needed = [Path(os.path.realpath(path)) for path in _LIBRARIES if os.path.exists(path)]
    needed += [*interpreter.places(), *map(Path, _folders().values())]
    rules: dict[PurePath, Rule] = {rule.path: rule for rule in policy.rules}
    rules |= {place: Rule(place, Access.READ) for place in needed if policy.access(place) == Access.NONE}
    return make_policy(
        rules.values(),
        denied_patterns=policy.denied_patterns,
        pattern_depth=policy.pattern_depth,
        network=policy.network,
        roots=policy.roots,
    )


def _folders() -> dict[str, str]:
    folders = {}
    for package in _PACKAGES:
        (path,) = package.__path__
        folder = os.path.realpath(path)
        if not os.path.isfile(os.path.join(folder, "__init__.py")):
            raise FileNotFoundError(f"package {package.__name__} is in no folder of its own ({folder})")
        folders[package.__name__] = folder
    return folders


class FileKeeper:
    """A helper that has been started.

    :param confinement: of the :func:`widened` policy.
    :param policy: the caller's own.
    :raises OSError, ValueError: as :meth:`executors.process.base.Backend.spawn`.
    """

    def __init__(self, processes: Backend, confinement: Confinement, policy: Policy) -> None:
        self._policy = policy
        self._numbers = count(1)
        self._ended = asyncio.Event()
        self._said = bytearray()
        self.is_alive = True
        """Whether it can be asked; it may find out that it cannot."""
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._child: ChildProcess | None = None
        try:
            with theirs:
                command = [*interpreter.command(), "-c", _BOOT, json.dumps(list(_folders().items()))]
                request = SpawnRequest(
                    argv=command,
                    cwd="/",
                    env=dict(interpreter.environment()),
                    stdin=theirs.fileno(),
                    starter=confinement.start,
                )
                self._child = processes.spawn(confinement.wrap(request), self)
        except BaseException:
            self._control.close()
            raise

    # What its process does.

    def output(self, stream: Stream, data: bytes) -> None:
        self._said += data
        del self._said[:-_MOST_SAID]

    def exited(self, exit_code: int) -> None:
        self.is_alive = False

    def output_closed(self) -> None:
        self.is_alive = False
        self._ended.set()

    # On a worker thread.

    def start(self) -> None:
        """Gives the helper its policy and waits until it is ready.

        :raises EOFError: it has ended.
        """
        with self._connect(0) as connection:
            rules = msgspec.msgpack.encode(helper.Rules.of(self._policy))
            connection.settimeout(_READY_SECONDS)
            try:
                connection.sendall(helper.REQUEST_HEAD.pack(len(rules), 0) + rules)
                helper.receive(connection, len(helper.READY))
            except OSError:
                raise EOFError from None

    def call(self) -> FileCall:
        return FileCall(self._connect, self._stop, self._abandon, next(self._numbers))

    async def complaint(self) -> str:
        """Returns what it said before it ended; ends it."""
        await self.close()
        lines = self._said.decode("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"

    async def close(self) -> None:
        """Ends the helper and the processes of its calls.

        :raises TimeoutError: they resist.
        """
        self.is_alive = False
        with suppress(OSError):
            self._control.shutdown(socket.SHUT_RDWR)
        child, self._child = self._child, None
        if child is not None:
            try:
                await child.terminate()
            finally:
                child.release()
                self._control.close()

    def _connect(self, number: int) -> socket.socket:
        """Returns a connection to the process of a call.

        :raises EOFError: the helper has ended.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                packet = helper.PACKET.pack(helper.SERVE, number)
                socket.send_fds(self._control, [packet], [theirs.fileno()])
            except OSError:
                ours.close()
                self.is_alive = False
                raise EOFError from None
        return ours

    def _abandon(self) -> None:
        self.is_alive = False

    def _stop(self, number: int) -> None:
        # Where it does not get there all of them have ended, or their memory is short and it is tried later.
        with suppress(OSError):
            self._control.send(helper.PACKET.pack(helper.STOP, number), socket.MSG_DONTWAIT)


class _Connect(Protocol):
    def __call__(self, number: int) -> socket.socket: ...


class FileCall:
    """One call, made by a process of its own."""

    def __init__(
        self, connect: _Connect, stop: Callable[[int], None], abandon: Callable[[], None], number: int
    ) -> None:
        self._connect = connect
        self._stop = stop
        self._abandon = abandon
        self._number = number
        self._lock = threading.Lock()
        self._connection: socket.socket | None = None
        self._is_called_off = False

    def make(
        self,
        name: str,
        operation: Operation,
        paths: tuple[str, ...],
        options: Mapping[str, bool | int],
        content: bytes | None,
    ) -> Any:
        """Returns the result; on a worker thread, since it takes as long as the call does.

        :raises RpcError: as the call ends; INTERNAL_ERROR also if its process ends before it.
        :raises EOFError: the helper has ended; nothing has happened.
        """
        with self._connect(self._number) as connection:
            with self._lock:
                if self._is_called_off:
                    self._stop(self._number)
                    raise _ended("it was called off")
                self._connection = connection
            connection.settimeout(_TAKEN_SECONDS)
            try:
                helper.receive(connection, len(helper.TAKEN))
            except TimeoutError:
                # The call itself is sent later only, so that nothing can have happened.
                self._abandon()
                raise EOFError from None
            except OSError:
                # The helper has ended, and what was on the way to it is lost.
                raise EOFError from None
            connection.settimeout(None)
            try:
                # The process may have been refused, and have said so: what it says counts.
                with suppress(BrokenPipeError, ConnectionResetError):
                    _send(connection, name, paths, options, content)
                return _reply(connection, operation)
            except (EOFError, OSError, msgspec.DecodeError) as error:
                raise _ended(str(error) or "it was killed") from None
            finally:
                with self._lock:
                    self._connection = None

    def call_off(self) -> None:
        """Ends the process of the call, wherever it is; from any thread."""
        with self._lock:
            self._is_called_off = True
            if self._connection is not None:
                self._stop(self._number)
                with suppress(OSError):
                    self._connection.shutdown(socket.SHUT_RDWR)


def _send(
    connection: socket.socket,
    name: str,
    paths: tuple[str, ...],
    options: Mapping[str, bool | int],
    content: bytes | None,
) -> None:
    call = msgspec.msgpack.encode(
        helper.Call(name, tuple(map(os.fsencode, paths)), dict(options), content is not None)
    )
    connection.sendall(helper.REQUEST_HEAD.pack(len(call), len(content or b"")) + call)
    if content:
        connection.sendall(content)


def _reply(connection: socket.socket, operation: Operation) -> Any:
    """:raises EOFError, msgspec.DecodeError, OSError: this is no reply."""
    kind, size = helper.REPLY_HEAD.unpack(helper.receive(connection, helper.REPLY_HEAD.size))
    is_content = kind == helper.CONTENT
    if is_content != (operation.result is bytes and kind != helper.FAILURE):
        raise OSError("it gave another reply than was asked for")
    if size > (MAX_READ_FILE_BYTES if is_content else _MOST_RESULT):
        raise OSError(f"it gave a reply of {size} bytes")
    data = helper.receive(connection, size)
    if is_content:
        return data
    if kind == helper.FAILURE:
        raise RpcError(*msgspec.msgpack.decode(data, type=tuple[int, str]))
    return msgspec.msgpack.decode(data, type=operation.result)


def _ended(why: str) -> RpcError:
    return internal_error(f"the process that makes the call in its sandbox has ended without a reply: {why}")
