"""What lies outside of a sandbox while a canary is in it, and whether anything of it was touched."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import tempfile
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from executors.sandbox.canary_kit import Kit, Listener, listen

_STATE: Final = ("st_mode", "st_uid", "st_gid", "st_nlink", "st_size", "st_mtime_ns", "st_ctime_ns")

State = dict[str, tuple[object, ...]]


class Traps:
    """A folder with what a canary is to leave alone, and listeners that it is not to reach.

    To be used as a context manager; at the end nothing of it is left.

    :raises OSError: they cannot be made.
    """

    def __init__(self, kit: Kit, files: Iterable[str]) -> None:
        self.token = secrets.token_hex(16)
        self._stack = ExitStack()
        try:
            self.folder = Path(os.path.realpath(tempfile.mkdtemp(prefix="crossexec-canary-")))
            self._stack.callback(_remove, self.folder)
            self._make(files)
            tcp = listen(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0))
            self.listeners = {"tcp": tcp}
            self._stack.callback(tcp.socket.close)
            self._hold({"udp": listen(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0))})
            self._hold(kit.listen(self.outside))
        except BaseException:
            self._stack.close()
            raise
        self._before = {name: self._state(name) for name in files}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def outside(self) -> Path:
        """May be read."""
        return self.folder / "outside"

    @property
    def hidden(self) -> Path:
        """A directory that may not even be read, with one file, ``file``, that holds the token."""
        return self.folder / "hidden"

    @property
    def matching(self) -> Path:
        """A file that a pattern denies; it holds the token."""
        return self.outside / "file.denied"

    def inside(self, number: int) -> Path:
        """Returns the directory that may be written, of one canary of several."""
        path = self.folder / f"inside-{number}"
        path.mkdir()
        (path / "kept").mkdir()
        (path / "kept" / "file").write_text("kept")
        return path

    def facts(self) -> dict[str, Any]:
        """Returns what the program is told of it."""
        return {
            "outside": str(self.outside),
            "hidden": str(self.hidden / "file"),
            "matching": str(self.matching),
            "readable": str(self.outside / "readable"),
            "token": self.token,
            **{name: listener.fact for name, listener in self.listeners.items()},
        }

    def has_changed(self, name: str) -> bool:
        """Whether anything has changed of what the attempt *name* is about; False if that is no files."""
        return name in self._before and self._state(name) != self._before[name]

    def _make(self, files: Iterable[str]) -> None:
        self.outside.mkdir()
        self.hidden.mkdir()
        for path in (self.hidden / "file", self.matching, self.outside / "readable"):
            path.write_text(self.token)
        for name in files:
            (self.outside / name).mkdir()
            (self.outside / name / "file").write_text("as it was")

    def _hold(self, listeners: dict[str, Listener]) -> None:
        for name, listener in listeners.items():
            self.listeners[name] = listener
            self._stack.callback(listener.socket.close)

    def _state(self, name: str) -> State:
        folder = self.outside / name
        found: State = {}
        for path in (folder, *sorted(folder.iterdir())):
            status = path.lstat()
            content = path.read_bytes() if path.name == "file" and path.is_file() else None
            found[path.name] = (*(getattr(status, field) for field in _STATE), content)
        return found


def _remove(folder: Path) -> None:
    """Removes *folder*, also where a sandbox that does not hold has made something of it unwritable."""

    def again(function: Any, path: str, _: object) -> None:
        with suppress(OSError):
            os.chmod(os.path.dirname(path), 0o700)
            os.chmod(path, 0o700)
            function(path)

    shutil.rmtree(folder, onerror=again)
