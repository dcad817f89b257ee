"""The program that makes file calls inside of a sandbox: one process that waits, and one more for each call.

It is started with one end of a pair of sockets as its standard input, which keeps messages apart. Each
message is :data:`PACKET`, with a socket for ``SERVE``: the first one to read the caller's policy from, every
other one for a call and its reply. ``STOP`` ends the process of a call. When the other end is closed, all
end.

The other side trusts nothing that comes from here: it may have been taken over by what runs in the sandbox.
"""

from __future__ import annotations

import ctypes
import gc
import os
import select
import signal
import socket
import struct
import sys
from typing import Any, Final, NoReturn

import msgspec

from executors.filesystem.operations import OPERATIONS
from executors.protocol.errors import RpcError, internal_error
from executors.sandbox.file_guard_linux import Guard
from executors.sandbox.policy import Access, Policy, Rule, make_policy

PACKET: Final = struct.Struct("=cQ")
"""What to do, and the number of a call."""
SERVE: Final = b"s"
STOP: Final = b"x"
READY: Final = b"r"
"""Sent once by the helper, when it has its policy."""

REQUEST_HEAD: Final = struct.Struct("=QQ")
"""The bytes of the encoded :class:`Call` and of the content to be written that follows it."""
TAKEN: Final = b"t"
"""Comes before a reply, and before anything is done."""
REPLY_HEAD: Final = struct.Struct("=cQ")
"""What the reply is, and how many bytes of it follow."""
RESULT: Final = b"r"
CONTENT: Final = b"c"
FAILURE: Final = b"f"

_PR_SET_PDEATHSIG: Final = 1


class Call(msgspec.Struct, frozen=True):
    """:ivar operation: a name of :data:`executors.filesystem.operations.OPERATIONS`.
    :ivar paths: native ones, as ``os.fsencode`` makes them.
    :ivar content: whether content follows.
    """

    operation: str
    paths: tuple[bytes, ...]
    options: dict[str, bool | int]
    content: bool


class Rules(msgspec.Struct, frozen=True):
    """A policy on its way."""

    rules: tuple[tuple[bytes, int], ...]
    denied_patterns: tuple[bytes, ...]
    network: bool

    @classmethod
    def of(cls, policy: Policy) -> Rules:
        rules = tuple((os.fsencode(rule.path), int(rule.access)) for rule in policy.rules)
        return cls(rules, tuple(map(os.fsencode, policy.denied_patterns)), policy.network)

    def policy(self) -> Policy:
        from pathlib import PurePosixPath

        return make_policy(
            (Rule(PurePosixPath(os.fsdecode(path)), Access(access)) for path, access in self.rules),
            denied_patterns=map(os.fsdecode, self.denied_patterns),
            network=self.network,
        )


def receive(connection: socket.socket, size: int) -> bytearray:
    """:raises EOFError: the other end was closed before *size* bytes had come."""
    data = bytearray(size)
    rest = memoryview(data)
    while rest:
        count = connection.recv_into(rest)
        if not count:
            raise EOFError
        rest = rest[count:]
    return data


def main() -> NoReturn:
    control = socket.socket(fileno=0)
    _, (fd,), _, _ = socket.recv_fds(control, PACKET.size, 1)
    with socket.socket(fileno=fd) as connection:
        (size, _) = REQUEST_HEAD.unpack(receive(connection, REQUEST_HEAD.size))
        rules = msgspec.msgpack.decode(receive(connection, size), type=Rules)
        Helper(control, Guard(rules.policy())).serve(connection)


class Helper:
    """Has a process for each call, so that one that hangs or fails concerns no other.

    One is made beforehand while there is nothing else to do.
    """

    def __init__(self, control: socket.socket, guard: Guard) -> None:
        self._control = control
        self._guard = guard
        self._calls: dict[int, int] = {}
        """The processes by the numbers of their calls."""
        self._spare: tuple[int, socket.socket] | None = None
        self._prctl = ctypes.CDLL(None).prctl
        self._woken, waking = os.pipe()
        os.set_blocking(self._woken, False)
        os.set_blocking(waking, False)
        signal.set_wakeup_fd(waking)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        guard.install()

    def serve(self, starter: socket.socket) -> NoReturn:
        """Does what is asked for until the other end is closed."""
        gc.collect()
        gc.freeze()
        # Whatever the collector would touch is copied in each of the processes.
        gc.disable()
        starter.sendall(READY)
        starter.close()
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        poll.register(self._woken, select.POLLIN)
        while True:
            is_idle = self._spare is None and not self._calls
            ready = dict(poll.poll(0 if is_idle else None))
            if not ready:
                self._prepare()
                poll.poll()
                continue
            if self._woken in ready:
                os.read(self._woken, 4096)
                self._reap()
            if self._control.fileno() in ready:
                message, fds, _, _ = socket.recv_fds(self._control, PACKET.size, 1)
                if not message:
                    break
                self._take(message, fds)
        for process in self._calls.values():
            _kill(process)
        os._exit(0)

    def _prepare(self) -> None:
        try:
            self._spare = self._fork()
        except OSError:
            # The call that needs it tells.
            self._spare = None

    def _take(self, message: bytes, fds: list[int]) -> None:
        kind, number = PACKET.unpack(message)
        if kind == STOP:
            # Not collected yet: so the process is still that one.
            process = self._calls.get(number)
            if process is not None:
                _kill(process)
            return
        try:
            process, slot = self._spare or self._fork()
            self._spare = None
            self._calls[number] = process
            with slot:
                socket.send_fds(slot, [SERVE], fds)
        except OSError as error:
            with socket.socket(fileno=os.dup(fds[0])) as connection:
                connection.sendall(TAKEN)
                _reply_error(connection, internal_error(f"cannot start a process for the call: {error}"))
        finally:
            os.close(fds[0])

    def _fork(self) -> tuple[int, socket.socket]:
        """Returns a process, and what it waits at for the socket of its call."""
        slot, theirs = socket.socketpair()
        own = os.getpid()
        try:
            process = os.fork()
        except OSError:
            slot.close()
            theirs.close()
            raise
        if process:
            theirs.close()
            return process, slot
        try:
            slot.close()
            self._be_called(own, theirs)
        except BaseException:
            sys.excepthook(*sys.exc_info())
            sys.stderr.flush()
        finally:
            os._exit(0)

    def _reap(self) -> None:
        while self._calls or self._spare is not None:
            process, _ = os.waitpid(-1, os.WNOHANG)
            if not process:
                return
            if self._spare is not None and self._spare[0] == process:
                self._spare[1].close()
                self._spare = None
            self._calls = {number: other for number, other in self._calls.items() if other != process}

    def _be_called(self, parent: int, slot: socket.socket) -> None:
        self._prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            return
        signal.set_wakeup_fd(-1)
        self._control.close()
        _, fds, _, _ = socket.recv_fds(slot, len(SERVE), 1)
        slot.close()
        if fds:
            self._answer(socket.socket(fileno=fds[0]))

    def _answer(self, connection: socket.socket) -> None:
        try:
            connection.sendall(TAKEN)
            size, content_size = REQUEST_HEAD.unpack(receive(connection, REQUEST_HEAD.size))
            call = msgspec.msgpack.decode(receive(connection, size), type=Call)
            content = [receive(connection, content_size)] if call.content else []
        except (EOFError, BrokenPipeError, ConnectionResetError):
            return
        try:
            result = self._perform(call, content)
        except RpcError as error:
            _reply_error(connection, error)
            return
        except Exception as error:
            _reply_error(connection, internal_error(f"unexpected error in a file helper: {error!r}"))
            return
        if isinstance(result, bytes):
            _reply(connection, CONTENT, result)
        else:
            _reply(connection, RESULT, msgspec.msgpack.encode(result))

    def _perform(self, call: Call, content: list[bytearray]) -> Any:
        operation = OPERATIONS[call.operation]
        paths = tuple(map(os.fsdecode, call.paths))
        return self._guard.perform(operation, paths, *content, **call.options)


def _kill(process: int) -> None:
    while True:
        try:
            return os.kill(process, signal.SIGKILL)
        except InterruptedError:
            # The sandbox may look at the call, and the end of another process come in between.
            continue


def _reply(connection: socket.socket, kind: bytes, data: bytes) -> None:
    connection.sendall(REPLY_HEAD.pack(kind, len(data)))
    connection.sendall(data)


def _reply_error(connection: socket.socket, error: RpcError) -> None:
    _reply(connection, FAILURE, msgspec.msgpack.encode((int(error.code), error.message)))
