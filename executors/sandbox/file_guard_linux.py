"""Keeps the file layer of one process to a policy, besides what the sandbox around it does.

The sandbox of a file helper lets more be read than the caller's policy allows: the interpreter, its
libraries and this package. So what the file layer opens or looks at is judged here once it is pinned by a
descriptor, by where that really is; a name could be made to mean something else in between. What may be
written the sandbox alone decides, but for patterns: a file that came to match one later is kept from, too.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from functools import wraps
from pathlib import PurePosixPath
from typing import Any, Final

from executors.filesystem import system
from executors.filesystem.operations import Operation, refusal, tried
from executors.protocol.errors import RpcError, invalid_request
from executors.protocol.files import DENIED_BY_SANDBOX
from executors.sandbox.policy import Access, Policy

_PINNED: Final = os.O_PATH | os.O_CLOEXEC
_GONE: Final = " (deleted)"
_DENIALS: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.EBUSY, errno.EXDEV})
"""What a sandbox gives where it keeps from something; a mount cannot be removed (EBUSY)."""

_open = os.open
_mkdir = os.mkdir
_rmdir = os.rmdir
_unlink = os.unlink
_plain_canonicalize = system.canonicalize


class Denied(PermissionError):
    """The policy does not allow it."""


class Guard:
    """Judges by the caller's own *policy*."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    def install(self) -> None:
        """From now on the file layer of this process does what is judged here. There is no way back."""
        os.open = self._guarded_open
        os.stat = self._guarded_stat
        os.mkdir = self._unless_pattern(_mkdir)
        os.rmdir = self._unless_pattern(_rmdir)
        os.unlink = self._unless_pattern(_unlink)
        system.canonicalize = self._canonicalize
        system.copy_link = self._copy_link

    def perform(self, operation: Operation, paths: tuple[str, ...], *args: Any, **options: Any) -> Any:
        """Calls the operation.

        :raises RpcError: INVALID_REQUEST with :data:`DENIED_BY_SANDBOX` in it where the policy keeps it from
            happening; else as :func:`executors.filesystem.operations.translated`.
        """
        try:
            for path in paths:
                # Also where the sandbox shows nothing: what is not there is told from what may not be seen.
                if self._access(_real(path, follow=operation.follows)) == Access.NONE:
                    raise Denied(errno.EACCES, os.strerror(errno.EACCES), path)
            return operation.call(*paths, *args, **options)
        except OSError as error:
            if self._is_denial(operation, paths, error):
                raise denial(operation, paths, error) from None
            raise refusal(operation.what, paths, error) from None

    def _is_denial(self, operation: Operation, paths: tuple[str, ...], error: OSError) -> bool:
        if isinstance(error, Denied):
            return True
        if error.errno not in _DENIALS:
            return False
        needed = [Access.WRITE if writes else Access.READ for writes in operation.writes]
        asked = list(zip(paths, needed, strict=True))
        name = error.filename
        if isinstance(name, str) and os.path.isabs(name) and name not in paths:
            # Of a copy it may be either side that failed, and this is the source.
            asked.append((name, needed[0]))
        return any(self._access(_real(path, follow=operation.follows)) < access for path, access in asked)

    def _access(self, real: str) -> Access:
        path = PurePosixPath(real)
        return Access.NONE if self._policy.matches_pattern(path) else self._policy.access(path)

    def _check(self, fd: int, said: object) -> None:
        """:raises Denied: what *fd* is open on may not be read."""
        real = os.readlink(f"/proc/self/fd/{fd}")
        for path in {real, real.removesuffix(_GONE)}:
            if self._access(path) == Access.NONE:
                raise Denied(errno.EACCES, os.strerror(errno.EACCES), said)

    def _check_entry(self, name: Any, directory: int | None) -> None:
        """:raises Denied: what is, or comes to be, of that name in its directory matches a pattern."""
        if not self._policy.denied_patterns:
            return
        parent, last = os.path.split(os.fsdecode(name))
        fd = _open(parent or ".", _PINNED | os.O_DIRECTORY, dir_fd=directory)
        try:
            real = os.readlink(f"/proc/self/fd/{fd}")
        finally:
            os.close(fd)
        if self._policy.matches_pattern(PurePosixPath(real, last)):
            raise Denied(errno.EACCES, os.strerror(errno.EACCES), name)

    def _guarded_open(self, path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if flags & os.O_CREAT:
            self._check_entry(path, dir_fd)
        fd = _open(path, flags, mode, dir_fd=dir_fd)
        # By such a descriptor one only passes through.
        if not flags & os.O_PATH:
            try:
                self._check(fd, path)
            except BaseException:
                os.close(fd)
                raise
        return fd

    def _guarded_stat(
        self, path: Any, *, dir_fd: int | None = None, follow_symlinks: bool = True
    ) -> os.stat_result:
        if isinstance(path, int):
            return os.fstat(path)
        fd = _open(path, _PINNED | (0 if follow_symlinks else os.O_NOFOLLOW), dir_fd=dir_fd)
        try:
            self._check(fd, path)
            return os.fstat(fd)
        finally:
            os.close(fd)

    def _unless_pattern(self, call: Callable[..., None]) -> Callable[..., None]:
        @wraps(call)
        def guarded(path: Any, *args: Any, dir_fd: int | None = None) -> None:
            self._check_entry(path, dir_fd)
            call(path, *args, dir_fd=dir_fd)

        return guarded

    def _canonicalize(self, path: str) -> str:
        try:
            with system.location(path) as (name, directory):
                fd = _open(name, _PINNED, dir_fd=directory)
        except OSError:
            # This one names what is missing.
            _plain_canonicalize(path)
            raise
        try:
            self._check(fd, path)
            return os.readlink(f"/proc/self/fd/{fd}")
        finally:
            os.close(fd)

    def _copy_link(self, source: str, source_dir: int | None, target: str, target_dir: int | None) -> None:
        self._check_entry(target, target_dir)
        fd = _open(source, _PINNED | os.O_NOFOLLOW, dir_fd=source_dir)
        try:
            self._check(fd, source)
            os.symlink(os.readlink("", dir_fd=fd), target, dir_fd=target_dir)
        finally:
            os.close(fd)


def denial(operation: Operation, paths: tuple[str, ...], error: OSError) -> RpcError:
    """Returns what a caller is told that the sandbox has kept from something."""
    name = error.filename
    where = ""
    if isinstance(name, str) and os.path.isabs(name) and name not in paths:
        where = f" at `{system.display(name)}`"
    return invalid_request(f"cannot {tried(operation.what, paths)}: {DENIED_BY_SANDBOX}{where}")


def _real(path: str, *, follow: bool) -> str:
    """Where *path* leads as far as can be seen; what is missing stays as it is spelt."""
    if follow:
        return os.path.realpath(path)
    parent, name = os.path.split(path)
    return os.path.join(os.path.realpath(parent), name)
