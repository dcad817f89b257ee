"""What the Linux kernel lets this process do. Everything is tried, nothing of it remains."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import platform
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

from harness.doctor.model import Fact, State

_GROUP: Final = "kernel"
_SECONDS: Final = 15.0
# The same on all architectures since Linux 5.1: one table for new system calls.
_LANDLOCK_CREATE_RULESET: Final = 444
_LANDLOCK_CREATE_RULESET_VERSION: Final = 1
_PR_SET_SECCOMP: Final = 22
_SECCOMP_MODE_FILTER: Final = 2
# landlock(7), "Landlock features": what each version of the interface can restrict.
_LANDLOCK: Final = {
    1: "files",
    2: "links and renames between directories",
    3: "truncation",
    4: "TCP",
    5: "ioctl on devices",
    6: "signals and abstract sockets",
    7: "with audit",
}
_NAMESPACES: Final = ("user", "mount", "network", "overlayfs")
# unshare(2), user_namespaces(7). The mounts are in a namespace of the child alone and go with it.
_TRY_NAMESPACES: Final = r"""
import ctypes, json, os, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.mount.argtypes = (ctypes.c_char_p,) * 3 + (ctypes.c_ulong, ctypes.c_char_p)

def call(status):
    if status:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

def unshare(flags):
    call(libc.unshare(flags))

def mount(source, target, kind, flags, data=None):
    call(libc.mount(source, os.fsencode(target), kind, flags, data))

def write(name, text):
    with open(f"/proc/self/{name}", "w") as file:
        file.write(text)

def user():
    uid, gid = os.getuid(), os.getgid()
    unshare(0x10000000)
    write("setgroups", "deny")
    write("uid_map", f"0 {uid} 1")
    write("gid_map", f"0 {gid} 1")

def mounts():
    unshare(0x20000)
    mount(b"none", "/", None, 0x4000 | 0x40000)  # MS_REC, MS_PRIVATE
    mount(b"tmpfs", folder, b"tmpfs", 0)

def network():
    unshare(0x40000000)

def overlayfs():
    for name in ("lower", "upper", "work", "merged"):
        os.mkdir(f"{folder}/{name}")
    data = f"lowerdir={folder}/lower,upperdir={folder}/upper,workdir={folder}/work"
    mount(b"overlay", f"{folder}/merged", b"overlay", 0, os.fsencode(data))

folder = sys.argv[1]
found = {}
for name, step in (("user", user), ("mount", mounts), ("network", network), ("overlayfs", overlayfs)):
    try:
        step()
        found[name] = ""
    except OSError as error:
        found[name] = error.strerror or str(error)
        if name in ("user", "mount"):
            break
print(json.dumps(found))
"""
_SYSCTLS: Final = (
    # Debian's, Ubuntu's and everybody's own switch.
    ("kernel/unprivileged_userns_clone", "0", "1"),
    ("kernel/apparmor_restrict_unprivileged_userns", "1", "0"),
    ("user/max_user_namespaces", "0", "15000"),
)
_IN_A_CONTAINER: Final = (
    "if this is a container, lift its seccomp profile (docker run --security-opt seccomp=unconfined)"
)


def facts() -> list[Fact]:
    return [_version(), *_namespaces(), _seccomp(), _cgroup(), _landlock()]


def landlock_abi() -> tuple[int, str]:
    """Returns the version of Landlock's interface, and why it is 0, landlock_create_ruleset(2)."""
    libc = ctypes.CDLL(None, use_errno=True)
    version: int = libc.syscall(
        ctypes.c_long(_LANDLOCK_CREATE_RULESET),
        None,
        ctypes.c_size_t(0),
        ctypes.c_uint32(_LANDLOCK_CREATE_RULESET_VERSION),
    )
    if version > 0:
        return version, ""
    found = ctypes.get_errno()
    reasons = {
        errno.ENOSYS: "this kernel is older than 5.13 or was built without it",
        errno.EOPNOTSUPP: "it is off since the start of this kernel",
    }
    return 0, reasons.get(found, os.strerror(found))


def seccomp_actions() -> tuple[str, ...]:
    """Returns what a seccomp filter can do with a call, seccomp(2); nothing if there can be no filter."""
    libc = ctypes.CDLL(None, use_errno=True)
    # Without a filter, the kernel only tells whether it would take one.
    libc.prctl(_PR_SET_SECCOMP, ctypes.c_ulong(_SECCOMP_MODE_FILTER), None, None, None)
    if ctypes.get_errno() not in (errno.EFAULT, errno.EACCES):
        return ()
    try:
        return tuple(Path("/proc/sys/kernel/seccomp/actions_avail").read_text().split())
    except OSError:
        return ("kill_thread", "trap", "errno", "trace", "allow")


def try_namespaces() -> dict[str, str]:
    """Makes namespaces in a child; returns what came of ``user``, ``mount``, ``network`` and ``overlayfs``.

    Each is empty if it works, else says why not. They are tried in this order, each inside of those before
    it; what could not be tried any more is not there.
    """
    try:
        ended = subprocess.run(
            [sys.executable, "-I", "-S", "-c", _TRY_NAMESPACES, "/tmp"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SECONDS,
            cwd="/",
            check=False,
        )
        found: dict[str, str] = json.loads(ended.stdout)
        return found
    except subprocess.TimeoutExpired:
        return {"user": f"no answer within {_SECONDS:g} s"}
    except (OSError, ValueError) as error:
        return {"user": f"it could not be tried: {error}"}


def _version() -> Fact:
    release = platform.release()
    found = f"Linux {release}, {platform.machine()}"
    numbers = re.match(r"(\d+)\.(\d+)", release)
    if numbers and (int(numbers[1]), int(numbers[2])) < (5, 3):
        # pidfd_open(2), by which what runs under Wine ends with its owner.
        return Fact(
            _GROUP, "version", State.BROKEN, found, "use Linux 5.3 or newer", needed_by=("wine-exec",)
        )
    return Fact(_GROUP, "version", State.OK, found)


def _namespaces() -> list[Fact]:
    found = try_namespaces()
    names = {"user": "user namespaces", "mount": "mount namespaces", "network": "network namespaces"}
    told = []
    for name in _NAMESPACES:
        label = names.get(name, name)
        trouble = found.get(name)
        if trouble == "":
            told.append(Fact(_GROUP, label, State.OK, "can be made" if name in names else "can be mounted"))
        elif trouble is None:
            told.append(Fact(_GROUP, label, State.MISSING, "not without those before"))
        else:
            told.append(Fact(_GROUP, label, State.MISSING, trouble, _remedy(name)))
    return told


def _remedy(name: str) -> str:
    if name == "overlayfs":
        return "Linux 5.11 or newer, with the module overlay: modprobe overlay"
    wrong = [f"{path.replace('/', '.')}={good}" for path, bad, good in _SYSCTLS if _sysctl(path) == bad]
    return f"as root: sysctl -w {' '.join(wrong)}" if wrong else _IN_A_CONTAINER


def _sysctl(path: str) -> str | None:
    try:
        return Path("/proc/sys", path).read_text().strip()
    except OSError:
        return None


def _seccomp() -> Fact:
    actions = seccomp_actions()
    if not actions:
        return Fact(_GROUP, "seccomp", State.MISSING, "no filters", "a kernel with CONFIG_SECCOMP_FILTER=y")
    return Fact(_GROUP, "seccomp", State.OK, f"filters: {' '.join(actions)}")


def _cgroup() -> Fact:
    root = Path("/sys/fs/cgroup")
    try:
        controllers = (root / "cgroup.controllers").read_text().split()
        own = next(
            line[3:] for line in Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::")
        )
    except (OSError, StopIteration):
        hybrid = (root / "unified").is_dir()
        return Fact(
            _GROUP,
            "cgroup v2",
            State.MISSING,
            "version 1, with 2 beside it" if hybrid else "not at /sys/fs/cgroup",
            "start this system with systemd.unified_cgroup_hierarchy=1",
        )
    verb = "can" if os.access(root / own.lstrip("/"), os.W_OK) else "cannot"
    return Fact(
        _GROUP,
        "cgroup v2",
        State.OK,
        f"{' '.join(controllers) or 'no controllers'}; this user {verb} divide this process's group",
    )


def _landlock() -> Fact:
    version, reason = landlock_abi()
    if not version:
        return Fact(
            _GROUP,
            "Landlock",
            State.MISSING,
            reason,
            "Linux 5.13 or newer with CONFIG_SECURITY_LANDLOCK=y, started with landlock among lsm=",
        )
    can = [what for number, what in _LANDLOCK.items() if number <= version]
    return Fact(_GROUP, "Landlock", State.OK, f"ABI {version}: {', '.join(can)}")
