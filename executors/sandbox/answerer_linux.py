"""Answers system calls that a filter tells of: what every supervisor of confined programs does."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from executors.sandbox.backend import Evidence
from executors.sandbox.denials_linux import MOVES, Judge
from executors.sandbox.notifications_linux import Listener, Notification
from executors.sandbox.seccomp_linux import CHANGES, OPENS, REFUSED, require_architecture
from executors.sandbox.tracee_linux import Tracee

Handler = Callable[[Tracee, Notification, str], None]

_AT_ONCE: Final = 64
"""How many calls are answered before the event loop does something else."""


class Answerer(ABC):
    """Serves one filter; everything happens on the thread of the event loop.

    :param listener: as :func:`executors.sandbox.seccomp_linux.install` returns it; belongs to this object.
    :param judge: tells what will be denied.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, listener: int, judge: Judge) -> None:
        self._loop = loop
        self._judge = judge
        self._names = {number: name for name, number in require_architecture().numbers.items()}
        self._handlers: dict[str, Handler] = dict.fromkeys(OPENS | CHANGES, self._look)
        self._handlers |= dict.fromkeys({*REFUSED, "unshare", "ioctl"}, self._refuse)
        self._handlers |= {"socket": self._make_socket}
        self._listener: Listener | None = Listener(listener)
        loop.add_reader(listener, self.serve)

    @property
    def descriptor(self) -> int:
        """What becomes readable when a call waits."""
        assert self._listener is not None, "closed"
        return self._listener.fd

    @property
    def is_closed(self) -> bool:
        """Whether it watches no more, such as after the end of all whom it was for."""
        return self._listener is None

    def serve(self) -> None:
        """Answers what waits."""
        for _ in range(_AT_ONCE):
            if self._listener is None or not self._listener.pending():
                break
            notification = self._listener.receive()
            if notification is not None:
                self._answer(self._listener, notification)
        if self._listener is not None and self._listener.is_over():
            # It would be readable for ever.
            self.close()

    def close(self) -> None:
        """What is watched fails with ENOSYS from now on; nothing is allowed by it."""
        if self._listener is not None:
            self._loop.remove_reader(self._listener.fd)
            self._listener.close()
            self._listener = None

    @abstractmethod
    def _note(self, notification: Notification, evidence: Evidence) -> None:
        """Who made the call is kept from something."""

    def _tracee(self, thread: int) -> Tracee:
        return Tracee(thread)

    def _answer(self, listener: Listener, notification: Notification) -> None:
        name = self._names[notification.number]
        try:
            with self._tracee(notification.thread) as tracee:
                if listener.is_valid(notification):
                    self._handlers[name](tracee, notification, name)
        except OSError as error:
            listener.fail(notification, error.errno or errno.EIO)
        except BaseException:
            listener.fail(notification, errno.EIO)
            raise

    def _look(self, tracee: Tracee, notification: Notification, name: str) -> None:
        assert self._listener is not None
        try:
            path = self._judge.denied(tracee, name, notification.arguments)
            if path is not None:
                self._note(notification, Evidence(name, path))
            elif name in MOVES and (path := self._judge.crossed(tracee, name, notification.arguments)):
                self._note(notification, Evidence(name, path, crosses=True))
        except OSError:
            # It will fail by itself, or cannot be told: no evidence.
            pass
        finally:
            self._listener.let_go(notification)

    def _refuse(self, tracee: Tracee, notification: Notification, name: str) -> None:
        self._note(notification, Evidence(name))
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    def _make_socket(self, tracee: Tracee, notification: Notification, name: str) -> None:
        family = notification.arguments[0] & 0xFFFF_FFFF
        with suppress(ValueError):
            family = socket.AddressFamily(family)
        self._note(notification, Evidence(name, getattr(family, "name", str(family))))
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
