"""The supervisor of system calls: what it does in a program's place, what it notes, and hardship."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

if sys.platform != "linux":
    pytest.skip("seccomp is of Linux", allow_module_level=True)

from executors.sandbox.backend import Evidence
from executors.sandbox.landlock_backend_linux import LandlockBackend, LandlockConfinement
from executors.sandbox.tracee_linux import Tracee
from tests.sandbox.confined_linux import Confined, Places, on_loop

BACKEND = LandlockBackend()
pytestmark = pytest.mark.skipif(BACKEND.missing() is not None, reason=str(BACKEND.missing()))
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only a super-user can become another")
TRIES = 2000


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(tmp_path)


SWAPPED_DIRECTORY = """
import os, sys, threading
out, tries = sys.argv[1], int(sys.argv[2])
os.mkdir("real"); open("real/file", "w"); os.symlink(out, "link"); os.symlink("real", "way")
# Or each call waits 5 ms for the thread that swaps.
sys.setswitchinterval(0.00005)
over = False
def swap():
    while not over:
        for target in ("real", "link"):
            os.symlink(target, "new"); os.rename("new", "way")
thread = threading.Thread(target=swap); thread.start()
done = denied = 0
for _ in range(tries):
    try:
        os.chmod("way/file", 0o777); done += 1
    except PermissionError:
        denied += 1
over = True; thread.join()
print(done, denied)
"""
SWAPPED_MEMORY = """
import ctypes, os, sys, threading
out, tries = sys.argv[1], int(sys.argv[2])
libc = ctypes.CDLL(None, use_errno=True)
inner, outer = os.path.abspath("file").encode(), (out + "/file").encode()
open("file", "w")
path = ctypes.create_string_buffer(inner, 4096)
sys.setswitchinterval(0.00005)
over = False
def swap():
    while not over:
        ctypes.memmove(path, outer, len(outer) + 1); ctypes.memmove(path, inner, len(inner) + 1)
thread = threading.Thread(target=swap); thread.start()
done = denied = 0
for _ in range(tries):
    if libc.chmod(path, 0o777) == 0: done += 1
    else: denied += 1
over = True; thread.join()
print(done, denied)
"""


@pytest.mark.parametrize("program", [SWAPPED_DIRECTORY, SWAPPED_MEMORY], ids=["directory", "memory"])
@on_loop
async def test_a_race_changes_nothing_outside(places: Places, program: str) -> None:
    before = os.stat(places.kept)
    async with Confined(BACKEND, places.policy) as confined:
        argv = [sys.executable, "-I", "-S", "-c", program, str(places.out), str(TRIES)]
        outcome = await confined.run(argv, cwd=places.ws)
    done, denied = map(int, outcome.output.split())
    # Both ways have been met, or the race was none.
    assert done and denied and done + denied == TRIES, outcome
    after = os.stat(places.kept)
    assert (after.st_mode, after.st_ctime_ns) == (before.st_mode, before.st_ctime_ns)


SAME_ERRORS = """
import ctypes, errno, os
libc = ctypes.CDLL(None, use_errno=True)
def show(name, result):
    print(name, errno.errorcode[ctypes.get_errno()] if result < 0 else "done")
os.umask(0o22)
open("file", "w"); os.mkdir("d"); os.symlink("nowhere", "dangling"); os.symlink("loop", "loop")
os.symlink("file", "link")
fd, d = os.open("file", os.O_RDONLY), os.open("d", os.O_RDONLY)
r, w = os.pipe()
show("null", libc.chmod(None, 0o600))
show("bad pointer", libc.chmod(ctypes.c_void_p(8), 0o600))
show("empty", libc.chmod(b"", 0o600))
show("missing", libc.chmod(b"nothing", 0o600))
show("dangling", libc.chmod(b"dangling", 0o600))
show("loop", libc.chmod(b"loop", 0o600))
show("below a file", libc.chmod(b"file/x", 0o600))
show("slash after a file", libc.chmod(b"file/", 0o600))
show("long name", libc.chmod(b"x" * 300, 0o600))
show("long path", libc.chmod(b"x/" * 3000, 0o600))
show("bad descriptor", libc.fchmod(999, 0o600))
show("closed", libc.fchmod(-1, 0o600))
show("bad directory", libc.fchmodat(999, b"file", 0o600, 0))
show("file as directory", libc.fchmodat(fd, b"file", 0o600, 0))
show("at", libc.fchmodat(d, b"../file", 0o604, 0))
show("pipe", libc.fchmod(r, 0o600))
show("memory", libc.fchmod(os.memfd_create("m"), 0o600))
show("bad flags", libc.fchownat(-100, b"file", -1, -1, 0x4000))
show("no change of owner", libc.chown(b"file", -1, -1))
show("owner of a link", libc.fchownat(-100, b"dangling", os.getuid(), -1, 0x100))
show("empty path", libc.fchownat(fd, b"", os.getuid(), -1, 0x1000))
show("link's mode", libc.syscall(452, -100, b"link", 0o600, 0x100))
class T(ctypes.Structure): _fields_ = [("s", ctypes.c_long), ("n", ctypes.c_long)]
show("omit", libc.utimensat(-100, b"file", (T * 2)(T(5, 6), T(0, (1 << 30) - 2)), 0))
show("bad time", libc.utimensat(-100, b"file", (T * 2)(T(5, 1 << 40), T(0, 0)), 0))
show("bad times", libc.utimensat(-100, b"file", ctypes.c_void_p(8), 0))
show("futimens", libc.futimens(fd, (T * 2)(T(0, (1 << 30) - 2), T(7, 8))))
show("bad microseconds", libc.utimes(b"file", (T * 2)(T(5, 10**6), T(0, 0))))
show("attribute", libc.setxattr(b"file", b"user.a", b"value", 5, 0))
show("attribute with bad flags", libc.setxattr(b"file", b"user.a", b"value", 5, ctypes.c_int(-(1 << 31))))
show("attribute made anew", libc.setxattr(b"file", b"user.a", b"value", 5, 1))
show("attribute without a name", libc.setxattr(b"file", b"", b"value", 5, 0))
show("attribute with a long name", libc.setxattr(b"file", b"user." + b"x" * 300, b"value", 5, 0))
show("large attribute", libc.setxattr(b"file", b"user.b", None, 65537, 0))
show("attribute from nowhere", libc.setxattr(b"file", b"user.b", ctypes.c_void_p(8), 5, 0))
show("attribute that is not there", libc.removexattr(b"file", b"user.zz"))
show("own descriptor", libc.chmod(b"/proc/self/fd/%d" % fd, 0o640))
show("own thread's descriptor", libc.chmod(b"/proc/thread-self/fd/%d" % fd, 0o641))
show("below own descriptor", libc.chmod(b"/dev/fd/%d/../file" % d, 0o645))
status = os.stat("file")
print(oct(status.st_mode), status.st_atime_ns, status.st_mtime_ns, os.getxattr("file", "user.a"))
"""


@on_loop
async def test_calls_end_as_without_a_supervisor(places: Places, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.mkdir()
    argv = [sys.executable, "-I", "-S", "-c", SAME_ERRORS]
    expected = subprocess.run(argv, cwd=plain, capture_output=True, text=True, check=True).stdout
    async with Confined(BACKEND, places.policy) as confined:
        outcome = await confined.run(argv, cwd=places.ws)
    assert outcome.output.splitlines() == expected.splitlines()
    assert outcome.evidence is None


OTHER_USER = """
import os
open("roots", "w"); open("others", "w"); os.chown("others", 65534, 65534); os.chmod(".", 0o777)
os.mkdir("shut"); open("shut/others", "w"); os.chown("shut/others", 65534, 65534); os.chmod("shut", 0o700)
os.setgroups([]); os.setgid(65534); os.setuid(65534)
os.chmod("others", 0o600)
for call, *arguments in (
    (os.chmod, "roots", 0o666), (os.chown, "others", 0, 0), (os.utime, "roots", (1, 1)),
    (os.chmod, "shut/others", 0o600),
):
    try:
        call(*arguments)
    except PermissionError:
        print("refused")
"""


def may_look_at_others() -> bool:
    """Whether this process has CAP_SYS_PTRACE: who changes its user can be looked at with it alone."""
    status = Path("/proc/self/status").read_text()
    return bool(int(status.partition("CapEff:")[2].split()[0], 16) >> 19 & 1)


@needs_root
@pytest.mark.skipif(not may_look_at_others(), reason="CAP_SYS_PTRACE is needed, as containers lack it")
@on_loop
async def test_a_program_that_became_another_user_has_no_more_rights_than_that(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    tmp_path.parent.chmod(0o755)
    tmp_path.parent.parent.chmod(0o755)
    places = Places(tmp_path)
    async with Confined(BACKEND, places.policy) as confined:
        outcome = await confined.run(["python3", "-I", "-S", "-c", OTHER_USER], cwd=places.ws)
    assert outcome.output.split() == ["refused"] * 4, outcome
    assert os.stat(places.ws / "others").st_mode & 0o777 == 0o600
    # And this process is who it was.
    (places.ws / "mine").write_text("")
    os.chown(places.ws / "mine", 1, 1)
    assert os.geteuid() == 0


CONNECT = """
import errno, socket, sys
with socket.socket(socket.AF_UNIX) as client:
    client.settimeout(None)
    try:
        client.connect(sys.argv[1])
    except OSError as error:
        print(errno.errorcode[error.errno])
    else:
        print(client.recv(100).decode())
"""


def listening(path: Path, backlog: int = 8) -> socket.socket:
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.listen(backlog)
    return server


@on_loop
async def test_unix_sockets_outside_cannot_be_connected(places: Places) -> None:
    (places.ws / "link").symlink_to(places.out / "socket")
    with listening(places.out / "socket") as server:
        server.setblocking(False)
        async with Confined(BACKEND, places.policy) as confined:
            for name in (str(places.out / "socket"), "../out/socket", "link"):
                argv = [sys.executable, "-I", "-S", "-c", CONNECT, name]
                outcome = await confined.run(argv, cwd=places.ws)
                assert outcome.output == "EACCES\n", outcome
                assert outcome.evidence == Evidence("connect", str(places.out / "socket"))
        with pytest.raises(BlockingIOError):
            server.accept()


SERVE_INSIDE = """
import os, socket, threading
server = socket.socket(socket.AF_UNIX); server.bind("socket"); server.listen()
client = socket.socket(socket.AF_UNIX); client.setblocking(False); client.connect("socket")
there, _ = server.accept(); there.sendall(b"hello")
client.setblocking(True); print(client.recv(9), client.getpeername())
try: client.sendmsg([b"x"], [], 0, "elsewhere")
except OSError as error: print(error.errno)
packets = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); packets.bind("packets"); packets.listen()
client2 = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); client2.connect("packets")
client2.send(b"one"); client2.send(b"two"); there2, _ = packets.accept(); print(there2.recv(99), client2.type)
for kind in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET):
    a, b = socket.socketpair(socket.AF_UNIX, kind); a.send(b"pair"); print(b.recv(9))
file = os.open("/dev/null", os.O_RDONLY)
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
address = b"\\x01\\x00socket\\x00"
for fd in (file, 999): libc.connect(fd, address, len(address)); print(ctypes.get_errno())
for size in (0, 2, 500): libc.connect(client.fileno(), address, size); print(ctypes.get_errno())
for name in ("nothing", "/dev/null"):
    try: socket.socket(socket.AF_UNIX).connect(name)
    except OSError as error: print(error.errno)
"""


def lend_no_descriptors(tracee: Tracee, number: int) -> int:
    raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))


@pytest.mark.parametrize("lends", [True, False], ids=["lent", "replaced"])
@on_loop
async def test_unix_sockets_inside_work(
    places: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lends: bool
) -> None:
    if not lends:
        # As the default filter of containers has it.
        monkeypatch.setattr(Tracee, "socket", lend_no_descriptors)
    plain = tmp_path / "plain"
    plain.mkdir()
    argv = [sys.executable, "-I", "-S", "-c", SERVE_INSIDE]
    expected = subprocess.run(argv, cwd=plain, capture_output=True, text=True, check=True).stdout
    async with Confined(BACKEND, places.policy) as confined:
        outcome = await confined.run(argv, cwd=places.ws)
    assert outcome.output == expected
    assert outcome.code == 0, outcome


TAKE_THE_NUMBER = """
import os, socket, subprocess
from pathlib import Path
from executors.sandbox.tracee_linux import Tracee
ours, theirs = socket.socketpair()
def start():
    return subprocess.Popen(["/bin/sleep", "600"], pass_fds=[theirs.fileno()])
first = start()
with Tracee(first.pid) as tracee:
    os.close(tracee.socket(theirs.fileno()))
    first.kill()
    first.wait()
    Path("/proc/sys/kernel/ns_last_pid").write_text(str(first.pid - 1))
    assert start().pid == first.pid
    try:
        tracee.socket(theirs.fileno())
    except (ProcessLookupError, FileNotFoundError):
        print("refused")
"""


@needs_root
@pytest.mark.skipif(shutil.which("unshare") is None, reason="there is no unshare")
def test_a_number_that_has_come_to_be_anothers_lends_no_socket() -> None:
    """Of two processes with a socket at the same descriptor, the second takes the first one's number."""
    # Nobody else takes numbers in a namespace of their own, and nobody else is given used ones.
    apart = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
    asked = [*apart, "test", "-w", "/proc/sys/kernel/ns_last_pid"]
    tried = subprocess.run(asked, capture_output=True, text=True)
    if tried.returncode:
        pytest.skip(f"numbers of processes cannot be chosen here: {tried.stderr}")
    command = [*apart, sys.executable, "-c", TAKE_THE_NUMBER]
    ran = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=60)
    assert (ran.stdout, ran.stderr) == ("refused\n", "")


@on_loop
async def test_a_connect_that_waits_holds_up_nobody_else(places: Places) -> None:
    program = """
import socket, threading
server = socket.socket(socket.AF_UNIX)
server.bind("socket")
server.listen(0)
first, second = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
first.connect("socket")
def serve():
    open("go").read()
    server.accept()[0].close()
    server.accept()[0].sendall(b"at last")
threading.Thread(target=serve).start()
second.connect("socket")
print(second.recv(100).decode())
"""
    os.mkfifo(places.ws / "go")
    async with Confined(BACKEND, places.policy) as confined:
        waiting = confined.start([sys.executable, "-I", "-S", "-c", program], cwd=places.ws)
        for _ in range(3):
            outcome = await confined.shell("touch f && chmod 600 f && echo went on", cwd=places.ws)
            assert outcome.output == "went on\n"
        go = await asyncio.get_running_loop().run_in_executor(None, os.open, places.ws / "go", os.O_WRONLY)
        os.close(go)
        assert (await waiting.outcome()).output == "at last\n"


@on_loop
async def test_a_socket_that_was_there_before_is_not_reached(places: Places) -> None:
    async with Confined(BACKEND, places.policy) as confined:
        with listening(places.ws / "socket", 5) as server:
            argv = [sys.executable, "-I", "-S", "-c", CONNECT, "socket"]
            outcome = await confined.run(argv, cwd=places.ws)
            assert outcome.output == "EACCES\n", outcome
            server.setblocking(False)
            with pytest.raises(BlockingIOError):
                server.accept()


@on_loop
async def test_threads_and_children_at_once(places: Places) -> None:
    program = """
import os, subprocess, threading
def work(number):
    for turn in range(40):
        name = f"f{number}"
        os.close(os.open(name, os.O_CREAT | os.O_WRONLY))
        os.chmod(name, 0o600 + number)
        os.utime(name, (turn, turn))
    subprocess.run(["/bin/sh", "-c", f"chmod 70{number} f{number}"], check=True)
threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(*[oct(os.stat(f"f{number}").st_mode & 0o777) for number in range(8)])
"""
    async with Confined(BACKEND, places.policy) as confined:
        outcome = await confined.python(program, cwd=places.ws)
    assert outcome.output.split() == [f"0o70{number}" for number in range(8)], outcome


@on_loop
async def test_signals_meanwhile(places: Places) -> None:
    program = """
import os, signal
signal.signal(signal.SIGALRM, lambda *_: None); signal.siginterrupt(signal.SIGALRM, False)
signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
open("f", "w")
for turn in range(500): os.chmod("f", 0o600 + turn % 8)
print(oct(os.stat("f").st_mode & 0o777))
"""
    async with Confined(BACKEND, places.policy) as confined:
        outcome = await confined.python(program, cwd=places.ws)
    assert outcome.output == "0o603\n", outcome


@on_loop
async def test_programs_that_are_killed_while_they_wait(places: Places) -> None:
    program = "import os\nopen('f', 'w')\nprint('ready', flush=True)\nwhile True: os.chmod('f', 0o600)"
    async with Confined(BACKEND, places.policy) as confined:
        for _ in range(10):
            running = [
                confined.start([sys.executable, "-I", "-S", "-c", program], cwd=places.ws) for _ in range(3)
            ]
            for one in running:
                await one.until_said(b"ready")
                os.kill(one.process.pid, signal.SIGKILL)
            for one in running:
                assert (await one.outcome()).code == 128 + signal.SIGKILL
        outcome = await confined.shell("chmod 611 f && stat -c %a f", cwd=places.ws)
    assert outcome.output == "611\n"


@on_loop
async def test_without_its_supervisor_nothing_is_allowed(places: Places) -> None:
    program = """
import errno, os, sys
open("f", "w"); print("ready", flush=True)
found = set()
while "ENOSYS" not in found:
    for name in ("f", sys.argv[1]):
        try: os.chmod(name, 0o666); found.add("done " + name)
        except OSError as error: found.add(errno.errorcode[error.errno])
found.clear()
for name in ("f", sys.argv[1]):
    for call in (lambda: os.chmod(name, 0o777), lambda: open(name, "w")):
        try: call(); found.add("done")
        except OSError as error: found.add(errno.errorcode[error.errno])
print(*found)
"""
    before = os.stat(places.kept)
    async with Confined(BACKEND, places.policy) as confined:
        assert isinstance(confined.confinement, LandlockConfinement)
        argv = [sys.executable, "-I", "-S", "-c", program, str(places.kept)]
        running = confined.start(argv, cwd=places.ws)
        await running.until_said(b"ready")
        confined.confinement.abandon()
        outcome = await running.outcome()
    assert outcome.output.split() == ["ready", "ENOSYS"], outcome
    assert os.stat(places.kept).st_ctime_ns == before.st_ctime_ns


@on_loop
async def test_code_on_the_confined_thread_gets_its_answers(places: Places) -> None:
    def spawn() -> int:
        # As a finalizer might that happens to run there; the event loop waits for the start meanwhile.
        (places.ws / "made").write_text("x")
        return os.posix_spawn("/bin/true", ["true"], {})

    confinement = BACKEND.confine(places.policy)
    try:
        pid = confinement.start(spawn)
        status = await asyncio.get_running_loop().run_in_executor(None, os.waitpid, pid, 0)
        assert status == (pid, 0)
        assert confinement.evidence(pid) is None
        with pytest.raises(FileNotFoundError):
            confinement.start(lambda: os.posix_spawn("/nothing/there", ["x"], {}))
    finally:
        confinement.close()
    assert (places.ws / "made").read_text() == "x"


@on_loop
async def test_a_sandbox_in_a_sandbox_gets_a_clear_refusal(places: Places) -> None:
    program = f"""
import sys
sys.path[:0] = {sys.path!r}
from executors.sandbox.landlock_backend_linux import LandlockBackend
print(LandlockBackend().missing())
"""
    async with Confined(BACKEND, places.policy) as confined:
        outcome = await confined.python(program, cwd=places.ws)
    assert "itself under a filter" in outcome.output, outcome
