"""Takes what a launcher gives away before its program runs, and watches the program from then on."""

from __future__ import annotations

import asyncio
import fcntl
import os
import socket
from collections.abc import Callable
from typing import Final

from executors.sandbox.backend import Evidence
from executors.sandbox.witness_linux import Witness

_MOST_GIVEN: Final = 16


class Channel:
    """One end for a launcher, and what comes by it.

    :param gives: how many descriptors will come.
    :param watch: makes a witness of a listener, which comes last; None where there is none.
    :param take: gets the others, which belong to it.
    :param floor: the lowest number that the launcher's end may have here.
    """

    def __init__(
        self,
        gives: int,
        watch: Callable[[int], Witness] | None,
        take: Callable[[list[int]], None],
        floor: int,
    ) -> None:
        self._gives = gives
        self._watch = watch
        self._take = take
        self._witness: Witness | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            try:
                self.theirs = os.fdopen(fcntl.fcntl(theirs, fcntl.F_DUPFD_CLOEXEC, floor), "wb", buffering=0)
            except BaseException:
                self._ours.close()
                raise

    def started(self, loop: asyncio.AbstractEventLoop) -> None:
        """The launcher has been started, and has its end."""
        self.theirs.close()
        self._loop = loop
        loop.add_reader(self._ours.fileno(), self._receive)

    def evidence(self) -> Evidence | None:
        """See :meth:`executors.sandbox.backend.Confinement.evidence`."""
        if self._ours.fileno() >= 0:
            self._receive()
        return None if self._witness is None else self._witness.evidence()

    def is_over(self) -> bool:
        """Whether nothing can come any more, for all that it was for have ended."""
        return self._ours.fileno() < 0 and (self._witness is None or self._witness.is_closed)

    def close(self) -> None:
        self.theirs.close()
        self._stop()
        if self._witness is not None:
            self._witness.close()

    def _stop(self) -> None:
        if self._loop is not None and self._ours.fileno() >= 0:
            self._loop.remove_reader(self._ours.fileno())
        self._ours.close()

    def _receive(self) -> None:
        try:
            _, fds, _, _ = socket.recv_fds(self._ours, 1, _MOST_GIVEN, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:
            fds = []
        self._stop()
        if len(fds) != self._gives:
            # It has not come so far, and no program runs.
            for fd in fds:
                os.close(fd)
            return
        if self._watch is not None:
            self._witness = self._watch(fds.pop())
        self._take(fds)
