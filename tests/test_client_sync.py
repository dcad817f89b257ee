"""The blocking client, the client over pipes, and the environments that bring an executor up."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from executors.protocol.environment import Empty
from executors.protocol.files import MAX_HANDLES_PER_CONNECTION
from executors.protocol.methods import ENVIRONMENT_STATUS
from harness.client import (
    CallTimeout,
    ClosedEvent,
    CommandFailed,
    Completed,
    ConnectFailed,
    OutputEvent,
    RecoveryOptions,
    RpcError,
    SessionLost,
    connect_stdio,
)
from harness.client.files import Files
from harness.client.process import Process
from harness.client.sync import (
    SyncClient,
    SyncFiles,
    SyncProcess,
    blocking_context,
    connect_sync,
    sync_client,
)
from harness.environments import ENVIRONMENTS, EnvironmentFailed, Running, Settings, make_environment
from harness.environments.local import LocalEnvironment
from harness.environments.url import UrlEnvironment

MIB = 1024 * 1024
ROOT = Path(__file__).resolve().parent.parent
PYTHON = [sys.executable, "-I", "-c"]
SLEEP = [*PYTHON, "import time; time.sleep(600)"]
COPY = [*PYTHON, "import shutil, sys; shutil.copyfileobj(sys.stdin.buffer, sys.stdout.buffer)"]
posix_only = pytest.mark.skipif(sys.platform == "win32", reason="signals and process ids of POSIX")


@pytest.fixture(scope="module")
def up() -> Iterator[Running]:
    with blocking_context(LocalEnvironment().start()) as running:
        yield running


@pytest.fixture
def client(up: Running) -> Iterator[SyncClient]:
    with sync_client(up.connect()) as client:
        yield client


def test_programs_run(client: SyncClient, up: Running) -> None:
    assert client.session_id
    assert client.url == up.url
    assert client.info.platform_os == up.platform
    assert client.call(ENVIRONMENT_STATUS, Empty()).status == "ready"
    assert client.run(COPY, input=b"text", timeout=60) == Completed(0, b"text", b"")
    with pytest.raises(CommandFailed):
        client.run([*PYTHON, "raise SystemExit(2)"], check=True)


def test_a_process_is_driven_event_by_event(client: SyncClient) -> None:
    with client.start(COPY, stdin=True) as process:
        process.write(b"ping")
        process.close_stdin()
        events = list(process)
    assert b"".join(event.data for event in events if isinstance(event, OutputEvent)) == b"ping"
    assert isinstance(events[-1], ClosedEvent)
    assert (process.wait(), process.exit_code, process.closed, process.argv) == (0, 0, True, COPY)


def test_a_timeout_names_the_call(client: SyncClient) -> None:
    with client.start(SLEEP) as process:
        with pytest.raises(CallTimeout, match=rf"wait on <Process {process.process_id} .*0\.05 s"):
            process.wait(timeout=0.05)
        with pytest.raises(CallTimeout, match="the next event on"):
            next(process.events(timeout=0.05))
        with pytest.raises(CallTimeout, match="communicate on"):
            process.communicate(timeout=0.05)
    with pytest.raises(CallTimeout, match=r"run\(\["):
        client.run(SLEEP, timeout=0.05)
    assert process.exit_code not in (None, 0)


def test_the_default_timeout_is_the_clients(up: Running) -> None:
    expected = pytest.raises(CallTimeout, match=r"did not finish within 0\.05 s")
    with connect_sync(up.url, timeout=0.05) as client, expected:
        client.start(SLEEP).wait()


def test_what_was_not_iterated_is_left_for_communicate(client: SyncClient) -> None:
    process = client.start([*PYTHON, "import os; os.write(1, b'out'); os.write(2, b'err')"])
    while not process.closed:
        client.call(ENVIRONMENT_STATUS, Empty())
    first = next(process.events())
    assert isinstance(first, OutputEvent)
    done = process.communicate()
    assert {first.data, done.stdout, done.stderr} == {b"out", b"err", b""}


def test_files(client: SyncClient, up: Running) -> None:
    file = up.workspace_root.join("sync")
    assert client.files.write_stream(file, iter([b"a" * MIB, b"b" * MIB, b"c"])) == 2 * MIB + 1
    assert [len(block) for block in client.files.stream(file)] == [MIB, MIB, 1]
    for block in client.files.stream(file):
        assert block == b"a" * MIB
        break
    # More than an executor lets be open at a time.
    for _ in range(MAX_HANDLES_PER_CONNECTION + 1):
        next(client.files.stream(file))
    with client.files.open_read(file) as reader:
        assert reader.read_block(2 * MIB, length=9) == (b"c", True)
    with client.files.open_replace(file) as writer:
        writer.write_block(0, b"new")
    assert client.files.read_file(path=file) == b"new"
    assert client.files.metadata(file).size == 3
    client.files.remove(file)
    with pytest.raises(RpcError):
        client.files.read_file(file)


def test_every_asynchronous_method_has_its_blocking_twin() -> None:
    """Whoever adds one there must add its line here."""
    internal = {"deliver", "fail", "next_events", "put_back"}
    for asynchronous, blocking in ((Files, SyncFiles), (Process, SyncProcess)):
        public = {name for name in vars(asynchronous) if not name.startswith("_")} - internal
        assert public <= set(dir(blocking)), asynchronous
    assert SyncFiles.read_file.__doc__ == Files.read_file.__doc__


def test_many_threads_share_the_loop(client: SyncClient) -> None:
    with ThreadPoolExecutor(8) as pool:
        jobs = [pool.submit(client.run, [*PYTHON, f"print({number})"]) for number in range(24)]
        assert [int(job.result().stdout) for job in jobs] == list(range(24))


def test_the_loop_ends_with_its_last_client() -> None:
    script = f"""
import threading
from harness.client.sync import blocking_context, sync_client
from harness.environments.local import LocalEnvironment
with blocking_context(LocalEnvironment().start()) as up, sync_client(up.connect()) as client:
    process = client.start({SLEEP!r})
assert process.exit_code not in (None, 0), process.exit_code
assert threading.active_count() == 1, threading.enumerate()
"""
    subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", script], check=True, cwd=ROOT, timeout=60
    )


@posix_only
def test_a_lost_executor_fails_the_waiting_call() -> None:
    with (
        pytest.raises(EnvironmentFailed, match="remains on local"),
        blocking_context(LocalEnvironment().start()) as up,
        connect_sync(up.url, recovery=RecoveryOptions(give_up_seconds=2)) as client,
    ):
        pid = int(client.run([*PYTHON, "import os; print(os.getppid())"]).stdout)
        # It ends by itself with the executor, which holds the other end of its input.
        process = client.start(COPY, stdin=True)
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(SessionLost, match=r"no close frame.*not resumed within 2 s.*ConnectionRefused"):
            process.wait()
    Path(up.workspace_root.to_native(up.platform)).rmdir()


# Over pipes


def test_an_executor_over_pipes() -> None:
    argv = [sys.executable, "-m", "executors", "--listen", "stdio"]
    with sync_client(connect_stdio(argv, cwd=str(ROOT))) as client:
        data = os.urandom(5 * MIB)
        assert client.run(COPY, input=data).stdout == data
        process = client.start(SLEEP)
    assert process.exit_code not in (None, 0)


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (["no-such-program-anywhere"], "cannot start"),
        ([*PYTHON, "print('hello')"], "unreadable message"),
        ([*PYTHON, "raise SystemExit(3)"], "it exited with 3|its output ended"),
    ],
)
def test_a_child_that_is_no_executor(argv: list[str], text: str) -> None:
    with pytest.raises(ConnectFailed, match=text), sync_client(connect_stdio(argv)):
        pass


# Environments


def test_the_table_of_environments() -> None:
    for name, make in ENVIRONMENTS.items():
        assert make(Settings()).name == name
        assert isinstance(make(Settings()).available().ok, bool)
    assert isinstance(make_environment("local"), LocalEnvironment)
    assert isinstance(make_environment("ws://127.0.0.1:1"), UrlEnvironment)
    with pytest.raises(ValueError, match=r"no environment 'locl': give one of .*local"):
        make_environment("locl")
    assert not UrlEnvironment("http://x").available()
    assert "ws://HOST:PORT" in str(UrlEnvironment("http://x").available())


@posix_only
def test_an_executor_and_its_workspace_end_with_their_environment() -> None:
    with blocking_context(LocalEnvironment().start()) as up:
        root = Path(up.workspace_root.to_native(up.platform))
        assert list(root.iterdir()) == []
        with sync_client(up.connect()) as client:
            pid = int(client.run([*PYTHON, "import os; print(os.getppid())"]).stdout)
            client.files.create_directory(up.workspace_root.join("left"))
        assert up.log is not None and up.log.exists()
        os.kill(pid, 0)
    assert not root.exists()
    assert not up.log.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_an_executor_elsewhere_is_attached_to_and_left_running(up: Running) -> None:
    with blocking_context(UrlEnvironment(up.url).start()) as attached:
        assert attached.workspace_root != up.workspace_root
        assert attached.is_remote
        with sync_client(attached.connect()) as client:
            client.files.write_file(attached.workspace_root.join("f"), b"")
    with sync_client(up.connect()) as client, pytest.raises(RpcError):
        client.files.metadata(attached.workspace_root)


@pytest.mark.parametrize(
    ("command", "text"),
    [
        ([*PYTHON, "import sys; sys.exit('broken: no luck')"], "exited with status 1"),
        ([*PYTHON, "print('welcome')"], "printed 'welcome' where its URL was due"),
        ([*PYTHON, "import sys; sys.stdout.write('x' * 100000)"], "first line is no URL"),
    ],
)
def test_an_executor_that_does_not_start_says_why(command: list[str], text: str) -> None:
    environment = LocalEnvironment(command=command)
    with pytest.raises(EnvironmentFailed, match=text) as error, blocking_context(environment.start()):
        pass
    if "luck" in command[-1]:
        assert "broken: no luck" in str(error.value)


@posix_only
def test_an_executor_ends_when_the_harness_is_killed(tmp_path: Path) -> None:
    script = """
import sys, time
from harness.client.sync import blocking_context, sync_client
from harness.environments.local import LocalEnvironment
with blocking_context(LocalEnvironment().start()) as up, sync_client(up.connect()) as client:
    print(client.run([sys.executable, "-c", "import os; print(os.getppid())"]).stdout.decode(), flush=True)
    time.sleep(600)
"""
    # Nobody is left to remove the workspace.
    environ = {**os.environ, "TMPDIR": str(tmp_path)}
    harness = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, env=environ, stdout=subprocess.PIPE)
    assert harness.stdout is not None
    executor = os.pidfd_open(int(harness.stdout.readline()))
    try:
        harness.kill()
        harness.wait()

        async def ended() -> None:
            gone = asyncio.Event()
            asyncio.get_running_loop().add_reader(executor, gone.set)
            async with asyncio.timeout(60):
                await gone.wait()

        asyncio.run(ended())
    finally:
        harness.stdout.close()
        os.close(executor)


@posix_only
def test_ctrl_c_while_something_is_entered_leaves_it_too() -> None:
    # Else the loop's thread would wait for ever to be told to leave it, and the program for the thread.
    script = """
import asyncio, contextlib, signal, threading
from harness.client.sync import blocking_context

seen = threading.Event()

def interrupt(number, frame):
    seen.set()
    raise KeyboardInterrupt

@contextlib.asynccontextmanager
async def outer():
    yield

@contextlib.asynccontextmanager
async def slow():
    try:
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        await asyncio.to_thread(seen.wait)
        yield
    finally:
        print("left")

signal.signal(signal.SIGINT, interrupt)
with blocking_context(outer()):
    try:
        with blocking_context(slow()):
            print("never entered here")
    except KeyboardInterrupt:
        print("interrupted")
"""
    result = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert (result.stdout, result.stderr) == ("left\ninterrupted\n", "")
