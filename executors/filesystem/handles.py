"""Open files that are read or written in blocks.

The calls on one handle have to come one at a time; they may come from different threads.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat

from executors.filesystem import system
from executors.filesystem.local import open_to_write


class HandleClosedError(Exception):
    """The handle is not open: not yet, no longer, or an error of the system has ended it."""


class ReadHandle:
    """Reads one file, also after its path leads to another one or to none."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._descriptor: int | None = None

    @property
    def is_open(self) -> bool:
        return self._descriptor is not None

    def open(self) -> None:
        """:raises OSError: RefusedError for what is no regular file."""
        with system.location(self._path) as (name, directory):
            self._descriptor, _ = system.open_regular(name, directory, self._path)

    def read(self, offset: int, length: int) -> bytes:
        """Returns *length* bytes at *offset*, fewer only where the file ends.

        :raises HandleClosedError: it is not open.
        :raises OSError: the handle is closed by it.
        """
        if self._descriptor is None:
            raise HandleClosedError
        try:
            data = system.read_at(self._descriptor, length, offset)
            while 0 < len(data) < length:
                # Files of /proc give less than asked for before their end.
                more = system.read_at(self._descriptor, length - len(data), offset + len(data))
                if not more:
                    break
                data += more
        except OSError:
            self.close()
            raise
        return data

    def close(self) -> None:
        """Does nothing where it is not open."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    abandon = close


_IN_THE_WAY = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.EBUSY, errno.EXDEV})
"""Why a file cannot be replaced by another though it can be written."""


class ReplaceHandle:
    """Writes the new content of a file, which appears whole when the handle is closed.

    Until then it is in a temporary file in the same directory, and the path leads to what was
    there before. The new file gets the owner and the permission bits of the old one; links are
    followed. Where the old file cannot give way to a new one it is written in place, at the
    end if possible: it has several hard links, is a device or a mount point, its owner is
    somebody else, or its directory takes no files.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._target = path
        self._descriptor: int | None = None
        self._temporary: str | None = None
        """None while writing in place."""

    @property
    def is_open(self) -> bool:
        return self._descriptor is not None

    def open(self) -> None:
        """:raises OSError: what writing or making the file raises; RefusedError for a FIFO and the like."""
        self._target = system.real_path(self._path)
        try:
            in_place, status = open_to_write(self._target, create=False)
        except FileNotFoundError:
            self._open_temporary(0o666)
            return
        try:
            regular = stat.S_ISREG(status.st_mode)
            if regular and status.st_nlink == 1 and self._open_beside(status):
                os.close(in_place)
                return
            if regular:
                os.ftruncate(in_place, 0)
        except BaseException:
            os.close(in_place)
            raise
        self._descriptor = in_place

    def write(self, offset: int, data: bytes) -> None:
        """Writes at any offset; a gap reads as zeros.

        :raises HandleClosedError: it is not open.
        :raises OSError: the handle is abandoned by it.
        """
        if self._descriptor is None:
            raise HandleClosedError
        try:
            rest = memoryview(data)
            while rest:
                written = system.write_at(self._descriptor, rest, offset)
                offset += written
                rest = rest[written:]
        except OSError:
            self.abandon()
            raise

    def close(self) -> None:
        """Puts the new content in place. Does nothing where the handle is not open.

        :raises OSError: the old content is still there.
        """
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is None:
            return
        try:
            os.close(descriptor)
            if self._temporary is not None:
                self._publish(self._temporary)
        finally:
            self._discard_temporary()

    def abandon(self) -> None:
        """Closes without replacing; what was written in place stays. Does nothing where it is not open."""
        descriptor, self._descriptor = self._descriptor, None
        try:
            if descriptor is not None:
                os.close(descriptor)
        finally:
            self._discard_temporary()

    def _open_temporary(self, mode: int) -> None:
        path = os.path.join(os.path.dirname(self._target), f".{os.urandom(8).hex()}.partial")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | system.OPEN_FLAGS
        try:
            with system.location(path) as (name, directory):
                self._descriptor = os.open(name, flags, mode, dir_fd=directory)
        except OSError as error:
            error.filename = self._path
            raise
        self._temporary = path

    def _open_beside(self, status: os.stat_result) -> bool:
        """Returns False where the file of *status* cannot give way to a new one."""
        try:
            self._open_temporary(0o600)
            assert self._descriptor is not None
            system.adopt(self._descriptor, status)
        except OSError as error:
            self.abandon()
            if error.errno in _IN_THE_WAY:
                return False
            raise
        return True

    def _publish(self, temporary: str) -> None:
        try:
            with (
                system.location(temporary) as (new, new_dir),
                system.location(self._target) as (old, old_dir),
            ):
                os.replace(new, old, src_dir_fd=new_dir, dst_dir_fd=old_dir)
        except OSError as error:
            if error.errno not in _IN_THE_WAY:
                error.filename, error.filename2 = self._path, None
                raise
        else:
            self._temporary = None
            return
        with system.location(temporary) as (name, directory):
            source = os.open(name, os.O_RDONLY | system.OPEN_FLAGS, dir_fd=directory)
        try:
            target, _ = open_to_write(self._target)
            try:
                os.ftruncate(target, 0)
                system.copy_data(source, target)
            finally:
                os.close(target)
        finally:
            os.close(source)

    def _discard_temporary(self) -> None:
        temporary, self._temporary = self._temporary, None
        if temporary is not None:
            with contextlib.suppress(FileNotFoundError), system.location(temporary) as (name, directory):
                os.unlink(name, dir_fd=directory)
