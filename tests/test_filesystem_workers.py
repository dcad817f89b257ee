"""Calls that block run beside the event loop and beside each other."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from executors.server.workers import Workers

needs_fifo = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="a call is made to hang on a FIFO")


def read_fifo(path: Path) -> bytes:
    """Hangs until a writer comes and goes."""
    return path.read_bytes()


def release_fifo(path: Path) -> None:
    """Ends the one call that reads it."""
    path.write_bytes(b"released")


def make_fifos(directory: Path, count: int) -> list[Path]:
    fifos = [directory / f"fifo{number}" for number in range(count)]
    for fifo in fifos:
        os.mkfifo(fifo)
    return fifos


def fail() -> None:
    raise FileNotFoundError("as the call said")


def test_result_and_error_come_back() -> None:
    async def main() -> None:
        workers = Workers()
        assert await workers.run(divmod, 7, 2) == (3, 1)
        assert await workers.run(int, "ff", base=16) == 255
        with pytest.raises(FileNotFoundError, match="as the call said"):
            await workers.run(fail)
        workers.close()

    asyncio.run(main())


def test_calls_run_off_the_loops_thread() -> None:
    async def main() -> None:
        workers = Workers()
        assert await workers.run(threading.get_ident) != threading.get_ident()
        workers.close()

    asyncio.run(main())


@needs_fifo
def test_stuck_calls_delay_no_other(tmp_path: Path) -> None:
    fifos = make_fifos(tmp_path, 7)

    async def main() -> None:
        workers = Workers(limit=8)
        stuck = [workers.submit(read_fifo, fifo) for fifo in fifos]
        answers = await asyncio.gather(*(workers.run(abs, -number) for number in range(100)))
        assert answers == list(range(100))
        assert not any(future.done() for future in stuck)
        for fifo in fifos:
            await workers.run(release_fifo, fifo)
        assert await asyncio.gather(*stuck) == [b"released"] * 7
        workers.close()

    asyncio.run(main())


@needs_fifo
def test_threads_are_limited(tmp_path: Path) -> None:
    fifos = make_fifos(tmp_path, 2)
    before = set(threading.enumerate())

    async def main() -> None:
        workers = Workers(limit=2)
        stuck = [workers.submit(read_fifo, fifo) for fifo in fifos]
        waiting = workers.submit(abs, -1)
        assert len(set(threading.enumerate()) - before) == 2
        release_fifo(fifos[0])
        assert await waiting == 1
        release_fifo(fifos[1])
        assert await asyncio.gather(*stuck) == [b"released"] * 2
        workers.close()

    asyncio.run(main())


@needs_fifo
def test_cancelled_call_that_waits_is_dropped(tmp_path: Path) -> None:
    [fifo] = make_fifos(tmp_path, 1)
    made = tmp_path / "made"

    async def main() -> None:
        workers = Workers(limit=1)
        stuck = workers.submit(read_fifo, fifo)
        dropped = workers.submit(made.mkdir)
        last = workers.submit(abs, -1)
        dropped.cancel()
        release_fifo(fifo)
        assert await stuck == b"released"
        assert await last == 1
        assert not made.exists()
        workers.close()

    asyncio.run(main())


@needs_fifo
def test_closing_waits_for_no_call_and_the_interpreter_for_no_thread(tmp_path: Path) -> None:
    [fifo] = make_fifos(tmp_path, 1)
    program = """
import asyncio, sys
from pathlib import Path
from executors.server.workers import Workers

async def main():
    workers = Workers()
    stuck = workers.submit(Path(sys.argv[1]).read_bytes)
    assert await workers.run(abs, -1) == 1
    workers.close()
    stuck.cancel()

asyncio.run(main())
print("ended")
"""
    root = Path(__file__).parents[1]
    ran = subprocess.run([sys.executable, "-c", program, fifo], cwd=root, capture_output=True, timeout=60)
    assert (ran.returncode, ran.stdout.strip(), ran.stderr) == (0, b"ended", b"")


def test_an_error_that_nobody_waits_for_is_no_noise() -> None:
    told: list[object] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context))
        workers = Workers()
        workers.submit(fail)
        strand = workers.strand()
        strand.submit(fail)
        assert await strand.submit(abs, -1) == 1
        workers.close()

    asyncio.run(main())
    gc.collect()
    assert told == []


def test_idle_threads_end_after_close() -> None:
    threads: list[threading.Thread] = []

    async def main() -> None:
        workers = Workers()
        threads.extend([await workers.run(threading.current_thread) for _ in range(3)])
        workers.close()
        with pytest.raises(RuntimeError, match="closed"):
            workers.submit(abs, -1)

    asyncio.run(main())
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()


def test_strand_keeps_the_order_and_runs_one_call_at_a_time() -> None:
    async def main() -> None:
        workers = Workers()
        strands = [workers.strand() for _ in range(4)]
        seen: list[list[int]] = [[] for _ in strands]
        running = [0] * len(strands)

        def step(number: int, place: int) -> bool:
            running[place] += 1
            seen[place].append(number)
            os.stat(".")  # Gives other threads a chance to run.
            running[place] -= 1
            return running[place] == 0

        calls = [
            strand.submit(step, number, place)
            for number in range(500)
            for place, strand in enumerate(strands)
        ]
        assert all(await asyncio.gather(*calls))
        assert seen == [list(range(500))] * len(strands)
        workers.close()

    asyncio.run(main())


def test_error_in_a_strand_does_not_end_it() -> None:
    async def main() -> None:
        workers = Workers()
        strand = workers.strand()
        failed, after = strand.submit(fail), strand.submit(abs, -1)
        assert await after == 1
        with pytest.raises(FileNotFoundError):
            await failed
        assert await strand.submit(abs, -2) == 2
        workers.close()

    asyncio.run(main())
