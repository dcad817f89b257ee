"""Prepares the environment and the Python of a cell, in a process that can be ended while it works.

``python -m harness.matrix.dask_prepare PYTHON ENVIRONMENT [SETTING...]`` prints what is in the way as JSON to
its standard output, ``null`` for nothing, and progress to its standard error. It ends when its standard input
does.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Sequence

import msgspec

from harness.cli_target import UsageError
from harness.client.errors import ClientError
from harness.matrix.interrupt import Interrupted, raised
from harness.matrix.model import CellStatus
from harness.matrix.preparation import Obstacle, prepare_environment, prepare_python
from harness.progress import show_progress

if sys.platform == "win32":
    from harness.matrix import group_windows as group
else:
    from harness.matrix import group_posix as group


def main(arguments: Sequence[str]) -> int:
    python, environment, executor, *settings = arguments
    threading.Thread(target=_end_with_input, daemon=True).start()
    obstacle: Obstacle | None
    try:
        with raised(), show_progress(sys.stderr, "preparing") as progress:
            obstacle = prepare_environment(environment, executor, settings, progress) or prepare_python(
                python, progress
            )
    except Interrupted as error:
        return error.status
    except (UsageError, ClientError, OSError) as error:
        obstacle = Obstacle(CellStatus.BROKEN, str(error))
    print(msgspec.json.encode(obstacle).decode())
    return 0


def _end_with_input() -> None:
    """Ends this process and its group once its standard input ends, and so when its parent dies."""
    # Not sys.stdin, whose lock would be held when the interpreter ends.
    while os.read(0, 1):
        pass
    group.terminate(os.getpid())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
