"""System calls that wait for an answer: the listener of seccomp's user notifications, seccomp_unotify(2)."""

from __future__ import annotations

import errno
import fcntl
import os
import select
import struct
from typing import Final, NamedTuple

_RECEIVE: Final = 0xC050_2100
_SEND: Final = 0xC018_2101
_IS_VALID: Final = 0x4008_2102
_ADD_DESCRIPTOR: Final = 0x4018_2103
_AT_NUMBER: Final = 1
_SET_FLAGS: Final = 0x4008_2104
_SAME_CPU: Final = 1
_CONTINUE: Final = 1
_NOTIFICATION: Final = struct.Struct("=QIIiIQ6Q")
_GIVEN: Final = struct.Struct("=QIIII")
_RESPONSE: Final = struct.Struct("=QqiI")


class Notification(NamedTuple):
    """A system call that waits.

    :ivar id: what an answer refers to.
    :ivar thread: number of the thread that made it.
    :ivar number: of the call.
    :ivar arguments: as they were in the registers; what they point to can change at any time.
    """

    id: int
    thread: int
    number: int
    arguments: tuple[int, ...]


class Listener:
    """Receives notifications and answers them; all calls come from one thread.

    :param fd: as :func:`executors.sandbox.seccomp_linux.install` returns it; belongs to this object.
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._poll = select.poll()
        self._poll.register(fd, select.POLLIN)
        # Waiter and answerer never run at once: that is quickest on one processor.
        self._try(_SET_FLAGS, _SAME_CPU)

    def pending(self) -> bool:
        """Whether a call waits; :meth:`receive` would block without."""
        return any(events & select.POLLIN for _, events in self._poll.poll(0))

    def is_over(self) -> bool:
        """Whether nobody is left whom the filter is for."""
        return any(events & select.POLLHUP for _, events in self._poll.poll(0))

    def receive(self) -> Notification | None:
        """Returns the next one; None if who made it has been killed meanwhile."""
        buffer = bytearray(_NOTIFICATION.size)
        try:
            fcntl.ioctl(self.fd, _RECEIVE, buffer)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.EINTR):
                return None
            raise
        identifier, thread, _, number, _, _, *arguments = _NOTIFICATION.unpack(buffer)
        return Notification(identifier, thread, number, tuple(arguments))

    def is_valid(self, notification: Notification) -> bool:
        """Whether its maker waits still, so that its thread's number means no other."""
        try:
            fcntl.ioctl(self.fd, _IS_VALID, struct.pack("=Q", notification.id))
        except OSError:
            return False
        return True

    def let_go(self, notification: Notification) -> None:
        """Lets the kernel do the call, as if there were no filter."""
        self._answer(notification, 0, _CONTINUE)

    def succeed(self, notification: Notification) -> None:
        """Answers 0 in place of the call."""
        self._answer(notification, 0, 0)

    def fail(self, notification: Notification, code: int) -> None:
        """Answers the errno *code* in place of the call."""
        self._answer(notification, -code, 0)

    def give(self, notification: Notification, fd: int, number: int, flags: int) -> None:
        """Lets the caller's process have what *fd* is open for as its descriptor *number*.

        :param flags: O_CLOEXEC counts.
        :raises OSError: the kernel refuses, or the caller has been killed.
        """
        given = _GIVEN.pack(notification.id, _AT_NUMBER, fd, number, flags & os.O_CLOEXEC)
        fcntl.ioctl(self.fd, _ADD_DESCRIPTOR, given)

    def close(self) -> None:
        """Calls that wait, and those that come, fail with ENOSYS from now on."""
        os.close(self.fd)

    def _answer(self, notification: Notification, code: int, flags: int) -> None:
        try:
            fcntl.ioctl(self.fd, _SEND, _RESPONSE.pack(notification.id, 0, code, flags))
        except OSError as error:
            # Its maker has been killed.
            if error.errno != errno.ENOENT:
                raise

    def _try(self, request: int, value: int) -> None:
        try:
            fcntl.ioctl(self.fd, request, value)
        except OSError:
            # Linux before 6.6: it is slower.
            return
