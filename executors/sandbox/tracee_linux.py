"""A process that waits for an answer: what it means by its arguments, and acting in its place."""

from __future__ import annotations

import ctypes
import errno
import os
import re
import stat
import struct
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import Final, NamedTuple, Self

from executors.sandbox.seccomp_linux import require_architecture
from executors.sandbox.system_calls_linux import system_call

AT_FDCWD: Final = -100
PATH_BYTES: Final = 4096
_OPENAT2: Final = 437
_NO_MAGIC_LINKS: Final = 2
NO_SYMLINKS: Final = 4
_PIDFD_GETFD: Final = 438
_FILE_CAPABILITIES: Final = 0x1_0000_001F | 1 << 9 | 1 << 27
"""What setfsuid(2) takes and gives, of Linux's capabilities."""
_METADATA_CAPABILITIES: Final = 0b11011
"""CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER and CAP_FSETID."""
_CAPABILITY_VERSION: Final = 0x2008_0522
# What a process means by these is not what the supervisor would.
_OWN_DESCRIPTOR: Final = re.compile(
    rb"/+(?:proc/+(?:self|thread-self|(\d+))(?:/+task/+\d+)?/+fd/+(\d+)|dev/+fd/+(\d+)|dev/+(stdin|stdout|stderr))"
    rb"(?:/+(.*))?",
    re.DOTALL,
)
_STANDARD: Final = {b"stdin": 0, b"stdout": 1, b"stderr": 2}


def signed(value: int) -> int:
    """The ``int`` that an argument of a system call is."""
    value &= 0xFFFF_FFFF
    return value - (1 << 32) if value >= 1 << 31 else value


def open_object(path: bytes, base: int | None, *, follow: bool, resolve: int = _NO_MAGIC_LINKS) -> int:
    """Returns a descriptor (O_PATH) of what *path* names; what happens to the name later changes nothing.

    :param base: what a relative path is relative to; None for the working directory.
    :param follow: whether a symbolic link at the end is followed.
    :param resolve: RESOLVE_* flags of openat2(2).
    :raises OSError: nothing is there, or a link of the kind in /proc/PID/fd is on the way (ELOOP).
    """
    flags = os.O_PATH | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    how = struct.pack("=QQQ", flags, 0, resolve)
    return system_call(_OPENAT2, AT_FDCWD if base is None else base, path, how, len(how))


class Identity(NamedTuple):
    """Who a thread is towards the file system.

    :ivar capabilities: the effective ones that metadata depend on.
    """

    user: int
    group: int
    groups: tuple[int, ...]
    capabilities: int


Acting = Callable[[], AbstractContextManager[None]]


class Tracee:
    """The thread that waits, by its number.

    Descriptors that are made here belong to the caller. To be used as a context manager.

    :ivar acting: within it this thread has the rights of the tracee, for finding files by name and changing
        them; but not for looking at the tracee itself.
    :raises ProcessLookupError: it is gone.
    """

    def __init__(self, thread: int) -> None:
        self.thread = thread
        self.acting: Acting = nullcontext
        try:
            self._proc = os.open(f"/proc/{thread}", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH)) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        os.close(self._proc)

    def read(self, address: int, size: int) -> bytes:
        """Returns up to *size* bytes of its memory; fewer where a mapping ends.

        :raises OSError: EFAULT: nothing is mapped there; EACCES: it may not be looked at.
        """
        memory = os.open("mem", os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._proc)
        try:
            return os.pread(memory, size, address)
        except (OSError, OverflowError):
            raise OSError(errno.EFAULT, os.strerror(errno.EFAULT)) from None
        finally:
            os.close(memory)

    def read_exactly(self, address: int, size: int) -> bytes:
        data = self.read(address, size)
        if len(data) < size:
            raise OSError(errno.EFAULT, os.strerror(errno.EFAULT))
        return data

    def read_text(self, address: int, most: int = PATH_BYTES) -> bytes:
        """Returns the string that ends with NUL at *address*.

        :raises OSError: as :meth:`read`; ENAMETOOLONG: there is no NUL in *most* bytes.
        """
        # Memory is mapped by pages: most strings end within the first 256 bytes.
        data = self.read(address, min(most, 256))
        end = data.find(b"\0")
        if end < 0:
            data = self.read(address, most)
            end = data.find(b"\0")
        if end < 0:
            code = errno.EFAULT if len(data) < most else errno.ENAMETOOLONG
            raise OSError(code, os.strerror(code))
        return data[:end]

    def descriptor(self, number: int) -> int:
        """Returns a descriptor (O_PATH) of what its descriptor *number* is open for."""
        try:
            return os.open(f"fd/{number}", os.O_PATH | os.O_CLOEXEC, dir_fd=self._proc)
        except FileNotFoundError:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF)) from None

    def object(self, directory: int, path: bytes, *, follow: bool) -> int:
        """Returns a descriptor (O_PATH) of what it means by *path*.

        :param directory: its descriptor that a relative path is relative to, or AT_FDCWD.
        :raises OSError: as the system call would; EACCES for links of the kind in /proc/PID/fd of others.
        """
        if not path:
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
        own = _OWN_DESCRIPTOR.fullmatch(path)
        if own is not None:
            return self._own(own, follow)
        base = None if path.startswith(b"/") else self._base(directory)
        try:
            with self.acting():
                return open_object(path, base, follow=follow)
        except OSError as error:
            if error.errno == errno.ELOOP and b"/proc/" in path:
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES)) from None
            raise
        finally:
            if base is not None:
                os.close(base)

    def socket(self, number: int) -> int:
        """Returns a descriptor of the same open socket as its descriptor *number*.

        :raises OSError: EBADF; ESRCH or ENOENT: it is gone; EPERM where the system allows no such thing, as
            in some containers.
        """
        # O_EXCL is PIDFD_THREAD: the number is that of a thread.
        process = os.pidfd_open(self.thread, os.O_EXCL)
        try:
            # Its number has not come to be another's before that: it is there still.
            os.stat("stat", dir_fd=self._proc)
            return system_call(_PIDFD_GETFD, process, number, 0)
        finally:
            os.close(process)

    def socket_flags(self, number: int) -> int:
        """Returns the flags of open(2) that its descriptor *number* has.

        :raises OSError: EBADF; ENOTSOCK.
        """
        try:
            if not os.readlink(f"fd/{number}", dir_fd=self._proc).startswith("socket:["):
                raise OSError(errno.ENOTSOCK, os.strerror(errno.ENOTSOCK))
            fd = os.open(f"fdinfo/{number}", os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._proc)
        except FileNotFoundError:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF)) from None
        try:
            fields = os.read(fd, 4096).split()
        finally:
            os.close(fd)
        return int(fields[fields.index(b"flags:") + 1], 8)

    def status(self) -> dict[bytes, bytes]:
        """Returns the fields of /proc/PID/status."""
        fd = os.open("status", os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._proc)
        try:
            text = os.read(fd, 16384)
        finally:
            os.close(fd)
        return dict(line.split(b":", 1) for line in text.splitlines() if b":" in line)

    def identity(self) -> Identity:
        fields = self.status()
        return Identity(
            int(fields[b"Uid"].split()[3]),
            int(fields[b"Gid"].split()[3]),
            tuple(map(int, fields[b"Groups"].split())),
            int(fields[b"CapEff"], 16) & _METADATA_CAPABILITIES,
        )

    def _own(self, own: re.Match[bytes], follow: bool) -> int:
        process, number, other, standard, rest = own.groups()
        if process is not None and not self.has_thread(int(process)):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        text = number or other
        fd = self.descriptor(int(text) if text is not None else _STANDARD[standard])
        if not rest:
            return fd
        try:
            with self.acting():
                return open_object(rest, fd, follow=follow)
        finally:
            os.close(fd)

    def has_thread(self, number: int) -> bool:
        """Whether *number* is that of one of its threads, or its own."""
        with suppress(OSError):
            os.close(os.open(f"task/{number}", os.O_PATH | os.O_CLOEXEC, dir_fd=self._proc))
            return True
        return False

    def _base(self, directory: int) -> int:
        if directory == AT_FDCWD:
            return os.open("cwd", os.O_PATH | os.O_CLOEXEC, dir_fd=self._proc)
        fd = self.descriptor(directory)
        if not stat.S_ISDIR(os.fstat(fd).st_mode):
            os.close(fd)
            raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        return fd


class Resident(Tracee):
    """One that has a file system and processes of its own, with what it sees at the same paths as outside.

    What it means is looked for outside, by its path: for evidence, and nothing else.
    """

    def object(self, directory: int, path: bytes, *, follow: bool) -> int:
        if not path:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        own = _OWN_DESCRIPTOR.fullmatch(path)
        if own is not None:
            process, number, other, standard, rest = own.groups()
            if process is not None:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
            text = number or other
            path = self._path(f"fd/{int(text) if text is not None else _STANDARD[standard]}")
            path += b"/" + rest if rest else b""
        elif not path.startswith(b"/"):
            path = self._path("cwd" if directory == AT_FDCWD else f"fd/{directory}") + b"/" + path
        return open_object(path, None, follow=follow)

    def descriptor(self, number: int) -> int:
        return open_object(self._path(f"fd/{number}"), None, follow=False)

    def _path(self, name: str) -> bytes:
        path = os.readlink(os.fsencode(name), dir_fd=self._proc)
        if not path.startswith(b"/"):
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return path


def real_path(fd: int) -> str:
    """Returns where the object of a descriptor (O_PATH) is; for pipes and the like not a path."""
    return os.readlink(f"/proc/self/fd/{fd}")


@contextmanager
def acting_as(identity: Identity, own: Identity) -> Iterator[None]:
    """Lets this thread be *identity* towards the file system within the block.

    These calls are made directly: those of the C library would change all threads.

    :param own: who this thread is; a super-user.
    """
    if identity == own:
        yield
        return
    numbers = require_architecture().numbers

    def become(who: Identity) -> None:
        groups = struct.pack(f"={len(who.groups)}I", *who.groups)
        system_call(numbers["setgroups"], len(who.groups), groups)
        system_call(numbers["setfsgid"], who.group)
        system_call(numbers["setfsuid"], who.user)

    header = struct.pack("=Ii", _CAPABILITY_VERSION, 0)
    saved = ctypes.create_string_buffer(24)
    system_call(numbers["capget"], header, saved)
    words = list(struct.unpack("=6I", saved.raw))
    become(identity)
    try:
        # Becoming another user has changed what is effective; it is set to what both have, and only of files.
        lost = _FILE_CAPABILITIES & ~identity.capabilities
        less = [words[0] & ~lost & 0xFFFF_FFFF, *words[1:3], words[3] & ~(lost >> 32), *words[4:]]
        system_call(numbers["capset"], header, struct.pack("=6I", *less))
        yield
    finally:
        become(own)
        system_call(numbers["capset"], header, saved)
