"""What can go wrong on the client's side; a refusal by the executor is an :class:`RpcError`."""

from __future__ import annotations

from typing import Final

from executors.protocol.errors import RpcError

__all__ = [
    "BadReply",
    "CallTimeout",
    "ClientError",
    "CommandDenied",
    "CommandFailed",
    "ConnectFailed",
    "ConnectionLost",
    "ExecutorKeyChanged",
    "FileDenied",
    "HandleLost",
    "Interrupted",
    "MessageTooLarge",
    "OutcomeUnknown",
    "OutputLost",
    "OutputOverflow",
    "RpcError",
    "SandboxDenied",
    "SandboxRefused",
    "SessionLost",
    "StdinClosed",
    "StreamInterrupted",
    "Unsupported",
]

_SHOWN_BYTES: Final = 2000


class ClientError(Exception):
    """Base of every error that the client itself raises."""


class ConnectFailed(ClientError, ConnectionError):
    """No connection came about, or the handshake of the protocol failed."""


class ExecutorKeyChanged(ConnectFailed):
    """Who answers to an executor's name has another key than the one reached before, or than the user gave.

    A session with that one cannot be resumed.
    """


class ConnectionLost(ClientError, ConnectionError):
    """The connection ended, so what was waited for cannot come; which of the kinds below tells what to do.

    :ivar url: the executor's.
    :ivar code: the close code of RFC 6455 section 7.4; None if the peer sent no close frame.
    :ivar reason: the peer's text, or what the client found.
    """

    def __init__(self, url: str, code: int | None, reason: str, waiting_for: str = "") -> None:
        super().__init__(url, code, reason, waiting_for)
        self.url = url
        self.code = code
        self.reason = reason
        self.waiting_for = waiting_for

    def __str__(self) -> str:
        closed = "no close frame" if self.code is None else f"close code {self.code}"
        reason = f": {self.reason}" if self.reason else ""
        waiting = f" while waiting for {self.waiting_for}" if self.waiting_for else ""
        return f"connection to {self.url} lost{waiting} ({closed}{reason}){self._then()}"

    def _then(self) -> str:
        return ""


class Interrupted(ConnectionLost):
    """A call that changes nothing was under way: make it again, the session may come back."""

    def _then(self) -> str:
        return "; it changes nothing and can be made again"


class OutcomeUnknown(ConnectionLost):
    """A call that changes something was under way: it may have been done, or not.

    It is not made again by itself. A process whose start ends so is terminated if it did start.
    """

    def _then(self) -> str:
        return "; whether it was done is not known"


class HandleLost(ConnectionLost):
    """A file handle ends with the connection that it was opened over: open the file again."""

    def _then(self) -> str:
        return "; the file handle ended with it"


class StreamInterrupted(ConnectionLost):
    """A file was being streamed.

    :ivar offset: of a read, up to where all of the file was handed out; of a write, up to where the
        executor has confirmed what it was sent. The file was not closed: its path may lead to what was there
        before, as with this project's executor, or to a part of the new content.
    """

    def __init__(self, lost: ConnectionLost, offset: int, waiting_for: str) -> None:
        super().__init__(lost.url, lost.code, lost.reason, waiting_for)
        self.offset = offset

    def _then(self) -> str:
        return f"; the stream ended at offset {self.offset}"


class SessionLost(ConnectionLost):
    """The session cannot be resumed, and its processes end: every call from now on fails so.

    :ivar why: what ended the attempts to resume it.
    """

    def __init__(self, url: str, code: int | None, reason: str, why: str, waiting_for: str = "") -> None:
        super().__init__(url, code, reason, waiting_for)
        self.why = why

    def _then(self) -> str:
        return f"; its session is lost: {self.why}"

    def of(self, waiting_for: str) -> SessionLost:
        """The same for another who waited."""
        return SessionLost(self.url, self.code, self.reason, self.why, waiting_for)


class BadReply(ClientError):
    """The executor's reply does not have the form that the protocol gives it."""


class MessageTooLarge(ClientError, ValueError):
    """A call is longer than its connection carries; it was not sent, and the connection goes on."""


class Unsupported(ClientError):
    """The executor lacks a capability that the call needs."""


class CallTimeout(ClientError, TimeoutError):
    """A blocking call did not finish in its time; it has been cancelled."""


class StdinClosed(ClientError, BrokenPipeError):
    """The process takes no input: it was started without, has ended, or its input was closed."""


class OutputLost(ClientError):
    """Events of a process are missing and the executor no longer holds them.

    :ivar missing: how many.
    :ivar first: the sequence number of the first.
    :ivar exit_code: the exit code, where the executor still told it.
    """

    def __init__(self, process_id: str, first: int, missing: int, exit_code: int | None, why: str) -> None:
        super().__init__(process_id, first, missing, exit_code, why)
        self.process_id = process_id
        self.first = first
        self.missing = missing
        self.exit_code = exit_code
        self.why = why

    def __str__(self) -> str:
        many = f"event {self.first}" if self.missing == 1 else f"{self.missing} events from {self.first} on"
        return f"{many} of process {self.process_id!r} lost: {self.why}"


class OutputOverflow(ClientError):
    """A process wrote more than the client may hold for a consumer that does not read."""


class _CommandEnded(ClientError):
    def __init__(self, argv: list[str], exit_code: int, stdout: bytes, stderr: bytes) -> None:
        super().__init__(argv, exit_code, stdout, stderr)
        self.argv = argv
        self.exit_code = exit_code
        self.stdout = stdout
        self.stderr = stderr


class CommandFailed(_CommandEnded):
    """A command that was to succeed ended with another exit code than 0."""

    def __str__(self) -> str:
        text = f"command {self.argv!r} ended with exit code {self.exit_code}"
        return text + _ends(self.stdout, self.stderr)


class SandboxRefused(ClientError, RpcError):
    """The executor does not take the intent of a call: it is malformed, or nothing there enforces it.

    Nothing was started or touched.
    """


class SandboxDenied(ClientError):
    """A sandbox kept something from being done."""


class CommandDenied(_CommandEnded, SandboxDenied):
    """A command failed, and by what the executor has found, since its sandbox kept it from something.

    What it did before that is done.

    :ivar exit_code: 128+n for a death by signal n on POSIX; signed 32-bit on Windows.
    :ivar stdout: under a terminal, all that was written to it.
    """

    def __str__(self) -> str:
        text = (
            f"the sandbox kept command {self.argv!r} from something: it ended with exit code {self.exit_code}"
        )
        return text + _ends(self.stdout, self.stderr)


class FileDenied(SandboxDenied, RpcError):
    """The intent of a file call keeps it from what it asked for."""


def _ends(stdout: bytes, stderr: bytes) -> str:
    text = ""
    for name, data in (("stdout", stdout), ("stderr", stderr)):
        if data:
            text += f"\n{name} ends: {data[-_SHOWN_BYTES:].decode(errors='backslashreplace')}"
    return text
