"""A client that does not read stops the writer, and nothing is lost when it reads again."""

from collections.abc import Callable

import pytest

from fixtures.programs import BoundPython
from fixtures.wire import Wire
from fixtures.workspace import Workspace
from suites.process.conversation import Conversation

MEBIBYTE = 1024 * 1024
TOTAL = 128  # MiB: far more than all buffers on the way hold.

# Writes numbered blocks of 64 KiB and notes in a file how many it could write.
WRITE_AND_NOTE = """
import os, sys
stream = int(sys.argv[2])
with open("progress", "wb", buffering=0) as progress:
    for number in range(int(sys.argv[1]) * 16):
        block = memoryview(b"%015d\\n" % number * 4096)
        while block:
            block = block[os.write(stream, block):]
        os.lseek(progress.fileno(), 0, 0)
        progress.write(b"%08d" % (number + 1))
"""

# Prints the progress once there is some and it has not changed for a second, or is complete.
UNTIL_STILL = """
import sys, time
last, since = b"", time.monotonic()
while not last or time.monotonic() - since < 1:
    with open("progress", "rb") as progress:
        now = progress.read()
    if now != last:
        last, since = now, time.monotonic()
    if int(now or 0) == int(sys.argv[1]) * 16:
        break
    time.sleep(0.02)
print(int(last or 0))
"""


def expected() -> bytes:
    return b"".join(b"%015d\n" % number * 4096 for number in range(TOTAL * 16))


def unread(open_wire: Callable[[], Wire], workspace: Workspace) -> Conversation:
    """A connection that is read only when something is asked of it; there is no progress yet."""
    workspace.write("progress", b"")
    wire = open_wire()
    wire.handshake()
    return Conversation(wire, workspace.uri)


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_the_writer_stops_and_goes_on(
    open_wire: Callable[[], Wire], python: BoundPython, workspace: Workspace, stream: str
) -> None:
    slow = unread(open_wire, workspace)
    slow.start("p", python.argv(WRITE_AND_NOTE, str(TOTAL), {"stdout": "1", "stderr": "2"}[stream]))
    # From here on nobody reads that connection; the program is watched through another.
    blocks = int(python.run(UNTIL_STILL, str(TOTAL)).text)
    assert 0 < blocks < TOTAL * 16, "the writer was not held back"
    told = slow.finish("p")
    assert [event.seq for event in told] == list(range(1, len(told) + 1))
    assert slow.output("p", stream) == expected()
    assert slow.until("exited", "p").exit_code == 0


def test_another_connection_is_not_held_back(
    open_wire: Callable[[], Wire], python: BoundPython, workspace: Workspace
) -> None:
    slow = unread(open_wire, workspace)
    slow.start("p", python.argv(WRITE_AND_NOTE, str(TOTAL), "1"))
    assert 0 < int(python.run(UNTIL_STILL, str(TOTAL)).text) < TOTAL * 16
    big = python.run(f"import sys; sys.stdout.buffer.write(b'x' * {8 * MEBIBYTE})")
    assert len(big.stdout) == 8 * MEBIBYTE
    assert slow.call("process/terminate", processId="p") == {"running": True}
    slow.finish("p")


def test_a_process_that_is_held_back_can_be_killed(
    open_wire: Callable[[], Wire], python: BoundPython, workspace: Workspace
) -> None:
    slow = unread(open_wire, workspace)
    slow.start("p", python.argv(WRITE_AND_NOTE, str(TOTAL), "1"))
    assert 0 < int(python.run(UNTIL_STILL, str(TOTAL)).text) < TOTAL * 16
    assert slow.call("process/terminate", processId="p") == {"running": True}
    told = slow.finish("p")
    assert [event.seq for event in told] == list(range(1, len(told) + 1))
    assert expected().startswith(slow.output("p"))
