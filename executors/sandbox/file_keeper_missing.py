"""Where there is no file helper: file calls under a sandbox are refused."""

from __future__ import annotations

from typing import Any, NoReturn

from executors.process.base import Backend
from executors.sandbox.backend import Confinement
from executors.sandbox.policy import Policy


def widened(policy: Policy) -> Policy:
    """:raises FileNotFoundError: always."""
    raise FileNotFoundError("there are none for this operating system")


class FileCall:
    """As of ``file_keeper_linux``."""

    def make(self, *args: Any) -> Any: ...

    def call_off(self) -> None: ...


class FileKeeper:
    """As of ``file_keeper_linux``."""

    is_alive: bool

    def __init__(self, processes: Backend, confinement: Confinement, policy: Policy) -> None:
        widened(policy)

    def start(self) -> None: ...

    def call(self) -> FileCall:
        raise NotImplementedError

    async def complaint(self) -> NoReturn:
        raise NotImplementedError

    async def close(self) -> None: ...
