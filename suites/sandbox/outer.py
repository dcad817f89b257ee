"""Programs that run outside of any sandbox: what is to be kept from harm, and who looks whether it was."""

from __future__ import annotations

from typing import Final

LOOK: Final = r"""
import hashlib, json, os, stat, sys

def attributes(path):
    if not hasattr(os, "listxattr"):
        return {}
    names = os.listxattr(path, follow_symlinks=False)
    return {name: os.getxattr(path, name, follow_symlinks=False).hex() for name in names}

def look(path):
    status = os.lstat(path)
    found = {
        "mode": status.st_mode,
        "owner": [status.st_uid, status.st_gid],
        "modified": status.st_mtime_ns,
        "changed": status.st_ctime_ns if os.name == "posix" else 0,
        "links": status.st_nlink,
        "attributes": attributes(path),
    }
    if stat.S_ISREG(status.st_mode):
        with open(path, "rb") as file:
            data = file.read()
        found["data"] = data.decode("latin-1") if len(data) < 100 else hashlib.sha256(data).hexdigest()
    elif stat.S_ISLNK(status.st_mode):
        found["target"] = os.readlink(path)
    elif stat.S_ISDIR(status.st_mode):
        found["entries"] = {name: look(os.path.join(path, name)) for name in sorted(os.listdir(path))}
    return found
"""

MAKE_SCENE: Final = (
    LOOK
    + r"""
def put(path, data):
    with open(path, "wb") as file:
        file.write(data)

home = sys.argv[1]
for name in sys.argv[2].split():
    inside = os.path.join(home, "inside", name)
    os.makedirs(os.path.join(inside, "our-directory"))
    put(os.path.join(inside, "ours"), b"ours")
    place = os.path.join(home, sys.argv[3], name)
    for inner in ("empty", "directory"):
        os.makedirs(os.path.join(place, inner))
    put(os.path.join(place, "file"), b"SECRET")
    put(os.path.join(place, "directory", "file"), b"SECRET")
    put(os.path.join(place, "program"), b"#!/bin/sh\nexit 5\n")
    os.chmod(os.path.join(place, "program"), 0o755)
    os.symlink("file", os.path.join(place, "link"))
print(json.dumps(look(os.path.join(home, sys.argv[3]))))
"""
)
"""In the directory of its first argument: for each of the names in the second, a directory below ``inside``
and one with a file of every kind below the third; says what the third holds then."""

LOOK_AGAIN: Final = LOOK + "print(json.dumps(look(sys.argv[1])))"
"""Says what is at the path of its argument: all that a program could change."""

LISTENER: Final = r"""
import json, os, select, socket, sys
home = sys.argv[1]
os.makedirs(home, exist_ok=True)
served = {}

def serve(name, family, kind, address):
    one = socket.socket(family, kind)
    one.bind(address)
    if kind == socket.SOCK_STREAM:
        one.listen(64)
    served[one] = name
    return one.getsockname()

loopback = ("127.0.0.1", 0)
told = {
    "tcp": serve("tcp", socket.AF_INET, socket.SOCK_STREAM, loopback)[1],
    "udp": serve("udp", socket.AF_INET, socket.SOCK_DGRAM, loopback)[1],
    "unix": serve("unix", socket.AF_UNIX, socket.SOCK_STREAM, home + "/s"),
    "unix_datagram": serve("unix_datagram", socket.AF_UNIX, socket.SOCK_DGRAM, home + "/d"),
    "abstract": "crossexec-%d-s" % os.getpid(),
    "abstract_datagram": "crossexec-%d-d" % os.getpid(),
}
serve("abstract", socket.AF_UNIX, socket.SOCK_STREAM, "\0" + told["abstract"])
serve("abstract_datagram", socket.AF_UNIX, socket.SOCK_DGRAM, "\0" + told["abstract_datagram"])
os.write(1, json.dumps(told).encode() + b"\n")
sys.stdin.read()
reached = [served[one] for one in select.select(list(served), [], [], 0)[0]]
os.write(1, json.dumps(reached).encode() + b"\n")
"""
"""Listens on every kind of socket, Unix sockets in the directory of its argument, and says where. At the end
of its input it says which were reached."""

VICTIM: Final = r"""
import ctypes, json, os, resource, sys
os.setpgid(0, 0) if os.getpgrp() != os.getpid() else None
os.chdir(sys.argv[1])
memory = ctypes.create_string_buffer(b"memory!!", 8)
fd = os.open("held", os.O_WRONLY | os.O_CREAT, 0o600)

def state():
    with open("/proc/self/oom_score_adj") as file:
        score = file.read().strip()
    return {
        "memory": memory.raw.hex(), "held": os.fstat(fd).st_size, "priority": os.getpriority(0, 0),
        "limit": resource.getrlimit(resource.RLIMIT_CORE), "affinity": sorted(os.sched_getaffinity(0)),
        "scheduler": os.sched_getscheduler(0), "score": score,
        "entries": sorted(os.listdir(".")),
    }

told = {"pid": os.getpid(), "address": ctypes.addressof(memory), "fd": fd, "executor": os.getppid()}
os.write(1, json.dumps(told).encode() + b"\n")
for _ in sys.stdin:
    os.write(1, json.dumps(state()).encode() + b"\n")
"""
"""Somebody else's process, in the directory of its argument. Says how it is for each line of its input."""

SWAP: Final = r"""
import ctypes, json, os, sys
libc = ctypes.CDLL(None, use_errno=True)
call = 276 if os.uname().machine == "aarch64" else 316
one, other = (path.encode() for path in sys.argv[1:3])
arguments = [ctypes.c_long(call), ctypes.c_long(-100), one, ctypes.c_long(-100), other, ctypes.c_long(2)]
os.write(1, b"ready\n")
while os.path.exists(sys.argv[3]):
    for _ in range(50):
        if libc.syscall(*arguments):
            raise OSError(ctypes.get_errno(), "renameat2")
"""
"""Exchanges two paths without end, until the file at its third argument is gone."""

UNTIL_UNLOCKED: Final = r"""
import fcntl, os, signal, sys
signal.alarm(int(sys.argv[2]))
fcntl.flock(os.open(sys.argv[1], os.O_RDWR), fcntl.LOCK_EX)
print("unlocked")
"""
"""Waits until nobody holds the lock of the file at its first argument, as many seconds as its second says."""
