"""What an executor sends reaches a plain client at once."""

from __future__ import annotations

import time
from typing import Final

import pytest

from fixtures.wire import Wire
from fixtures.workspace import Workspace

_PROCESSES: Final = 300
_SECONDS: Final = 0.025
"""Less than a kernel may take to acknowledge what a program has read (RFC 1122, 4.2.3.2; Linux: 40 ms), and
far more than a program takes that does nothing."""


@pytest.mark.skip_if_target_windows("a program takes longer than that there")
def test_the_end_of_a_process_is_told_before_the_start_is_acknowledged(
    wire: Wire, workspace: Workspace
) -> None:
    """By Nagle's algorithm a small message waits for the acknowledgement of the one before."""
    seconds = []
    for number in range(_PROCESSES):
        params = {"argv": ["/bin/true"], "cwd": str(workspace.uri), "env": {}, "tty": False}
        wire.request("process/start", params | {"processId": f"p{number}"})
        begin = time.monotonic()
        wire.until(lambda message: message.get("method") == "process/exited")
        seconds.append(time.monotonic() - begin)
        wire.until(lambda message: message.get("method") == "process/closed")
        # A busy machine may delay any one of them.
        if seconds[-1] < _SECONDS:
            break
    assert min(seconds) < _SECONDS, f"every one of {_PROCESSES} took {min(seconds) * 1000:.0f} ms and more"
