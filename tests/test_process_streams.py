"""Standard streams of processes on POSIX: pipes, terminals, holding back, resizing, interrupting."""

from __future__ import annotations

import asyncio
import gc
import io
import os
import sys
from pathlib import Path

import pytest

from tests.support.recorder import Lab, fifo, lab_test
from tests.support.watch import SECONDS, forget_peak, peak_resident_bytes, resident_bytes

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the POSIX backend")

MIB = 1024 * 1024


@lab_test
async def test_without_a_pipe_stdin_is_the_null_device(lab: Lab) -> None:
    run = await lab.run("/bin/sh", "-c", "readlink /proc/self/fd/0; cat")
    assert (run.exit_code, run.text) == (0, "/dev/null\n")
    other = lab.start("sleep", "100")
    with pytest.raises(BrokenPipeError):
        other.child.write(b"x")
    other.child.close_stdin()


@lab_test
async def test_stdout_and_stderr_are_apart_and_whole(lab: Lab) -> None:
    run = await lab.run("/bin/sh", "-c", "seq 200000; seq 100000 >&2; exit 7")
    assert run.exit_code == 7
    assert run.text == "".join(f"{number}\n" for number in range(1, 200_001))
    assert bytes(run.streams["stderr"]).count(b"\n") == 100_000
    assert not run.streams["pty"]


@lab_test
async def test_what_is_written_arrives_whatever_its_size(lab: Lab) -> None:
    cat = lab.start("cat", pipe_stdin=True)
    data = os.urandom(5 * MIB)
    for at in range(0, len(data), 100_003):
        cat.child.write(data[at : at + 100_003])
    cat.child.write(b"")
    cat.child.close_stdin()
    assert await cat.until_over() == 0
    assert bytes(cat.streams["stdout"]) == data
    with pytest.raises(BrokenPipeError):
        cat.child.write(b"x")


@lab_test
async def test_a_writer_waits_for_a_slow_reader(lab: Lab, tmp_path: Path) -> None:
    gate = fifo(f"{tmp_path}/gate")
    slow = lab.shell(f"read x < {gate}; wc -c", pipe_stdin=True)
    assert slow.child.write(b"x" * 100_000) is None, "there is room for this"
    room = slow.child.write(b"x" * 2 * MIB)
    assert room is not None
    assert slow.child.write(b"x") is room, "all wait for the same room"
    assert not room.done()
    Path(gate).write_text("go\n")
    async with asyncio.timeout(SECONDS):
        await room
    slow.child.close_stdin()
    assert await slow.until_over() == 0
    assert int(slow.text) == 100_000 + 2 * MIB + 1


@lab_test
@pytest.mark.parametrize("end", ["exec <&-; echo shut; read x < {gate}", "exit 3"])
async def test_whoever_waits_to_write_is_told_when_the_reader_goes(
    lab: Lab, tmp_path: Path, end: str
) -> None:
    gate, hold = fifo(f"{tmp_path}/gate"), fifo(f"{tmp_path}/hold")
    reader = lab.shell(f"read x < {hold}; {end.format(gate=gate)}", pipe_stdin=True)
    room = reader.child.write(b"x" * 3 * MIB)
    assert room is not None
    Path(hold).write_text("go\n")
    async with asyncio.timeout(SECONDS):
        await room
    with pytest.raises(BrokenPipeError):
        reader.child.write(b"x")
    reader.child.close_stdin()


@lab_test
async def test_a_child_that_shuts_its_stdin_is_found_out_by_the_next_write(lab: Lab, tmp_path: Path) -> None:
    gate = fifo(f"{tmp_path}/gate")
    child = lab.shell(f"exec <&-; echo shut; read x < {gate}", pipe_stdin=True)
    await child.until_text("shut")
    with pytest.raises(BrokenPipeError):
        child.child.write(b"x")
    Path(gate).write_text("\n")
    assert await child.until_over() == 1 or child.exit_code == 0


@lab_test
async def test_a_terminal_as_all_three_streams(lab: Lab) -> None:
    script = "for fd in 0 1 2; do test -t $fd || exit 9; done; stty size; tty; read line; echo got:$line"
    run = lab.shell(script, tty=True)
    await run.until_text("/dev/pts/")
    assert run.child.write(b"hello\n") is None
    assert await run.until_over() == 0
    lines = run.text.splitlines()
    assert lines[0] == "24 80"
    assert lines[2:] == ["hello", "got:hello"], "echoed, then read"
    with pytest.raises(io.UnsupportedOperation, match="x04"):
        run.child.close_stdin()


@lab_test
async def test_a_terminal_ends_input_by_its_character(lab: Lab) -> None:
    run = lab.start("cat", tty=True)
    run.child.write(b"line\n")
    await run.until_text("line\nline\n")
    run.child.write(b"\x04")
    assert await run.until_over() == 0


@lab_test
async def test_all_output_of_a_terminal_arrives(lab: Lab) -> None:
    expected = "".join(f"{number}\n" for number in range(1, 5001))
    runs = [lab.start("seq", "5000", tty=True) for _ in range(20)]
    for run in runs:
        assert await run.until_over() == 0
        assert run.text == expected


@lab_test
async def test_resize_reaches_the_foreground(lab: Lab) -> None:
    script = (
        "import os, signal\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGWINCH])\n"
        "print('ready', flush=True)\n"
        "while signal.sigwait([signal.SIGWINCH]): print(os.get_terminal_size(), flush=True)\n"
    )
    run = lab.start(sys.executable, "-S", "-c", script, tty=True)
    await run.until_text("ready")
    run.child.resize(50, 200)
    await run.until_text("columns=200, lines=50")
    run.child.resize(65535, 1)
    await run.until_text("columns=1, lines=65535")
    pipe = lab.start("sleep", "100")
    with pytest.raises(io.UnsupportedOperation, match="tty"):
        pipe.child.resize(1, 1)
    await run.child.terminate()
    await run.until_over()
    run.child.resize(2, 2)


@lab_test
@pytest.mark.parametrize("tty", [False, True])
async def test_interrupt_runs_the_handler_of_the_process(lab: Lab, tty: bool) -> None:
    handled = lab.shell(
        "trap 'echo caught; exit 42' INT; echo ready; while :; do sleep 100 & wait; done", tty=tty
    )
    plain = lab.shell("echo ready; exec sleep 100", tty=tty)
    for run in (handled, plain):
        await run.until_text("ready")
        run.child.interrupt()
    assert await handled.until_exited() == 42
    await handled.until_text("caught\n")
    assert await plain.until_over() == 130
    plain.child.interrupt()
    await handled.child.terminate()


@lab_test
async def test_interrupt_reaches_the_foreground_job_of_a_terminal_only(lab: Lab) -> None:
    # A shell with job control puts every job into a group of its own.
    script = (
        "set -m; echo ready; (trap 'echo job; exit 5' INT; echo up; sleep 100 & wait); echo code:$?; exit 6"
    )
    run = lab.start("bash", "--norc", "-c", script, tty=True)
    await run.until_text("up")
    run.child.interrupt()
    assert await run.until_exited() == 6
    assert "job\n" in await run.until_text("code:5\n")
    await run.child.terminate()


@lab_test
async def test_exit_is_told_before_the_last_holder_of_the_pipe_is_gone(lab: Lab, tmp_path: Path) -> None:
    gate = fifo(f"{tmp_path}/gate")
    run = lab.shell(f"(read x < {gate}; echo late) & echo early; exit 4")
    assert await run.until_exited() == 4
    await run.until_text("early")
    assert run.events == ["exited"]
    Path(gate).write_text("\n")
    assert await run.until_over() == 4
    assert (run.text, run.events) == ("early\nlate\n", ["exited", "closed"])


@lab_test
async def test_pipes_that_are_shut_early_close_before_the_exit(lab: Lab, tmp_path: Path) -> None:
    gate = fifo(f"{tmp_path}/gate")
    run = lab.shell(f"exec >&- 2>&-; read x < {gate}; exit 3")
    await run.until(lambda: run.events == ["closed"])
    Path(gate).write_text("\n")
    assert await run.until_over() == 3
    assert run.events == ["closed", "exited"]


@lab_test
async def test_a_paused_writer_blocks_and_costs_no_memory(lab: Lab) -> None:
    total = 200 * MIB
    run = lab.start("/bin/sh", "-c", f"head -c {total} /dev/zero; echo done >&2")
    counted = 0

    def count(stream: str, data: bytes) -> None:
        nonlocal counted
        counted += len(data)

    run.output = count  # type: ignore[method-assign]
    run.child.pause_output()
    run.child.pause_output()
    # The pipe is full as soon as this other program, which writes more than a pipe holds, is over.
    await lab.run("/bin/sh", "-c", "head -c 4000000 /dev/zero")
    assert counted == 0
    gc.collect()
    forget_peak(os.getpid())
    before = resident_bytes(os.getpid())
    run.child.resume_output()
    run.child.resume_output()
    assert await run.until_over() == 0
    assert counted == total + len("done\n")
    assert peak_resident_bytes(os.getpid()) - before < 32 * MIB


@lab_test
async def test_output_that_waits_is_still_there_after_the_exit(lab: Lab) -> None:
    run = lab.shell("echo kept; exit 2")
    run.child.pause_output()
    assert await run.until_exited() == 2
    assert run.text == ""
    assert run.events == ["exited"]
    run.child.resume_output()
    await run.until_over()
    assert run.text == "kept\n"


@lab_test
async def test_nothing_is_heard_after_release(lab: Lab, tmp_path: Path) -> None:
    gate = fifo(f"{tmp_path}/gate")
    for how in ({"pipe_stdin": True}, {"tty": True}):
        run = lab.shell(f"echo up; read x < {gate}; echo late", **how)
        await run.until_text("up")
        run.child.release()
        run.child.release()
        run.child.resume_output()
        run.child.pause_output()
        with pytest.raises(BrokenPipeError):
            run.child.write(b"x")
        if how.get("tty"):
            run.child.resize(3, 3)
        run.child.interrupt()
        await run.child.terminate()
        assert run.text == "up\n"
        assert "closed" not in run.events
