"""Where the events of a session's processes go, and how much they may hold. Plain state, no I/O."""

from __future__ import annotations

from collections.abc import Callable

from executors.process.output_log import RETAINED_BYTES

WINDOW_BYTES = 4 * 1024 * 1024
"""Memory of output that a process may have which its client may not know; past it the process waits."""

_SESSION_BYTES = 64 * 1024 * 1024


def window(processes: int) -> int:
    """Returns the window of each process, in bytes, where so many of a session are open.

    It is never below what is retained of a process's output in any case.
    """
    return min(WINDOW_BYTES, max(RETAINED_BYTES, _SESSION_BYTES // max(processes, 1)))


class Outlet:
    """What all processes of a session send through, changed as its client comes and goes.

    :ivar send: sends a notification to the client; None while there is none.
    :ivar acknowledges: whether the client says what has come in; of one that does not, what was sent to it
        counts as come in.
    :ivar window: see :func:`window`.
    """

    __slots__ = ("acknowledges", "send", "window")

    def __init__(self, send: Callable[[bytes], None] | None = None, acknowledges: bool = False) -> None:
        self.send = send
        self.acknowledges = acknowledges
        self.window = WINDOW_BYTES
