"""Programs that try to outlive whoever started them; run as ``python daemon.py KIND``.

Each prints the ids of the processes that stay, one a line, and those hold nothing that leads
back: no descriptor, no environment, no session and no parent.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import suppress


def fork(body: str) -> int:
    """Forks a child that runs a function of this module and never comes back."""
    pid = os.fork()
    if pid == 0:
        try:
            globals()[body]()
        finally:
            os._exit(0)
    return pid


def ignore_all() -> None:
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)


def stay() -> None:
    while True:
        signal.pause()


TOLD = os.pipe()


def tell(pid: int) -> None:
    os.write(1, b"%d\n" % pid)
    os.write(TOLD[1], b".")
    os.close(TOLD[0])
    os.close(TOLD[1])


def daemon() -> None:
    os.setsid()
    if os.fork():
        os._exit(0)
    tell(os.getpid())
    os.closerange(0, 1024)
    os.chdir("/")
    # A program of its own, with an empty environment and ignored signals.
    ignore_all()
    os.execve(sys.executable, ["innocent", "-S", "-c", "import signal\nwhile True: signal.pause()"], {})


def grandchild() -> None:
    os.setsid()
    ignore_all()
    tell(os.getpid())
    stay()


def stubborn() -> None:
    ignore_all()
    tell(os.getpid())
    stay()


def forker() -> None:
    """Forks children that live for a moment, as fast as it can, for at most 20 seconds."""
    ignore_all()
    tell(os.getpid())
    end = time.monotonic() + 20
    while time.monotonic() < end:
        with suppress(BlockingIOError, ChildProcessError):
            if os.fork() == 0:
                os.setsid()
                time.sleep(0.05)
                os._exit(0)
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def hopper() -> None:
    """Lives on in a child of a child of a child …, for at most 20 seconds."""
    tell(os.getpid())
    end = time.monotonic() + 20
    while time.monotonic() < end:
        if os.fork():
            os._exit(0)


def main(kind: str, count: int) -> None:
    for _ in range(count):
        pid = fork(kind)
        if kind == "daemon":
            os.waitpid(pid, 0)
    told = b""
    while len(told) < count:
        # With the leader a terminal goes away, and who has not told by then never will.
        told += os.read(TOLD[0], count)
    if sys.argv[3:] == ["exit"]:
        os._exit(0)
    stay()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
