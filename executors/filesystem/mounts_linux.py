"""Linux: the mount table, proc_pid_mountinfo(5)."""

from __future__ import annotations

import functools
import os
import select
import sys

assert sys.platform == "linux"

_MOUNTINFO = "/proc/self/mountinfo"

_ON_DISK = (
    "bcachefs btrfs erofs exfat ext2 ext3 ext4 f2fs hfs hfsplus iso9660 jfs nilfs2 ntfs ntfs3 overlay "
    "reiserfs squashfs udf ufs vfat xfs zfs"
)
_IN_MEMORY = "devtmpfs hugetlbfs ramfs rootfs tmpfs"
_OF_THE_KERNEL = (
    "binfmt_misc bpf cgroup cgroup2 configfs cpuset debugfs devpts efivarfs fusectl mqueue nsfs proc pstore "
    "rpc_pipefs securityfs selinuxfs sysfs tracefs"
)
_LOCAL_TYPES = frozenset(f"{_ON_DISK} {_IN_MEMORY} {_OF_THE_KERNEL}".split())
"""Types whose files answer without another machine or another process; any other type may not."""

_AUTOMOUNT_OF_KERNEL = ("autofs", "/proc/sys/fs/binfmt_misc")
"""systemd's; it is on most machines, and leads to a file system of the kernel."""


def local_only(mountinfo: bytes) -> bool:
    """Whether every mount of the table is of a type known to be local."""
    for line in mountinfo.splitlines():
        before, separator, after = line.partition(b" - ")
        if not separator:
            return False
        kind = after.split(b" ", 1)[0].decode("ascii", "replace")
        place = before.split(b" ")[4].decode("utf-8", "replace")
        if kind not in _LOCAL_TYPES and (kind, place) != _AUTOMOUNT_OF_KERNEL:
            return False
    return bool(mountinfo)


class MountTable:
    """The mounts of this process's namespace, read again only when they have changed."""

    def __init__(self, path: str = _MOUNTINFO) -> None:
        """:raises OSError: there is no /proc here."""
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._changes = select.poll()
        # The kernel flags a change once: the next poll clears it.
        self._changes.register(self._descriptor, select.POLLPRI)
        self._local: bool | None = None

    def all_local(self) -> bool:
        """Whether no network or FUSE file system, nor one of a type unknown here, is mounted."""
        if self._changes.poll(0) or self._local is None:
            self._local = local_only(self._read())
        return self._local

    def close(self) -> None:
        os.close(self._descriptor)

    def _read(self) -> bytes:
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        pieces = []
        while piece := os.read(self._descriptor, 65536):
            pieces.append(piece)
        return b"".join(pieces)


@functools.cache
def _mount_table() -> MountTable | None:
    try:
        return MountTable()
    except OSError:  # No /proc.
        return None


def all_local() -> bool:
    """Whether no call on the files of this machine can hang; False where /proc does not tell."""
    table = _mount_table()
    return table is not None and table.all_local()
