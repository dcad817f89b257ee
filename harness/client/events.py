"""What a process tells, in the order of its sequence numbers."""

from __future__ import annotations

import msgspec

from executors.protocol.processes import Stream


class OutputEvent(msgspec.Struct, frozen=True, gc=False, tag=True):
    """A piece of output, as the executor read it."""

    seq: int
    stream: Stream
    data: bytes


class ExitedEvent(msgspec.Struct, frozen=True, gc=False, tag=True):
    """The process has ended; output may follow, from it or from whoever holds its pipes."""

    seq: int
    exit_code: int
    """128+n for a death by signal n on POSIX; signed 32-bit on Windows."""
    sandbox_denied: bool = False


class ClosedEvent(msgspec.Struct, frozen=True, gc=False, tag=True):
    """The last event: the process has ended and nobody holds its output any more."""

    seq: int


Event = OutputEvent | ExitedEvent | ClosedEvent


class Completed(msgspec.Struct, frozen=True, gc=False):
    """What a finished process left.

    :ivar stdout: under a terminal, all that was written to it.
    """

    exit_code: int
    stdout: bytes
    stderr: bytes
    sandbox_denied: bool = False
