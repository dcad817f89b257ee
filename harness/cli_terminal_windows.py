"""The terminal that ``crossexec run`` itself runs in, on Windows."""

from __future__ import annotations

import signal
from contextlib import AbstractContextManager
from typing import Final

from harness.client.errors import ClientError

RESIZED: Final = None
"""Windows tells of a new size by no signal."""

ENDINGS: Final = (signal.SIGTERM,)


def raw() -> AbstractContextManager[None]:
    raise ClientError("--tty: not for a console of Windows; add -n to give the program no input")
