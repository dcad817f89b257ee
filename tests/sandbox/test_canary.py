"""Canaries: what holds is offered, and what does not is found out, whatever it claims."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

if sys.platform != "linux":
    pytest.skip("these canaries are of Linux", allow_module_level=True)

import msgspec

from executors.process import SystemBackend
from executors.process.base import SpawnRequest
from executors.sandbox import interpreter
from executors.sandbox.backend import Confinement, Evidence, Proof, SandboxBackend
from executors.sandbox.bubblewrap_linux import BubblewrapBackend
from executors.sandbox.canary import prove
from executors.sandbox.landlock_backend_linux import LandlockBackend
from executors.sandbox.policy import Access, Policy, Rule, make_policy
from tests.sandbox.confined_linux import on_loop

LANDLOCK = LandlockBackend()
BUBBLEWRAP = BubblewrapBackend()
needs_landlock = pytest.mark.skipif(LANDLOCK.missing() is not None, reason=str(LANDLOCK.missing()))
needs_bubblewrap = pytest.mark.skipif(BUBBLEWRAP.missing() is not None, reason=str(BUBBLEWRAP.missing()))

# What keeps a program from these is no sandbox, but this machine or its lack of privileges.
NEEDS_PRIVILEGES = {
    *("trace a process", "trace the executor", "read memory of a process", "mount", "remount"),
    *("read memory of a process by call", "make a user namespace", "set up io_uring", "type into a terminal"),
    *("read by a descriptor of a process", "read by the root of a process", "write by the root of a process"),
    "change attributes",
}


class Nothing:
    """A sandbox that keeps nobody from anything; whatever else is wrong with it is put on top."""

    name = "nothing"
    sees_denials = False
    ways = 1

    def __init__(self) -> None:
        self.open = 0
        self.made = asyncio.Event()

    def missing(self) -> str | None:
        return None

    def lacks(self, policy: Policy) -> str | None:
        return None

    def confine(self, policy: Policy) -> Confinement:
        self.open += 1
        self.made.set()
        return self

    def wrap(self, request: SpawnRequest) -> SpawnRequest:
        return request

    def start(self, spawn: Callable[[], int]) -> int:
        return spawn()

    def evidence(self, pid: int) -> Evidence | None:
        return None

    def close(self) -> None:
        self.open -= 1


async def put_to_the_test(sandbox: SandboxBackend, seconds: float = 60) -> Proof:
    processes = SystemBackend(asyncio.get_running_loop())
    try:
        return await prove(sandbox, processes=processes, seconds=seconds)
    finally:
        assert not processes.has_orphans()
        await processes.close()


@pytest.fixture(autouse=True)
def nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whatever comes of a canary: no file, no descriptor, no child."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = len(os.listdir("/proc/self/fd"))
    yield
    assert list(tmp_path.iterdir()) == []
    assert len(os.listdir("/proc/self/fd")) == before
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


@needs_landlock
@on_loop
async def test_landlock_holds() -> None:
    proof = await put_to_the_test(LANDLOCK)
    assert proof.holds, str(proof)
    tried = {attempt.name for attempt in proof.attempts}
    assert {
        "write",
        "change mode",
        "connect a Unix socket",
        "signal a process",
        "read a denied file",
    } <= tried
    # That it does not claim.
    assert "write into what is carved out" not in tried


@needs_bubblewrap
@on_loop
async def test_bubblewrap_holds() -> None:
    proof = await put_to_the_test(BUBBLEWRAP)
    assert proof.holds, str(proof)
    tried = {attempt.name for attempt in proof.attempts}
    assert {"remount", "write into what is carved out", "read what a pattern denies", "put"} <= tried


@on_loop
async def test_no_sandbox_at_all_is_found_out() -> None:
    sandbox = Nothing()
    proof = await put_to_the_test(sandbox)
    assert sandbox.open == 0
    assert not proof.holds
    held = {attempt.name for attempt in proof.attempts if attempt.held}
    # Everything that is tried is something that a program without a sandbox does.
    assert held <= NEEDS_PRIVILEGES | {"use an inherited descriptor"}
    assert "does not hold here: " in str(proof)
    assert "write (done, and it has changed)" in str(proof)
    assert len(proof.attempts) >= 38


class Odd(Nothing):
    """Does what it is told instead of running the program as it is."""

    def __init__(self, *command: str, error: Exception | None = None) -> None:
        super().__init__()
        self._command = list(command)
        self._error = error

    def wrap(self, request: SpawnRequest) -> SpawnRequest:
        if self._error is not None:
            raise self._error
        return msgspec.structs.replace(request, argv=[*self._command, *request.argv])


@pytest.mark.parametrize(
    ("sandbox", "reason"),
    [
        (Odd("/bin/false"), "a program in it ended with 1 before it could try anything: it said nothing"),
        (
            Odd("/bin/sh", "-c", "echo some words >&2; exit 3"),
            "a program in it ended with 3 before it could try anything: some words",
        ),
        (Odd("/nonexistent/program"), "it could not be tried: [Errno 2]"),
        (Odd(error=ValueError("no such thing")), "it could not be tried: no such thing"),
        (Odd(error=OSError(1, "no")), "it could not be tried: [Errno 1] no"),
    ],
)
@on_loop
async def test_a_sandbox_that_runs_nothing_is_of_no_use(sandbox: Odd, reason: str) -> None:
    proof = await put_to_the_test(sandbox)
    assert not proof.holds
    assert proof.reason.startswith(reason)
    assert sandbox.open == 0


@on_loop
async def test_one_that_hangs_is_given_up() -> None:
    sandbox = Odd("/bin/sh", "-c", "while :; do sleep 600 & wait; done")
    proof = await put_to_the_test(sandbox, seconds=1)
    assert str(proof) == "nothing: a program in it has not ended within 1 s"
    assert sandbox.open == 0


@on_loop
async def test_one_who_asked_and_goes_away_leaves_nothing() -> None:
    sandbox = Odd("/bin/sh", "-c", 'exec sleep 600 "$@"')
    task = asyncio.create_task(put_to_the_test(sandbox))
    await sandbox.made.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sandbox.open == 0


class Altered:
    """Landlock, with a change."""

    name = "landlock"
    sees_denials = True
    ways = 1

    def __init__(self, confine: Callable[[Policy], Confinement]) -> None:
        self._confine = confine

    def missing(self) -> str | None:
        return None

    def lacks(self, policy: Policy) -> str | None:
        return LANDLOCK.lacks(policy)

    def confine(self, policy: Policy) -> Confinement:
        return self._confine(policy)


@needs_landlock
@on_loop
async def test_one_that_keeps_programs_from_what_they_may_do() -> None:
    def too_much(policy: Policy) -> Confinement:
        only_reading = [Rule(rule.path, min(rule.access, Access.READ)) for rule in policy.rules]
        return LANDLOCK.confine(make_policy(only_reading, network=policy.network))

    proof = await put_to_the_test(Altered(too_much))
    assert str(proof) == "landlock: it keeps programs from what they may do: write inside (EACCES)"


@needs_landlock
@pytest.mark.parametrize(
    ("extra", "network", "escaped"),
    [
        # More is writable than the policy says.
        ({"outside": Access.WRITE}, False, {"write", "create", "change mode"}),
        # The network is there although it should not be.
        ({}, True, {"connect by TCP", "send by UDP", "connect a Unix socket"}),
    ],
)
@on_loop
async def test_one_that_lets_through_more_than_it_says(
    extra: dict[str, Access], network: bool, escaped: set[str]
) -> None:
    def too_little(policy: Policy) -> Confinement:
        rules = {rule.path: rule.access for rule in policy.rules}
        (inside,) = (path for path, access in rules.items() if access == Access.WRITE)
        rules |= {inside.parent / name: access for name, access in extra.items()}
        made = make_policy([Rule(path, access) for path, access in rules.items()], network=network)
        return LANDLOCK.confine(made)

    proof = await put_to_the_test(Altered(too_little))
    assert not proof.holds
    assert escaped <= {attempt.name for attempt in proof.attempts if not attempt.held}


@needs_landlock
@on_loop
async def test_one_that_sees_nothing_though_it_says_so() -> None:
    class Blind:
        """Passes everything on but evidence."""

        def __init__(self, real: Confinement) -> None:
            self._real = real

        def wrap(self, request: SpawnRequest) -> SpawnRequest:
            return self._real.wrap(request)

        def start(self, spawn: Callable[[], int]) -> int:
            return self._real.start(spawn)

        def close(self) -> None:
            self._real.close()

        def evidence(self, pid: int) -> Evidence | None:
            return None

    proof = await put_to_the_test(Altered(lambda policy: Blind(LANDLOCK.confine(policy))))
    assert str(proof) == "landlock: it does not see what it keeps programs from, though it says so"


@on_loop
async def test_descriptors_that_come_along_are_found() -> None:
    class Leaking(Nothing):
        def start(self, spawn: Callable[[], int]) -> int:
            fd = os.open("/etc/passwd", os.O_RDONLY)
            try:
                os.set_inheritable(fd, True)
                return spawn()
            finally:
                os.close(fd)

    proof = await put_to_the_test(Leaking())
    (found,) = (one for one in proof.attempts if one.name == "use an inherited descriptor")
    assert not found.held


@on_loop
async def test_without_an_interpreter_it_is_said() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "_base_executable", "/nonexistent/python")
        proof = await put_to_the_test(Nothing())
    assert proof.reason == (
        "it could not be tried: this program has no Python interpreter of its own to start "
        "(/nonexistent/python)"
    )


@on_loop
async def test_where_nothing_can_be_written() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", "/nonexistent")
        proof = await put_to_the_test(Nothing())
    assert proof.reason.startswith("it could not be tried: [Errno 2]")


def test_the_interpreter_inside_has_little_of_our_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "x")
    monkeypatch.setenv("LD_LIBRARY_PATH", "/lib")
    assert interpreter.environment() == {"LD_LIBRARY_PATH": "/lib"}
