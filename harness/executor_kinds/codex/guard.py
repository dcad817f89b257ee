"""Runs a program as long as somebody holds the standard input, and lets others reach it.

Run as ``python guard.py HOME WAY COMMAND…``; standard library only, Python 3.11 or newer, Linux. HOME is the
folder of the program's settings. WAY is how it is reached:

``listens``
    The program prints where it listens, ws://IP:PORT, and does not end with its input. That line goes to the
    standard output.
a path
    The same; the guard listens at this socket and tells that instead, for a container without a network is
    reached by a file alone.
``remote:ID``
    The program dials out and is given the first line of the standard input, its credential. Once it is
    connected, which nothing but its log says, WAY goes to the standard output.
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
from typing import IO

LISTENS = "listens"
_REMOTE = "remote:"
_CONNECTED = b"Noise executor connected to rendezvous"
# That line, and whatever is amiss.
LOGGED = "warn,codex_exec_server::remote=info"
_PR_SET_PDEATHSIG = 1
_BYTES = 1 << 16
_END_SECONDS = 5.0
_libc = ctypes.CDLL(None)


def _end_with_parent() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def main(home: str, way: str, *command: str) -> int:
    dials_out = way.startswith(_REMOTE)
    child = subprocess.Popen(
        command,
        stdin=subprocess.PIPE if dials_out else subprocess.DEVNULL,
        stdout=subprocess.DEVNULL if dials_out else subprocess.PIPE,
        stderr=subprocess.PIPE if dials_out else None,
        env=os.environ | {"CODEX_HOME": home} | ({"RUST_LOG": LOGGED} if dials_out else {}),
        start_new_session=True,
        preexec_fn=_end_with_parent,
    )
    # A container's end, and whoever ends this one without the end of its input.
    signal.signal(signal.SIGTERM, lambda number, frame: child.kill())
    errors = None
    if dials_out:
        assert child.stdin is not None
        assert child.stderr is not None
        with suppress(BrokenPipeError), child.stdin:
            child.stdin.write(_first_line())
        errors = threading.Thread(target=_pass_on_log, args=(child.stderr, way), daemon=True)
        errors.start()
    else:
        assert child.stdout is not None
        url = child.stdout.readline().decode(errors="replace").strip()
        if way != LISTENS and url.startswith("ws://"):
            _listen(way, url)
            url = f"unix://{way}"
        print(url, flush=True)
    threading.Thread(target=_until_end_of_input, args=(child,), daemon=True).start()
    status = child.wait()
    if errors is not None:
        # What it has started may hold the other end for longer.
        errors.join(_END_SECONDS)
    return status if status >= 0 else 128 - status


def _first_line() -> bytes:
    with open(0, "rb", buffering=0, closefd=False) as stdin:
        return stdin.readline()


def _pass_on_log(stream: IO[bytes], url: str) -> None:
    is_told = False
    for line in stream:
        sys.stderr.buffer.write(line)
        sys.stderr.flush()
        if _CONNECTED in line and not is_told:
            is_told = True
            print(url, flush=True)


def _until_end_of_input(child: subprocess.Popen[bytes]) -> None:
    with suppress(OSError):
        while os.read(0, _BYTES):
            pass
    child.terminate()
    try:
        child.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()


def _listen(path: str, url: str) -> None:
    host, _, port = url.removeprefix("ws://").rpartition(":")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(1024)
    threading.Thread(target=_accept, args=(listener, (host, int(port))), daemon=True).start()


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
