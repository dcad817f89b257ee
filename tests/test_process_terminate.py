"""Killing a process and all that it started (Linux: whatever it did to get away)."""

from __future__ import annotations

import asyncio
import os
import resource
import sys
from pathlib import Path

import pytest

from executors.process import posix, tree_linux
from executors.process.posix import PosixBackend
from tests.support import daemon
from tests.support.recorder import Lab, Recorder, fifo, lab_test
from tests.support.watch import SECONDS, Watched, children, holdings

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and a subreaper")


def start_daemon(lab: Lab, kind: str, count: int, *more: str, tty: bool = False) -> Recorder:
    return lab.start(sys.executable, "-S", str(daemon.__file__), kind, str(count), *more, tty=tty)


def all_ended(watched: list[Watched]) -> bool:
    ended = [one.has_ended() for one in watched]
    for one in watched:
        one.close()
    return all(ended)


@lab_test
@pytest.mark.parametrize("tty", [False, True])
@pytest.mark.parametrize("leader", ["stays", "exit"])
@pytest.mark.parametrize("kind", ["daemon", "grandchild", "stubborn"])
async def test_nothing_of_the_tree_is_left(lab: Lab, kind: str, leader: str, tty: bool) -> None:
    run = start_daemon(lab, kind, 3, *(["exit"] if leader == "exit" else []), tty=tty)
    watched = await run.pids(3)
    if leader == "exit":
        assert await run.until_exited() == 0
    assert not any(one.has_ended() for one in watched)
    await run.child.terminate()
    # Not a moment later: when terminate returns, they are gone.
    assert all_ended(watched)
    assert run.exit_code == (0 if leader == "exit" else 137)
    assert children() == []
    await run.child.terminate()


@lab_test
async def test_a_tree_that_forks_without_pause(lab: Lab) -> None:
    run = start_daemon(lab, "forker", 2)
    watched = await run.pids(2)
    await run.child.terminate()
    assert all_ended(watched)
    assert children() == []


@lab_test
async def test_one_that_hops_from_child_to_child(lab: Lab) -> None:
    for _ in range(10):
        run = start_daemon(lab, "hopper", 3, "exit")
        await run.until_exited()
        await run.until(lambda run=run: run.text.count("\n") >= 3)  # type: ignore[misc]
        await run.child.terminate()
        # The hoppers hold the pipe open as long as one of them lives.
        await run.until_over()
        assert children() == []


@lab_test
async def test_one_that_ends_while_it_is_looked_at_hides_no_child(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = fifo(f"{tmp_path}/gate")
    run = lab.shell(f"(echo $(sh -c 'echo $PPID'); read x < {gate}; sleep 1000 & echo $!) & exit 0")
    await run.until_exited()
    [orphan] = await run.pids()
    look = tree_linux.descendants

    def ends_meanwhile(roots: list[int]) -> list[int]:
        if roots == [orphan.pid] and not orphan.has_ended():
            Path(gate).write_text("\n")
            assert orphan.has_ended(within=SECONDS)
        return look(roots)

    monkeypatch.setattr(tree_linux, "descendants", ends_meanwhile)
    await run.child.terminate()
    assert children() == []
    # Its child held the pipe.
    await run.until_over()
    assert run.text.count("\n") == 2
    orphan.close()


@lab_test
async def test_fifty_at_once(lab: Lab) -> None:
    runs = [lab.shell("sleep 1000 & setsid sleep 1000 & echo $!; echo $$; wait") for _ in range(50)]
    watched = [one for run in runs for one in await run.pids(2)]
    async with asyncio.timeout(SECONDS):
        await asyncio.gather(*(run.child.terminate() for run in runs))
    assert all_ended(watched)
    assert {await run.until_over() for run in runs} == {137}


@lab_test
async def test_only_the_tree_that_is_meant(lab: Lab) -> None:
    first, second = (start_daemon(lab, "daemon", 2, "exit") for _ in range(2))
    one, two = await first.pids(2), await second.pids(2)
    plain = lab.start("sleep", "1000")
    await first.until_exited()
    await second.until_exited()
    await first.child.terminate()
    assert all_ended(one)
    assert not any(watched.has_ended() for watched in two)
    assert plain.exit_code is None
    await second.child.terminate()
    assert all_ended(two)


@lab_test
async def test_terminating_twice_at_once_and_again(lab: Lab) -> None:
    run = lab.shell("sleep 1000 & wait")
    await asyncio.gather(*(run.child.terminate() for _ in range(5)))
    assert run.exit_code == 137
    await run.child.terminate()
    assert await run.until_over() == 137


@lab_test
async def test_one_that_gives_up_waiting_leaves_the_kill_in_place(lab: Lab) -> None:
    run = lab.start("sleep", "1000")
    task = asyncio.ensure_future(run.child.terminate())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await run.until_over() == 137
    assert not lab.backend._reaped_hooks


@lab_test
async def test_orphans_of_nobody_are_reaped(lab: Lab) -> None:
    run = lab.shell("setsid sh -c 'exit 0' & exit 0")
    await run.until_over()
    await lab.backend.until_reaped(lambda: children() == [])
    assert children() == []


@lab_test
async def test_when_every_descriptor_is_in_use(lab: Lab) -> None:
    runs = [start_daemon(lab, "daemon", 1, "exit"), lab.shell("sleep 1000 & echo $!; wait")]
    watched = [one for run in runs for one in await run.pids()]
    await runs[0].until_exited()
    limit = max(map(int, os.listdir("/proc/self/fd"))) + 1
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, before[1]))
    filled = []
    try:
        try:
            while True:
                filled.append(os.dup(0))
        except OSError:
            pass
        held = len(filled)
        for run in runs:
            await run.child.terminate()
        # What is free now is what the processes held.
        with pytest.raises(OSError, match="Too many open files"):
            for _ in range(20):
                filled.append(os.dup(0))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        for fd in filled:
            os.close(fd)
    assert held >= 0
    assert all_ended(watched)


def test_a_backend_gives_back_all_it_took() -> None:
    async def use() -> None:
        backend = PosixBackend(asyncio.get_running_loop())
        await backend.close()

    asyncio.run(use())
    before = holdings()
    asyncio.run(use())
    assert holdings() == before


@lab_test
async def test_the_error_names_what_does_not_go(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    run = lab.start("sleep", "1000")
    monkeypatch.setattr(posix, "_TERMINATE_SECONDS", 0.05)
    with monkeypatch.context() as patch:
        # No process of the tests can resist SIGKILL; one that sleeps in the kernel can.
        patch.setattr(tree_linux, "kill", lambda pid: None)
        with pytest.raises(TimeoutError, match=rf"not gone: {run.child.pid}$"):
            await run.child.terminate()
    monkeypatch.undo()
    await run.child.terminate()
    assert Path(f"/proc/{run.child.pid}").exists() is False
    assert children() == []
