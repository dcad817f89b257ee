"""What a program in the sandbox of Landlock cannot do, tried for real, and what it still can."""

from __future__ import annotations

import os
import shutil
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

if sys.platform != "linux":
    pytest.skip("Landlock is of Linux", allow_module_level=True)

from executors.sandbox import landlock_linux as landlock
from executors.sandbox.denials_linux import access_of
from executors.sandbox.landlock_backend_linux import LandlockBackend, LandlockConfinement
from executors.sandbox.policy import Access, Policy, Rule, make_policy
from tests.sandbox.confined_linux import Confined, Outcome, on_loop

BACKEND = LandlockBackend()
pytestmark = pytest.mark.skipif(BACKEND.missing() is not None, reason=str(BACKEND.missing()))
ROOT = os.geteuid() == 0
needs_root = pytest.mark.skipif(not ROOT, reason="only a super-user could do it without a sandbox")

PRELUDE = """
import ctypes, errno, os, socket, sys
out, ws = sys.argv[1:3]
libc = ctypes.CDLL(None, use_errno=True)
x86 = os.uname().machine == "x86_64"
def check(result):
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result
def attempt():
{attempt}
try:
    attempt()
except OSError as error:
    print(errno.errorcode[error.errno])
else:
    print("done")
"""


class Places:
    """A writable place, and one beside it that is full of what must not change."""

    def __init__(self, base: Path) -> None:
        base = base.resolve()
        self.ws = base / "ws"
        self.out = base / "out"
        self.ws.mkdir()
        (self.out / "directory").mkdir(parents=True)
        (self.out / "file").write_text("kept")
        (self.out / "link").symlink_to("file")
        (self.ws / "to_file").symlink_to(self.out / "file")
        (self.ws / "to_out").symlink_to(self.out)
        for path in (self.out, *self.out.iterdir()):
            os.utime(path, (1_000_000, 1_000_000), follow_symlinks=False)

    def policy(self, *, network: bool = False) -> Policy:
        return make_policy([Rule(Path("/"), Access.READ), Rule(self.ws, Access.WRITE)], network=network)

    def outer(self) -> dict[str, object]:
        """All there is to know of the place that must not change."""
        found: dict[str, object] = {}
        for path in (self.out, *self.out.rglob("*")):
            status = path.lstat()
            data = path.read_bytes() if path.is_file() else b""
            attributes = os.listxattr(path, follow_symlinks=False)
            # Reading changes neither of these times, and changing anything does.
            times = status.st_mtime_ns, status.st_ctime_ns
            identity = status.st_mode, status.st_uid, status.st_gid, status.st_nlink, status.st_size
            found[str(path)] = (times, identity, data, attributes)
        return found


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(tmp_path)


async def attempt(places: Places, code: str, *, network: bool = False) -> Outcome:
    text = PRELUDE.replace("{attempt}", "\n".join("    " + line for line in code.splitlines()))
    async with Confined(BACKEND, places.policy(network=network)) as confined:
        argv = [sys.executable, "-I", "-S", "-c", text, str(places.out), str(places.ws)]
        return await confined.run(argv, cwd=places.ws)


FILES = {
    "create": 'open(out + "/new", "x")',
    "write": 'open(out + "/file", "w")',
    "write as an update": 'open(out + "/file", "r+")',
    "append": 'open(out + "/file", "a")',
    "truncate": 'os.truncate(out + "/file", 0)',
    "open and truncate": 'os.open(out + "/file", os.O_RDONLY | os.O_TRUNC)',
    "write through a link": 'open("to_file", "w")',
    "create through a link to a directory": 'open("to_out/new", "x")',
    "create without a name": "os.open(out, os.O_TMPFILE | os.O_RDWR)",
    "mkdir": 'os.mkdir(out + "/new")',
    "rmdir": 'os.rmdir(out + "/directory")',
    "unlink": 'os.unlink(out + "/file")',
    "rename out": 'open("mine", "w")\nos.rename("mine", out + "/mine")',
    "rename in": 'os.rename(out + "/file", "mine")',
    "rename within": 'os.rename(out + "/file", out + "/other")',
    "rename the place itself": 'os.rename(ws, ws + ".old")',
    "link in": 'os.link(out + "/file", "mine")',
    "link out": 'open("mine", "w")\nos.link("mine", out + "/mine")',
    "link of a descriptor": 'fd = os.open(out + "/file", os.O_RDONLY)\n'
    'check(libc.linkat(-100, b"/proc/self/fd/%d" % fd, -100, b"mine", 0x400))',
    "symlink": 'os.symlink("file", out + "/other")',
    "fifo": 'os.mkfifo(out + "/fifo")',
    "open again for writing": 'fd = os.open(out + "/file", os.O_RDONLY)\n'
    'os.open(f"/proc/self/fd/{fd}", os.O_WRONLY)',
    "another root": "os.chroot(ws)",
}
METADATA = {
    "chmod": 'os.chmod(out + "/file", 0o777)',
    "chmod relative": 'os.chmod("../out/file", 0o777)',
    "chmod in a directory": 'os.chdir(out)\nos.chmod("file", 0o777)',
    "chmod of the directory": 'os.chdir(out)\nos.chmod(".", 0o777)',
    "chmod through a link": 'os.chmod("to_file", 0o777)',
    "chmod through a link to a directory": 'os.chmod("to_out/file", 0o777)',
    "chmod by a directory's descriptor": 'os.chmod("file", 0o777, dir_fd=os.open(out, os.O_RDONLY))',
    "chmod by a directory's path descriptor": 'os.chmod("file", 0o777, dir_fd=os.open(out, os.O_PATH))',
    "fchmod": 'os.fchmod(os.open(out + "/file", os.O_RDONLY), 0o777)',
    "fchmod of a path": 'fd = os.open(out + "/file", os.O_PATH)\nos.chmod(f"/proc/self/fd/{fd}", 0o777)',
    "chmod by /dev/fd": 'fd = os.open(out + "/file", os.O_RDONLY)\nos.chmod(f"/dev/fd/{fd}", 0o777)',
    "chmod by the process's number": 'fd = os.open(out + "/file", os.O_RDONLY)\n'
    'os.chmod(f"/proc/{os.getpid()}/fd/{fd}", 0o777)',
    "chmod below a descriptor": 'fd = os.open(out, os.O_RDONLY)\nos.chmod(f"/proc/self/fd/{fd}/file", 0o777)',
    "chmod by the working directory's link": 'os.chdir(out)\nos.chmod("/proc/self/cwd/file", 0o777)',
    "chmod by the root's link": 'os.chmod("/proc/self/root" + out + "/file", 0o777)',
    "fchmodat2": 'check(libc.syscall(452, -100, (out + "/file").encode(), 0o777, 0))',
    "fchmodat2 of a descriptor": 'fd = os.open(out + "/file", os.O_PATH)\n'
    'check(libc.syscall(452, fd, b"", 0o777, 0x1000))',
    "chown": 'os.chown(out + "/file", 1, 1)',
    "lchown": 'os.lchown(out + "/link", 1, 1)',
    "fchown": 'os.fchown(os.open(out + "/file", os.O_RDONLY), 1, 1)',
    "fchownat": 'os.chown("file", 1, 1, dir_fd=os.open(out, os.O_RDONLY))',
    "utime": 'os.utime(out + "/file", (1, 1))',
    "utime now": 'os.utime(out + "/file")',
    "futimens": 'os.utime(os.open(out + "/file", os.O_RDONLY), (1, 1))',
    "lutimes": 'os.utime(out + "/link", (1, 1), follow_symlinks=False)',
    "setxattr": 'os.setxattr(out + "/file", "user.mine", b"x")',
    "lsetxattr": 'os.setxattr(out + "/file", "user.mine", b"x", follow_symlinks=False)',
    "fsetxattr": 'os.setxattr(os.open(out + "/file", os.O_RDONLY), "user.mine", b"x")',
    "setxattrat": 'path = (out + "/file").encode()\n'
    'check(libc.syscall(463, -100, path, 0, b"user.a", bytes(16), ctypes.c_long(16)))',
    "file flags": "import fcntl, struct\n"
    'fcntl.ioctl(os.open(out + "/file", os.O_RDONLY), 0x40086602, struct.pack("l", 0x40))',
    "file_setattr": 'check(libc.syscall(469, -100, (out + "/file").encode(), b"\\0" * 24, 24, 0))',
    "chmod of a device": 'os.chmod("/dev/null", 0o600)',
}
PROCESSES = {
    "signal": "os.kill(os.getppid(), 18)",
    "signal by a pidfd": "import signal\nsignal.pidfd_send_signal(os.pidfd_open(os.getppid()), 18)",
    "ptrace": "check(libc.ptrace(16, os.getppid(), 0, 0))",
    "memory": 'open(f"/proc/{os.getppid()}/mem", "rb").read(1)',
    "environment": 'open(f"/proc/{os.getppid()}/environ").read()',
    "root": 'os.listdir(f"/proc/{os.getppid()}/root")',
    "descriptors": 'os.readlink(f"/proc/{os.getppid()}/fd/0")',
    "process_vm_readv": "check(libc.process_vm_readv(os.getppid(), None, 0, None, 0, 0))",
    "limits": "import resource\nresource.prlimit(os.getppid(), resource.RLIMIT_CORE, (0, 0))",
    "priority": "os.setpriority(os.PRIO_PROCESS, os.getppid(), 5)",
    "priority of a user": "os.setpriority(os.PRIO_USER, 0, 5)",
    "affinity": "os.sched_setaffinity(os.getppid(), {0})",
    "descriptor of another": "check(libc.syscall(438, os.pidfd_open(os.getppid()), 0, 0))",
    "user namespace": "check(libc.unshare(0x10000000))",
    "user namespace by clone": "check(libc.syscall(56 if x86 else 220, 0x10000011, 0, 0, 0, 0))",
    "mount": 'check(libc.mount(b"none", ws.encode(), b"tmpfs", 0, None))',
    "io_uring": "check(libc.syscall(425, 1, (ctypes.c_char * 120)()))",
    "userfaultfd": "check(libc.syscall(323 if x86 else 282, 0))",
    "shared memory": "check(libc.shmget(1234, 4096, 0o1600))",
    "message queue": "check(libc.syscall(240 if x86 else 180, b'mine', 0o102, 0o600, 0))",
    "input of a terminal": 'import fcntl\nfcntl.ioctl(0, 0x5412, b"x")',
    "keys": "check(libc.syscall(248 if x86 else 217, b'user', b'k', b'v', 1, -3))",
}
SOCKETS = {
    "TCP": "socket.socket().connect(('127.0.0.1', 9))",
    "TCP over IPv6": "socket.socket(socket.AF_INET6)",
    "UDP": "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', 9))",
    "raw": "socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)",
    "packet": "socket.socket(socket.AF_PACKET, socket.SOCK_RAW)",
    "netlink": "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
    "vsock": "socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)",
    "Unix datagrams": "socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)",
    "pair of datagrams": "socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)",
}


@pytest.mark.parametrize("name", FILES)
@on_loop
async def test_files_outside(places: Places, name: str) -> None:
    before = places.outer()
    outcome = await attempt(places, FILES[name])
    assert outcome.output.strip() in {"EACCES", "EPERM", "EXDEV"}, outcome
    assert places.outer() == before


@pytest.mark.parametrize("name", METADATA)
@on_loop
async def test_metadata_outside(places: Places, name: str) -> None:
    before = places.outer()
    null = os.stat("/dev/null").st_mode
    outcome = await attempt(places, METADATA[name])
    assert outcome.output.strip() in {"EACCES", "EPERM", "ENOSYS"}, outcome
    assert places.outer() == before
    assert os.stat("/dev/null").st_mode == null


@pytest.mark.parametrize("name", PROCESSES)
@on_loop
async def test_processes_outside(places: Places, name: str) -> None:
    outcome = await attempt(places, PROCESSES[name])
    assert outcome.output.strip() in {"EACCES", "EPERM", "ENOSYS"}, outcome


@pytest.mark.parametrize("name", SOCKETS)
@on_loop
async def test_sockets(places: Places, name: str) -> None:
    outcome = await attempt(places, SOCKETS[name])
    assert outcome.output.strip() == "EACCES", outcome


@pytest.mark.parametrize("name", ["TCP", "UDP"])
@on_loop
async def test_sockets_with_the_network_enabled(places: Places, name: str) -> None:
    outcome = await attempt(places, SOCKETS[name], network=True)
    assert outcome.output.strip() in {"ECONNREFUSED", "done"}, outcome


@needs_root
@pytest.mark.parametrize("kind", ["0o060000", "0o020000"])
@on_loop
async def test_device_nodes_cannot_be_made(places: Places, kind: str) -> None:
    outcome = await attempt(places, f"os.mknod('node', 0o600 | {kind}, os.makedev(7, 0))")
    assert outcome.output.strip() in {"EACCES", "EPERM"}, outcome
    assert not (places.ws / "node").exists()


@needs_root
@on_loop
async def test_a_super_user_keeps_few_capabilities(places: Places) -> None:
    async with Confined(BACKEND, places.policy()) as confined:
        outcome = await confined.shell("grep Cap /proc/self/status; grep NoNewPrivs /proc/self/status")
    lines = dict(line.split(":\t") for line in outcome.output.splitlines())
    assert lines.pop("NoNewPrivs") == "1"
    assert {int(value, 16) & ~0xFB for value in lines.values()} == {0}, lines


@pytest.fixture
def abstract() -> Iterator[str]:
    name = f"crossexec-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("\0" + name)
        server.listen()
        yield name


@pytest.mark.parametrize("network", [False, True])
@on_loop
async def test_abstract_sockets_outside(places: Places, abstract: str, network: bool) -> None:
    code = f"socket.socket(socket.AF_UNIX).connect('\\0{abstract}')"
    outcome = await attempt(places, code, network=network)
    assert outcome.output.strip() in {"EACCES", "EPERM"}, outcome


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="an instruction of x86")
@on_loop
async def test_calls_of_32_bits_end_the_process(places: Places) -> None:
    # getpid by `int 0x80`, which has the numbers of another architecture.
    code = """
import mmap
page = mmap.mmap(-1, 4096, prot=7)
page.write(bytes([0xB8, 20, 0, 0, 0, 0xCD, 0x80, 0xC3]))
address = ctypes.addressof(ctypes.c_char.from_buffer(page))
ctypes.CFUNCTYPE(ctypes.c_int)(address)()
"""
    outcome = await attempt(places, code)
    assert (outcome.code, outcome.output) == (128 + 31, "")


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="a numbering of x86")
@on_loop
async def test_calls_of_x32_do_not_exist(places: Places) -> None:
    outcome = await attempt(places, 'check(libc.syscall(0x40000000 | 90, (out + "/file").encode(), 0o777))')
    assert outcome.output.strip() == "ENOSYS"


WORK = {
    "git": "git init -q a && cd a && echo x >f && git add f"
    " && git -c user.email=a@b -c user.name=n commit -qm x"
    " && git clone -q . ../b && git -C ../b status --porcelain && cat ../b/f",
    "tar": "mkdir d && echo x >d/f && chmod 751 d/f && touch -d 2001-02-03 d/f && tar cpf t.tar d && rm -r d"
    " && tar xpf t.tar && test $(stat -c %a d/f) = 751 && test $(stat -c %Y d/f) = $(date -d 2001-02-03 +%s)",
    "cp": "echo x >f && chmod 705 f && mkdir d && ln -s ../f d/l && cp -a d e && cp -a f e/ && test -L e/l"
    " && test $(stat -c %a e/f) = 705",
    "chmod": "touch f && chmod 4711 f && test $(stat -c %a f) = 4711 && chmod -R u+rwX,go= .",
    "touch": "touch a && touch -r /etc/passwd a && test $(stat -c %Y a) = $(stat -c %Y /etc/passwd)",
    "install": "echo x >f && install -m 750 f g && test $(stat -c %a g) = 750",
    "sqlite3": "sqlite3 db 'pragma journal_mode=wal; create table t(x); insert into t values (1)'"
    " && sqlite3 db 'select x from t'",
    "ssh-keygen": "ssh-keygen -q -t ed25519 -N '' -f key && test $(stat -c %a key) = 600",
    "make": "for i in 1 2 3 4 5 6 7 8; do printf 'f%s:\\n\\techo $@ >$@; chmod 640 $@\\n' $i; done >m"
    " && echo 'all: f1 f2 f3 f4 f5 f6 f7 f8' >>m && make -s -j4 -f m all && cat f8",
    "venv": f"{sys.executable} -m venv --without-pip v && v/bin/python -c 'print(1)'",
    "sh": "set -e; echo x >/dev/null 2>&1; echo y >>f; : >/dev/stdout; (sleep 0 & wait); mktemp -p .",
    "setfattr": f"touch f && {sys.executable} -c 'import os; os.setxattr(\"f\", \"user.a\", b\"v\");"
    " assert os.getxattr(\"f\", \"user.a\") == b\"v\"; os.removexattr(\"f\", \"user.a\")'",
}  # fmt: skip


@pytest.mark.parametrize("name", WORK)
@on_loop
async def test_normal_programs_work(places: Places, name: str) -> None:
    if name not in ("sh", "venv", "setfattr") and shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    async with Confined(BACKEND, places.policy()) as confined:
        home = {"HOME": str(places.ws), "TMPDIR": str(places.ws)}
        outcome = await confined.shell(WORK[name], cwd=places.ws, env=home)
    assert outcome.code == 0, outcome
    assert outcome.evidence is None, outcome


@needs_root
@on_loop
async def test_owners_can_be_changed_inside(places: Places) -> None:
    async with Confined(BACKEND, places.policy()) as confined:
        outcome = await confined.shell(
            "touch f && ln -s f l && chown 1:2 f && chown -h 3:4 l && stat -c %u:%g f l", cwd=places.ws
        )
    assert outcome.output.split() == ["1:2", "3:4"], outcome


@on_loop
async def test_a_terminal_works(places: Places) -> None:
    async with Confined(BACKEND, places.policy()) as confined:
        outcome = await confined.run(["/bin/sh", "-c", "tty && stty size && echo hello >/dev/tty"], tty=True)
    assert outcome.code == 0, outcome
    assert outcome.output.split()[1:] == ["24", "80", "hello"], outcome


@on_loop
async def test_a_policy_that_lets_little_be_read(places: Places) -> None:
    readable = [
        Path(name) for name in ("/usr", "/lib", "/lib64", "/bin", "/etc") if not Path(name).is_symlink()
    ]
    rules = [Rule(path, Access.READ) for path in readable if path.exists()]
    policy = make_policy([*rules, Rule(places.ws, Access.WRITE), Rule(Path("/nothing/there"), Access.READ)])
    async with Confined(BACKEND, policy) as confined:
        good = await confined.shell("cat /etc/passwd /dev/null >/dev/null; echo x >f; cat f", cwd=places.ws)
        bad = await confined.shell(f"cat {places.out}/file", cwd=places.ws)
    assert (good.output, good.evidence) == ("x\n", None)
    assert bad.code == 1 and "kept" not in bad.output
    assert bad.evidence is not None and bad.evidence.target == str(places.out / "file")


@on_loop
async def test_where_everything_may_be_written_only_the_rest_is_watched(places: Places) -> None:
    policy = make_policy([Rule(Path("/"), Access.WRITE)])
    async with Confined(BACKEND, policy) as confined:
        outcome = await confined.shell(f"chmod 751 {places.out}/file && echo x >{places.out}/new")
        assert (outcome.code, outcome.evidence) == (0, None), outcome
        outcome = await confined.python("import socket; socket.socket()")
    assert outcome.evidence is not None and outcome.evidence.operation == "socket"


def test_what_it_lacks(places: Places) -> None:
    assert BACKEND.lacks(places.policy()) is None
    carved = make_policy([*places.policy().rules, Rule(places.ws / ".git", Access.READ)])
    assert str(places.ws / ".git") in str(BACKEND.lacks(carved))
    assert "pattern" in str(
        BACKEND.lacks(make_policy(places.policy().rules, denied_patterns=["/ws/**/.env"]))
    )


@on_loop
async def test_a_place_that_has_become_a_link_is_refused(places: Places) -> None:
    policy = places.policy()
    shutil.rmtree(places.ws)
    with pytest.raises(ValueError, match="is not there"):
        BACKEND.confine(policy)
    places.ws.symlink_to(places.out)
    with pytest.raises(ValueError, match="symbolic link"):
        BACKEND.confine(policy)


@on_loop
async def test_nothing_is_left_of_a_confinement(places: Places) -> None:
    BACKEND.confine(places.policy()).close()
    before = len(os.listdir("/proc/self/fd")), threading.active_count()
    for _ in range(20):
        BACKEND.confine(places.policy()).close()
    assert (len(os.listdir("/proc/self/fd")), threading.active_count()) == before


@pytest.mark.parametrize("found", [0, 3, 5])
def test_an_old_kernel_is_not_served(monkeypatch: pytest.MonkeyPatch, found: int) -> None:
    monkeypatch.setattr(landlock, "version", lambda: found)
    assert "Linux 6.12" in str(BACKEND.missing())


def test_access_by_text_agrees_with_the_policy(places: Places) -> None:
    policy = make_policy(
        [Rule(Path("/a"), Access.READ), Rule(Path("/a/b"), Access.WRITE), Rule(Path("/a/b/c"), Access.NONE)]
    )
    access = access_of(policy)
    for text in ("/", "/a", "/ab", "/a/x", "/a/b", "/a/bx", "/a/b/x/y", "/a/b/c", "/a/b/c/d", "/z"):
        assert access(text) == policy.access(Path(text)), text


INTO_THE_EXECUTOR = """
import ctypes, fcntl, os, signal, socket, sys, termios
executor = int(sys.argv[1])
libc = ctypes.CDLL(None, use_errno=True)

def call(*arguments):
    if libc.syscall(*map(ctypes.c_long, arguments)) < 0:
        raise OSError(ctypes.get_errno(), "")

def owned(*how):
    one, other = socket.socketpair()
    if len(how) == 1:
        fcntl.fcntl(one, fcntl.F_SETOWN, *how)
    elif how[0] == 15:
        fcntl.fcntl(one, 15, b"".join(value.to_bytes(4, "little") for value in how[1:]))
    else:
        fcntl.ioctl(one, how[0], how[1].to_bytes(4, "little"))

NUMBERS = {"x86_64": (200, 234), "aarch64": (130, 131)}[os.uname().machine]
for name in os.listdir(f"/proc/{executor}/task"):
    thread = int(name)
    ways = {
        "kill": lambda: os.kill(thread, 0),
        "tkill": lambda: call(NUMBERS[0], thread, 0),
        "tgkill": lambda: call(NUMBERS[1], executor, thread, 0),
        "open": lambda: signal.pidfd_send_signal(os.pidfd_open(thread, os.O_EXCL), 0),
        "directory": lambda: signal.pidfd_send_signal(os.open(f"/proc/{thread}", os.O_RDONLY), 0),
        "affinity": lambda: os.sched_setaffinity(thread, os.sched_getaffinity(0)),
    }
    if thread == int(sys.argv[2]):
        # Anybody can be made the owner, but Landlock knows whom of the others no signal may be sent to.
        ways["owner"] = lambda: owned(thread)
        ways["owner in memory"] = lambda: owned(15, 0, thread)
        ways["owner of a socket"] = lambda: owned(0x8901, thread)
    for place in (f"/proc/{executor}/task/{thread}", f"/proc/{thread}"):
        for file, flags in (("mem", 0), ("mem", os.O_RDWR), ("environ", 0), ("maps", 0), ("auxv", 0)):
            ways[f"{place}/{file} {flags}"] = lambda path=f"{place}/{file}", flags=flags: os.open(path, flags)
        ways[f"{place}/fd/0"] = lambda path=f"{place}/fd/0": os.readlink(path)
        ways[f"{place}/root"] = lambda path=f"{place}/root": os.listdir(path)
        ways[f"{place}/cwd"] = lambda path=f"{place}/cwd": os.readlink(path)
    for way, attempt in ways.items():
        try:
            attempt()
        except OSError:
            continue
        print("came through:", way)
print("tried")
"""


@pytest.mark.parametrize("everywhere", [False, True])
@pytest.mark.parametrize("network", [False, True])
@on_loop
async def test_the_executor_is_not_reached_through_the_thread_that_starts_programs(
    places: Places, everywhere: bool, network: bool
) -> None:
    rules = [Rule(Path("/"), Access.READ), Rule(places.ws, Access.WRITE)]
    if everywhere:
        rules = [Rule(Path("/"), Access.WRITE)]
    policy = make_policy(rules, network=network and not everywhere)
    async with Confined(BACKEND, policy) as confined:
        assert isinstance(confined.confinement, LandlockConfinement)
        thread = confined.confinement.thread
        argv = [sys.executable, "-I", "-S", "-c", INTO_THE_EXECUTOR, str(os.getpid()), str(thread)]
        outcome = await confined.run(argv, cwd=places.ws)
    assert (outcome.code, outcome.output) == (0, "tried\n")
