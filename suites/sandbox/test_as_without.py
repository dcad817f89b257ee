"""What a sandbox does not change: exit codes, output, input, signals, what a program is given."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any, Final

import pytest

from executors.protocol.errors import RpcError
from fixtures.programs import BoundPython, Result
from fixtures.workspace import Workspace
from harness.client.events import OutputEvent
from harness.client.sync import SyncProcess
from suites.process.programs import ON_INTERRUPT
from suites.sandbox.escapes import Escapes
from suites.sandbox.intents import EVERYTHING_READABLE, Json, at, intent
from suites.sandbox.outer import UNTIL_UNLOCKED
from suites.sandbox.scene import Scene


def simple(scene: Scene) -> Json:
    return intent(EVERYTHING_READABLE, at(scene / "inside", "write"))


def carved(scene: Scene) -> Json:
    return intent(
        EVERYTHING_READABLE,
        at(scene.home, "write"),
        at(scene / "outside", "read"),
    )


@pytest.fixture(params=[simple, carved], ids=["simple", "carved"])
def under(request: pytest.FixtureRequest, scene: Scene, carves: bool) -> Json:
    """An intent of each kind that may take another sandbox."""
    if request.param is carved and not carves:
        pytest.skip("the environment cannot take a part out of a place that may be written")
    sandbox: Json = request.param(scene)
    return sandbox


@pytest.fixture(params=[False, True], ids=["pipes", "tty"])
def tty(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.mark.parametrize("code", [0, 1, 2, 42, 77, 125, 126, 127, 128, 254, 255])
def test_exit_codes(python: BoundPython, under: Json, code: int) -> None:
    assert python.run(f"import os; os._exit({code})", check=False, sandbox=under).exit_code == code


@pytest.mark.parametrize("name", ["SIGTERM", "SIGKILL", "SIGSEGV", "SIGINT", "SIGPIPE"])
def test_deaths_by_signal(python: BoundPython, under: Json, name: str) -> None:
    code = "import os, signal\n"
    if name != "SIGKILL":
        code += f"signal.signal(signal.{name}, signal.SIG_DFL)\n"
    code += f"os.kill(os.getpid(), signal.{name})"
    plain = python.run(code, check=False).exit_code
    assert plain > 128
    assert python.run(code, check=False, sandbox=under).exit_code == plain


def test_output(python: BoundPython, under: Json) -> None:
    code = """
import os, sys
data = bytes(range(256)) * 2048
for start in range(0, len(data), 65536):
    os.write(1, data[start:start + 65536])
    os.write(2, data[start:start + 65536][::-1])
"""
    result = python.run(code, sandbox=under)
    data = bytes(range(256)) * 2048
    assert result.stdout == data
    assert result.stderr == b"".join(data[at : at + 65536][::-1] for at in range(0, len(data), 65536))


def test_input(python: BoundPython, under: Json) -> None:
    data = bytes(range(256)) * 4096
    code = "import hashlib, sys; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())"
    assert python.run(code, input=data, sandbox=under).text.strip() == hashlib.sha256(data).hexdigest()


def test_without_input_it_is_the_null_device(python: BoundPython, under: Json) -> None:
    assert python.run("import sys; print(len(sys.stdin.read()))", sandbox=under).text == "0\n"


def test_the_working_directory(python: BoundPython, scene: Scene, under: Json) -> None:
    result = python.run("import os; print(os.getcwd())", sandbox=under, cwd=scene / "inside")
    assert result.text.rstrip("\n") == scene.native("inside")


def test_arguments(python: BoundPython, under: Json) -> None:
    given = ["", "two words", "'\"$`\\", "ünïcödé", "--", "-c", "\n"]
    result = python.run("import json, sys; print(json.dumps(sys.argv[1:]))", *given, sandbox=under)
    assert json.loads(result.stdout) == given


def same(python: BoundPython, under: Json, code: str, **options: Any) -> tuple[Result, Result]:
    """Runs *code* without a sandbox, and in it."""
    return python.run(code, **options), python.run(code, sandbox=under, **options)


SAME: Final = {
    "environment": "import json, os; print(json.dumps(dict(sorted(os.environ.items()))))",
    "descriptors": """
import os
found = []
for fd in range(4096):
    try:
        os.fstat(fd)
        found.append(fd)
    except OSError:
        pass
print(found)
""",
    "user": "import os; print(os.getresuid(), os.getresgid(), sorted(os.getgroups()))",
    "limits": """
import resource
names = ("AS", "CORE", "CPU", "DATA", "FSIZE", "NOFILE", "STACK")
print([(name, resource.getrlimit(getattr(resource, "RLIMIT_" + name))) for name in names])
""",
    "signals": """
import signal
numbers = sorted(signal.valid_signals())
print(signal.pthread_sigmask(signal.SIG_BLOCK, []), [str(signal.getsignal(number)) for number in numbers])
""",
    "umask": "import os; print(os.umask(0))",
    "session": "import os; print(os.getsid(0) == os.getpid() or os.getsid(0) in (0, 1, os.getppid()))",
    "streams": "import os; print([os.isatty(fd) for fd in (0, 1, 2)])",
    "priority": "import os; print(os.getpriority(0, 0))",
}


@pytest.mark.parametrize("what", SAME)
def test_what_a_program_is_given(python: BoundPython, under: Json, what: str, tty: bool) -> None:
    plain, confined = same(python, under, SAME[what], tty=tty)
    assert confined.screen == plain.screen


def test_variables_of_its_own(python: BoundPython, under: Json) -> None:
    env = {"A": "1", "LD_LIBRARY_PATH": "/nowhere", "TMPDIR": "/tmp", "EMPTY": "", "ünï": "cödé"}
    plain, confined = same(python, under, SAME["environment"], env=env)
    assert confined.text == plain.text


def test_threads_pipes_and_children_work(python: BoundPython, under: Json) -> None:
    code = """
import subprocess, sys, threading
said = []
def run():
    child = subprocess.run([sys.executable, "-I", "-S", "-c", "print(6 * 7)"], capture_output=True)
    said.append(child.stdout)
threads = [threading.Thread(target=run) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(said == [b"42\\n"] * 8)
"""
    assert python.run(code, sandbox=under).text == "True\n"


def until(process: SyncProcess, text: bytes) -> None:
    data = b""
    for event in process.events():
        if isinstance(event, OutputEvent):
            data += event.data
            if text in data:
                return
    raise AssertionError(f"it has ended: {data!r}")


def test_interrupt(python: BoundPython, under: Json, tty: bool) -> None:
    with python.start(ON_INTERRUPT, sandbox=under, tty=tty) as process:
        until(process, b"ready")
        process.interrupt()
        until(process, b"handled")
        assert process.wait() == 7


def test_terminate(python: BoundPython, under: Json, tty: bool) -> None:
    code = "import os, time; os.write(1, b'ready\\n'); time.sleep(600)"
    with python.start(code, sandbox=under, tty=tty) as process:
        until(process, b"ready")
        assert process.terminate()
        assert process.wait() == 137


def test_a_terminal(python: BoundPython, under: Json) -> None:
    code = """
import os, sys
with open("/dev/tty", "w") as terminal:
    print(os.get_terminal_size(), os.ttyname(0) != "", file=terminal)
print(sys.stdin.readline())
"""
    with python.start(code, sandbox=under, tty=True) as process:
        until(process, b"True")
        process.write(b"typed\n")
        until(process, b"typed\r\n")
        assert process.wait() == 0


def test_a_program_that_is_not_there(python: BoundPython, under: Json) -> None:
    def error(**options: Any) -> RpcError:
        with pytest.raises(RpcError) as raised:
            python.run_argv(["/nowhere/program"], None, False, options)  # type: ignore[arg-type]
        return raised.value

    assert error(sandbox=under).code == error().code


LEAVE: Final = """
import fcntl, os, sys, time
lock, go, out, said = sys.argv[1:]
held = os.open(lock, os.O_RDWR | os.O_CREAT)
fcntl.flock(held, fcntl.LOCK_EX)
if os.fork():
    os.write(1, b"ready\\n")
    sys.exit(0)
os.setsid()
if os.fork():
    os._exit(0)
null = os.open(os.devnull, os.O_RDWR)
for fd in range(3):
    os.dup2(null, fd)
while not os.path.exists(go):
    time.sleep(0.01)
try:
    open(out, "x").close()
    word = "escaped"
except OSError:
    word = "kept"
with open(said + "-new", "w") as file:
    file.write(word)
os.rename(said + "-new", said)
time.sleep(600)
"""
"""Leaves a daemon that holds a lock and tries to write, once it is told to go."""

UNTIL_SAID: Final = """
import fcntl, os, sys, time
said, lock = sys.argv[1:]
fd = os.open(lock, os.O_RDWR)
while not os.path.exists(said):
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        time.sleep(0.01)
    else:
        break
print(open(said).read() if os.path.exists(said) else "gone")
"""


def test_what_outlives_a_program_is_confined_and_ends_with_the_session(
    connect: Callable[[], Any], python: BoundPython, workspace: Workspace, scene: Scene, under: Json,
    escapes: Escapes,
) -> None:  # fmt: skip
    names = [scene.native(name) for name in ("inside/lock", "inside/go", "outside/new", "inside/said")]
    other = connect()
    own = BoundPython(other, workspace, python.path)
    process = own.start(LEAVE, *names, sandbox=under)
    assert process.wait() == 0
    workspace.write("inside/go", b"")
    word = python.run(UNTIL_SAID, names[3], names[0]).text.strip()
    escapes.tried("by a daemon", escaped=word == "escaped" or workspace.exists("outside/new"))
    process.terminate()
    assert python.run(UNTIL_UNLOCKED, names[0], "60").text == "unlocked\n"
