"""What a system call would do that a sandbox keeps a program from: evidence, the kernel decides by itself.

That a name can come to mean something else in between spoils evidence and nothing more.
"""

from __future__ import annotations

import errno
import os
import stat
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeVar

from executors.sandbox.metadata_linux import pin
from executors.sandbox.policy import Access, Policy
from executors.sandbox.seccomp_linux import METADATA
from executors.sandbox.tracee_linux import AT_FDCWD, Tracee, real_path, signed

T = TypeVar("T")

AccessTo = Callable[[str], Access]
"""What the policy says of a real path."""
MOVES: Final = frozenset({"rename", "renameat", "renameat2", "link", "linkat"})

_NEVER_DENIED: Final = frozenset({b"/dev/null", b"/dev/tty"})


def access_of(policy: Policy) -> AccessTo:
    """Returns :meth:`Policy.access` for paths as text, quicker."""
    rules = {str(rule.path): rule.access for rule in policy.rules}

    def access(path: str) -> Access:
        return innermost(rules, path, Access.NONE)

    return access


def innermost(values: Mapping[str, T], path: str, default: T) -> T:
    """Returns what *values* have for *path*, or for the directory nearest around it."""
    while True:
        found = values.get(path)
        if found is not None:
            return found
        if path == "/" or not path:
            return default
        path = path[: path.rfind("/")] or "/"


class Judge:
    """Tells what will be denied.

    :param access: for changing and reading files, devices that everybody may use included.
    :param reads: whether reading is judged as well.
    :param mount_of: tells which mount of the sandbox a real path is on; None for one that has none.
    """

    def __init__(
        self, access: AccessTo, *, reads: bool, mount_of: Callable[[str], str] | None = None
    ) -> None:
        self._access = access
        self._reads = reads
        self._mount_of = mount_of

    def denied(self, tracee: Tracee, name: str, arguments: Sequence[int]) -> str | None:
        """Returns the path that the call will be denied for; None if it is allowed, or fails anyway.

        :raises OSError: the arguments mean nothing.
        """
        first, second, third, fourth, *_ = arguments
        cwd = AT_FDCWD
        match name:
            case "open":
                return self._opened(tracee, cwd, first, second)
            case "openat":
                return self._opened(tracee, signed(first), second, third)
            case "openat2":
                (flags,) = struct.unpack("=Q", tracee.read_exactly(third, 8))
                return self._opened(tracee, signed(first), second, flags)
            case "creat":
                return self._opened(tracee, cwd, first, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            case "truncate":
                return self._opened(tracee, cwd, first, os.O_WRONLY)
            case "mkdir":
                return self._made(tracee, cwd, first)
            case "mkdirat":
                return self._made(tracee, signed(first), second)
            case "mknod":
                return self._made(tracee, cwd, first, device=_is_device(second))
            case "mknodat":
                return self._made(tracee, signed(first), second, device=_is_device(third))
            case "symlink":
                return self._made(tracee, cwd, second)
            case "symlinkat":
                return self._made(tracee, signed(second), third)
            case "rmdir" | "unlink":
                return self._removed(tracee, cwd, first)
            case "unlinkat":
                return self._removed(tracee, signed(first), second)
            case "link":
                return self._moved(tracee, (cwd, first), (cwd, second), exclusive=True)
            case "linkat":
                return self._moved(tracee, (signed(first), second), (signed(third), fourth), exclusive=True)
            case "rename":
                return self._moved(tracee, (cwd, first), (cwd, second), exclusive=False)
            case "renameat" | "renameat2":
                return self._moved(tracee, (signed(first), second), (signed(third), fourth), exclusive=False)
        return self._changed(tracee, name, arguments) if name in METADATA else None

    def crossed(self, tracee: Tracee, name: str, arguments: Sequence[int]) -> str | None:
        """Returns the path that a call of :data:`MOVES` cannot bring a file to because of a mount that only
        the sandbox has; None if it can, or fails anyway.

        :raises OSError: the arguments mean nothing.
        """
        if self._mount_of is None:
            return None
        first, second, third, fourth, *_ = arguments
        is_plain = name in ("rename", "link")
        old, old_name = _parent(
            tracee,
            AT_FDCWD if is_plain else signed(first),
            tracee.read_text(first if is_plain else second),
        )
        try:
            new, new_name = _parent(
                tracee,
                AT_FDCWD if is_plain else signed(third),
                tracee.read_text(second if is_plain else fourth),
            )
            try:
                places = real_path(old), real_path(new)
                same = os.fstat(old).st_dev == os.fstat(new).st_dev
                if not same or self._mount_of(places[0]) == self._mount_of(places[1]):
                    return None
                return os.path.join(places[1], os.fsdecode(new_name)) if _is_in(old, old_name) else None
            finally:
                os.close(new)
        finally:
            os.close(old)

    def _changed(self, tracee: Tracee, name: str, arguments: Sequence[int]) -> str | None:
        fd = pin(tracee, name, arguments)
        try:
            path = real_path(fd)
            if not path.startswith("/") or self._access(path) == Access.WRITE:
                return None
            return path if os.geteuid() in (0, os.fstat(fd).st_uid) else None
        finally:
            os.close(fd)

    def _opened(self, tracee: Tracee, directory: int, address: int, flags: int) -> str | None:
        changes = flags & (os.O_ACCMODE | os.O_CREAT | os.O_TRUNC)
        if flags & os.O_PATH or not (changes or self._reads):
            return None
        path = tracee.read_text(address)
        if path in _NEVER_DENIED:
            return None
        exclusive = bool(flags & os.O_CREAT and flags & os.O_EXCL)
        try:
            fd = tracee.object(directory, path, follow=not (flags & os.O_NOFOLLOW or exclusive))
        except FileNotFoundError:
            return self._made(tracee, directory, address) if flags & os.O_CREAT else None
        try:
            mode = os.fstat(fd).st_mode
            temporary = flags & os.O_TMPFILE == os.O_TMPFILE
            if exclusive or stat.S_ISLNK(mode) or (changes and stat.S_ISDIR(mode) and not temporary):
                return None
            return self._unless(fd, Access.WRITE if changes else Access.READ)
        finally:
            os.close(fd)

    def _unless(self, fd: int, needed: Access) -> str | None:
        """Returns the path of *fd* if the policy gives it less than *needed*, and the system as much."""
        path = real_path(fd)
        if not path.startswith("/") or self._access(path) >= needed:
            return None
        wanted = os.W_OK if needed == Access.WRITE else os.R_OK
        return path if os.access(f"/proc/self/fd/{fd}", wanted) else None

    def _made(self, tracee: Tracee, directory: int, address: int, *, device: bool = False) -> str | None:
        parent, name = _parent(tracee, directory, tracee.read_text(address))
        try:
            if _is_in(parent, name):
                return None
            if device and os.geteuid() == 0:
                # Nobody may make these, wherever it is.
                return os.path.join(real_path(parent), os.fsdecode(name))
            return self._child(parent, name)
        finally:
            os.close(parent)

    def _removed(self, tracee: Tracee, directory: int, address: int) -> str | None:
        parent, name = _parent(tracee, directory, tracee.read_text(address))
        try:
            return self._child(parent, name) if _is_in(parent, name) else None
        finally:
            os.close(parent)

    def _child(self, parent: int, name: bytes) -> str | None:
        found = self._unless(parent, Access.WRITE)
        return None if found is None else os.path.join(found, os.fsdecode(name))

    def _moved(
        self, tracee: Tracee, source: tuple[int, int], target: tuple[int, int], *, exclusive: bool
    ) -> str | None:
        old, old_name = _parent(tracee, source[0], tracee.read_text(source[1]))
        try:
            new, new_name = _parent(tracee, target[0], tracee.read_text(target[1]))
            try:
                if not _is_in(old, old_name) or (exclusive and _is_in(new, new_name)):
                    return None
                return self._child(new, new_name) or self._child(old, old_name)
            finally:
                os.close(new)
        finally:
            os.close(old)


def _parent(tracee: Tracee, directory: int, path: bytes) -> tuple[int, bytes]:
    """Returns a descriptor of the directory that *path* names something in, and the name."""
    head, slash, name = path.rstrip(b"/").rpartition(b"/")
    if name in (b"", b".", b".."):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
    outer = head or (b"/" if slash else b".")
    return tracee.object(directory, outer, follow=True), name


def _is_device(mode: int) -> bool:
    return stat.S_ISBLK(mode & 0xFFFF) or stat.S_ISCHR(mode & 0xFFFF)


def _is_in(directory: int, name: bytes) -> bool:
    try:
        os.stat(name, dir_fd=directory, follow_symlinks=False)
    except OSError:
        return False
    return True
