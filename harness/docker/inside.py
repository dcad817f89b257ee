"""What runs inside of a container, before the executor or beside it: handed over as text to ``python -c``.

Standard library only, Python 3.11 or newer. Its arguments are the name of a function below and what it
takes.
"""

from __future__ import annotations

import fcntl
import gc
import io
import json
import os
import shutil
import socket
import sys
import tarfile
import tempfile
import threading
from contextlib import suppress

_PREFIX = "crossexec-"
_LOCK = "lock"


def probe() -> int:
    """Prints what the executor's packages must fit, as JSON."""
    import platform
    import sysconfig

    # So that whoever asks is ready to read.
    os.read(0, 1)
    libc = ""
    with suppress(ValueError, OSError, AttributeError):
        libc = os.confstr("CS_GNU_LIBC_VERSION") or ""
    musl = "musl" in (sysconfig.get_config_var("SOABI") or "")
    found = {
        "executable": sys.executable,
        "implementation": sys.implementation.name,
        "version": list(sys.version_info[:2]),
        "machine": platform.machine(),
        "libc": "musl" if musl or not libc else libc,
        "free_threaded": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
    }
    print(json.dumps(found), flush=True)
    return 0


def compile_all(folder: str) -> int:
    """Compiles what is in *folder* for good, and shows that the executor can be loaded."""
    import compileall
    import py_compile

    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    if not compileall.compile_dir(folder, quiet=2, invalidation_mode=mode):
        print(f"some of {folder} cannot be compiled", file=sys.stderr)
    return 0


def unpack_and_serve(*way: str) -> int:
    """Runs the executor that comes over standard input: 8 bytes of size, a tar file, then what the executor
    reads, if *way* says so, and nothing until the end.

    It and the temporary files of what it runs are in one folder, which goes at the end; folders of
    executors that were killed go at the start. *way* are the options that say how it is reached; without, it
    listens on a socket.
    """
    parent = tempfile.gettempdir()
    _remove_dead(parent)
    archive = _read(int.from_bytes(_read(8), "big"))
    folder = tempfile.mkdtemp(prefix=_PREFIX, dir=parent)
    try:
        # Held as long as this process lives.
        lock = os.open(os.path.join(folder, _LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            tar.extractall(folder)
        os.environ["TMPDIR"] = tempfile.tempdir = os.path.join(folder, "tmp")
        os.mkdir(tempfile.tempdir, 0o700)
        gc.disable()
        sys.path[:0] = [os.path.join(folder, "executor"), os.path.join(folder, "packages")]
        from executors.command import main

        listen = ("--listen", "unix://" + os.path.join(folder, "socket"))
        return main([*(way or listen), "--exit-with-parent"])
    finally:
        shutil.rmtree(folder)


def relay(path: str) -> int:
    """Joins standard input and output to the socket at *path*, until the socket ends."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)

        def send() -> None:
            with suppress(OSError):
                while data := os.read(0, 65536):
                    connection.sendall(data)
            with suppress(OSError):
                connection.shutdown(socket.SHUT_WR)

        threading.Thread(target=send, daemon=True).start()
        with suppress(OSError):
            while data := connection.recv(65536):
                while data:
                    data = data[os.write(1, data) :]
    return 0


def _read(size: int) -> bytes:
    parts = []
    while size:
        data = os.read(0, min(size, 1 << 20))
        if not data:
            raise EOFError("the input has ended too soon")
        parts.append(data)
        size -= len(data)
    return b"".join(parts)


def _remove_dead(parent: str) -> None:
    for entry in os.scandir(parent):
        if not entry.name.startswith(_PREFIX) or not entry.is_dir(follow_symlinks=False):
            continue
        # No lock file: no executor's, or about to be made.
        with suppress(OSError):
            if entry.stat(follow_symlinks=False).st_uid != os.getuid():
                continue
            lock = os.open(os.path.join(entry.path, _LOCK), os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(entry.path, ignore_errors=True)
            finally:
                os.close(lock)


if __name__ == "__main__":
    sys.exit(globals()[sys.argv[1]](*sys.argv[2:]))
