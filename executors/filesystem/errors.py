"""Failures that come from this package and not from the operating system."""

from __future__ import annotations

import stat


class RefusedError(OSError):
    """The system might do it; this executor does not. Its only argument is the whole message."""

    def __str__(self) -> str:
        return str(self.args[0])


_KINDS = {
    stat.S_IFREG: "a regular file",
    stat.S_IFDIR: "a directory",
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
}


def kind_of(mode: int) -> str:
    """What ``st_mode`` says a file is, for a message."""
    return _KINDS.get(stat.S_IFMT(mode), "a special file")


def not_a_file(path: str, mode: int) -> RefusedError:
    return RefusedError(f"path `{path}` is not a file: it is {kind_of(mode)}")


def os_text(error: OSError) -> str:
    """The operating system's words and number for what it refused."""
    if isinstance(error, RefusedError) or error.errno is None:
        return str(error)
    number = getattr(error, "winerror", None) or error.errno
    return f"{error.strerror} (os error {number})"
