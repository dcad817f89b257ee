"""What a canary has at hand, which depends on the operating system."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Listener:
    """Something that hears of it when a program reaches it.

    :ivar fact: what the program is told to reach it by.
    """

    socket: socket.socket
    fact: int | str

    def has_heard(self) -> bool:
        """Whether anybody has reached it since the last time."""
        try:
            if self.socket.type == socket.SOCK_DGRAM:
                self.socket.recv(64)
            else:
                self.socket.accept()[0].close()
        except BlockingIOError:
            return False
        return True


@dataclass(frozen=True)
class Kit:
    """:ivar modules: what the program imports besides, from beside it.
    :ivar program: a command that ends with 0 and reads what is minimal at most.
    :ivar listen: makes the listeners of this system, in a folder; what each is called among the facts.
    :ivar files: the attempts that are about files outside, besides those of all systems.
    :ivar hidden: those that are about a file that may not be read.
    :ivar network: those that are about the network; by the name of the listener that would hear of it.
    :ivar processes: those that are about other processes and the system.
    :ivar facts: what the program is told besides.
    """

    modules: tuple[str, ...]
    program: tuple[str, ...]
    listen: Callable[[Path], dict[str, Listener]]
    files: tuple[str, ...]
    hidden: tuple[str, ...]
    network: Mapping[str, str]
    processes: tuple[str, ...]
    facts: Callable[[], dict[str, int]] = dict


def listen(family: int, kind: int, address: object, fact: str | None = None) -> Listener:
    """Returns a listener at *address*; its fact is the port that it got, if it is not given."""
    listener = socket.socket(family, kind)
    try:
        listener.bind(address)  # type: ignore[arg-type]
        if kind == socket.SOCK_STREAM:
            listener.listen()
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return Listener(listener, listener.getsockname()[1] if fact is None else fact)
