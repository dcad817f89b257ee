"""Runs a program as long as somebody holds the standard input, and lets others reach it.

Run as ``python guard.py PROGRAM HOME [SOCKET]``; standard library only, Python 3.11 or newer, Linux. The
program is one that prints where it listens, ws://IP:PORT, and does not end with its input. That line goes to
the standard output; with a path of a SOCKET, the guard listens there and tells that instead, for a container
without a network is reached by a file alone.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress

_PR_SET_PDEATHSIG = 1
_BYTES = 1 << 16
_END_SECONDS = 5.0
_libc = ctypes.CDLL(None)


def _end_with_parent() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def main(program: str, home: str, path: str = "") -> int:
    child = subprocess.Popen(
        [program, "exec-server", "--listen", "ws://127.0.0.1:0"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        env=os.environ | {"CODEX_HOME": home},
        start_new_session=True,
        preexec_fn=_end_with_parent,
    )
    assert child.stdout is not None
    # A container's end, and whoever ends this one without the end of its input.
    signal.signal(signal.SIGTERM, lambda number, frame: child.kill())
    url = child.stdout.readline().decode(errors="replace").strip()
    if path and url.startswith("ws://"):
        host, _, port = url.removeprefix("ws://").rpartition(":")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen(1024)
        threading.Thread(target=_accept, args=(listener, (host, int(port))), daemon=True).start()
        url = f"unix://{path}"
    print(url, flush=True)
    threading.Thread(target=_until_end_of_input, args=(child,), daemon=True).start()
    status = child.wait()
    return status if status >= 0 else 128 - status


def _until_end_of_input(child: subprocess.Popen[bytes]) -> None:
    with suppress(OSError):
        while os.read(0, _BYTES):
            pass
    child.terminate()
    try:
        child.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()


def _accept(listener: socket.socket, target: tuple[str, int]) -> None:
    while True:
        outer, _ = listener.accept()
        try:
            inner = socket.create_connection(target)
        except OSError:
            outer.close()
            continue
        # What this side passes on must not wait; how the program sends is its own matter.
        inner.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for source, sink in ((outer, inner), (inner, outer)):
            threading.Thread(target=_pass_on, args=(source, sink), daemon=True).start()


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(_BYTES):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        for each in (source, sink):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
