"""What to try with files; Python for :func:`suites.sandbox.attempts.program`."""

from __future__ import annotations

from typing import Final

FILES: Final = r"""
def create(t, i):
    fill(opened(t + "/new", os.O_WRONLY | os.O_CREAT | os.O_EXCL))

def create_from_inside(t, i):
    os.chdir(i)
    fill(opened(os.path.relpath(t, i) + "/new", os.O_WRONLY | os.O_CREAT))

def create_by_directory(t, i):
    fill(opened("new", os.O_WRONLY | os.O_CREAT, dir_fd=opened(t, os.O_PATH | os.O_DIRECTORY)))

def create_unnamed(t, i):
    fill(opened(t, os.O_WRONLY | os.O_TMPFILE))
    return "unnamed"

def create_by_link_of_ours(t, i):
    os.symlink(t, i + "/way")
    fill(opened(i + "/way/new", os.O_WRONLY | os.O_CREAT))

def create_through_dangling_link(t, i):
    os.symlink(t + "/new", i + "/way")
    fill(opened(i + "/way", os.O_WRONLY | os.O_CREAT))

def create_by_proc_root(t, i):
    fill(opened("/proc/self/root" + t + "/new", os.O_WRONLY | os.O_CREAT))

def write(t, i):
    fill(opened(t + "/file", os.O_WRONLY))

def write_and_truncate(t, i):
    fill(opened(t + "/file", os.O_WRONLY | os.O_TRUNC))

def append(t, i):
    fill(opened(t + "/file", os.O_WRONLY | os.O_APPEND))

def write_by_link_there(t, i):
    fill(opened(t + "/link", os.O_WRONLY))

def write_by_link_of_ours(t, i):
    os.symlink(t + "/file", i + "/way")
    fill(opened(i + "/way", os.O_WRONLY))

def write_reopened(t, i):
    fd = opened(t + "/file", os.O_RDONLY)
    fill(opened("/proc/self/fd/%d" % fd, os.O_WRONLY))

def write_reopened_path(t, i):
    fd = opened(t + "/file", os.O_PATH)
    fill(opened("/proc/self/fd/%d" % fd, os.O_WRONLY))

def write_by_hard_link(t, i):
    os.link(t + "/file", i + "/alias")
    fill(opened(i + "/alias", os.O_WRONLY))

def write_mapped(t, i):
    import mmap
    with mmap.mmap(opened(t + "/file", os.O_RDWR), 4) as found:
        found[:4] = b"gone"

def truncate(t, i):
    os.truncate(t + "/file", 1)

def rename_within(t, i):
    os.rename(t + "/file", t + "/new")

def rename_in(t, i):
    os.rename(i + "/ours", t + "/new")

def rename_over(t, i):
    os.rename(i + "/ours", t + "/file")

def rename_out(t, i):
    os.rename(t + "/file", i + "/new")

def rename_directory_in(t, i):
    os.rename(i + "/our-directory", t + "/new")

def rename_directory_out(t, i):
    os.rename(t + "/directory", i + "/new")

def exchange(t, i):
    system(316, 276, -100, (i + "/ours").encode(), -100, (t + "/file").encode(), 2)

def link_in(t, i):
    os.link(i + "/ours", t + "/new")

def link_within(t, i):
    os.link(t + "/file", t + "/new")

def link_out(t, i):
    os.link(t + "/file", i + "/new")
    return "linked"

def link_out_by_descriptor(t, i):
    fd = opened(t + "/file", os.O_RDONLY)
    os.link("/proc/self/fd/%d" % fd, i + "/new", follow_symlinks=True)
    return "linked"

def symlink(t, i):
    os.symlink("file", t + "/new")

def unlink(t, i):
    os.unlink(t + "/file")

def unlink_link(t, i):
    os.unlink(t + "/link")

def unlink_by_directory(t, i):
    os.unlink("file", dir_fd=opened(t, os.O_PATH))

def make_directory(t, i):
    os.mkdir(t + "/new")

def remove_directory(t, i):
    os.rmdir(t + "/empty")

def make_fifo(t, i):
    os.mkfifo(t + "/new")

def bind_socket(t, i):
    socket.socket(socket.AF_UNIX).bind(t + "/new")

def change_mode(t, i):
    os.chmod(t + "/file", 0o640)

def change_mode_of_directory(t, i):
    os.chmod(t, 0o711)

def change_mode_by_descriptor(t, i):
    os.fchmod(opened(t + "/file", os.O_RDONLY), 0o640)

def change_mode_by_link_of_ours(t, i):
    os.symlink(t + "/file", i + "/way")
    os.chmod(i + "/way", 0o640)

def change_mode_by_proc(t, i):
    os.chmod("/proc/self/fd/%d" % opened(t + "/file", os.O_PATH), 0o640)

def change_mode_by_new_call(t, i):
    system(452, 452, -100, (t + "/file").encode(), 0o640, 0)

def change_owner(t, i):
    os.chown(t + "/file", os.geteuid(), os.getegid())

def change_owner_by_descriptor(t, i):
    os.fchown(opened(t + "/file", os.O_RDONLY), os.geteuid(), os.getegid())

def change_owner_of_link(t, i):
    os.lchown(t + "/link", os.geteuid(), os.getegid())

def change_times(t, i):
    os.utime(t + "/file", (1, 1))

def change_times_to_now(t, i):
    os.utime(t + "/file")

def change_times_by_descriptor(t, i):
    os.utime(opened(t + "/file", os.O_RDONLY), (1, 1))

def set_attribute(t, i):
    os.setxattr(t + "/file", "user.new", b"changed")

def set_attribute_by_descriptor(t, i):
    os.setxattr(opened(t + "/file", os.O_RDONLY), "user.new", b"changed")

def set_attribute_of_directory(t, i):
    os.setxattr(t, "user.new", b"changed")

def set_file_flags(t, i):
    import fcntl
    fd = opened(t + "/file", os.O_RDONLY)
    flags = struct.unpack("=l", fcntl.ioctl(fd, 0x80086601, bytes(8))[:4])[0]
    fcntl.ioctl(fd, 0x40086602, struct.pack("=ll", flags | 0x80, 0))

def read(t, i):
    return os.read(opened(t + "/file", os.O_RDONLY), 100).decode()

def read_by_link_of_ours(t, i):
    os.symlink(t + "/file", i + "/way")
    return os.read(opened(i + "/way", os.O_RDONLY), 100).decode()

def read_by_proc_root(t, i):
    return os.read(opened("/proc/self/root" + t + "/file", os.O_RDONLY), 100).decode()

def read_reopened(t, i):
    fd = opened(t + "/file", os.O_PATH)
    return os.read(opened("/proc/self/fd/%d" % fd, os.O_RDONLY), 100).decode()

def read_mapped(t, i):
    import mmap
    with mmap.mmap(opened(t + "/file", os.O_RDONLY), 4, prot=mmap.PROT_READ) as found:
        return found[:].decode()

def list_directory(t, i):
    return sorted(os.listdir(t))

def list_by_descriptor(t, i):
    fd = opened(".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=opened(t, os.O_PATH))
    return sorted(os.listdir(fd))

def execute(t, i):
    child = os.posix_spawn(t + "/program", ["program"], {})
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code != 5:
        raise OSError(errno.EACCES, "exit code %d" % code)
    return "ran"

def execute_by_interpreter(t, i):
    child = os.posix_spawn("/bin/sh", ["sh", t + "/program"], {})
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code != 5:
        raise OSError(errno.EACCES, "exit code %d" % code)
    return "ran"
"""
"""Things to try with what is in the directory *t*, helped by *i*, which may be written."""
