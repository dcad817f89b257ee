"""The order in which a connection may make its calls. Plain state, no I/O."""

from __future__ import annotations

import enum

from executors.protocol.errors import invalid_request
from executors.protocol.methods import INITIALIZE


class Stage(enum.Enum):
    """How far the handshake of a connection is."""

    NEW = "new"
    INITIALIZING = "initializing"
    """``initialize`` is answered; ``initialized`` has not come yet."""
    READY = "ready"


class Handshake:
    """``initialize``, its reply, ``initialized``; then every other call."""

    def __init__(self) -> None:
        self.stage = Stage.NEW

    def check_call(self, method: str) -> None:
        """
        :raises RpcError: INVALID_REQUEST if *method* may not be called now.
        """
        if self.stage is Stage.READY and method != INITIALIZE.name:
            return
        if method == INITIALIZE.name:
            if self.stage is not Stage.NEW:
                raise invalid_request("initialize may only be sent once per connection")
        elif self.stage is Stage.NEW:
            raise invalid_request(f"client must call initialize before {method}")
        else:
            raise invalid_request(f"client must send initialized before {method}")

    def initialize_answered(self) -> None:
        """The reply to ``initialize`` is out; a refused one does not count."""
        self.stage = Stage.INITIALIZING

    def initialized_received(self) -> None:
        """A repeated notification changes nothing.

        :raises RpcError: INVALID_REQUEST before ``initialize``.
        """
        if self.stage is Stage.NEW:
            raise invalid_request("client must call initialize before it sends initialized")
        self.stage = Stage.READY
