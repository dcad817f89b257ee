"""What a transport offers and what it asks of whoever reads from it.

A transport moves whole messages, each one JSON text, in order; it knows nothing of their
meaning. Everything here runs on the thread of the event loop.
"""

from __future__ import annotations

from typing import Protocol


class Transport(Protocol):
    """One peer's connection, from the side that sends.

    :ivar largest_message: bytes; a longer message would not arrive, and ends the connection. None where
        that is not known.
    """

    largest_message: int | None

    @property
    def ended_in_order(self) -> bool:
        """Whether the peer has said that it is done, rather than that it was cut off or went away.

        WebSocket: it closed with code 1000. Standard streams: always, since nobody can come back.
        """

    def send(self, message: bytes) -> None:
        """Queues one message; never blocks, and does nothing once the connection is closed."""

    def send_buffer_size(self) -> int:
        """Bytes that were sent and that the operating system has not yet taken."""

    def pause_reading(self) -> None:
        """Stops reading from the peer; what was already read may still be delivered."""

    def resume_reading(self) -> None: ...

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Closes in order, after what was sent; *code* and *reason* as in RFC 6455 section 7.4.

        A transport that cannot carry them ends the stream.
        """

    def abort(self) -> None:
        """Drops the connection at once."""


class Receiver(Protocol):
    """Who gets a transport's messages."""

    def message_received(self, message: bytes) -> None: ...

    def pause_writing(self) -> None:
        """The peer reads too slowly: the send buffer is over its high-water mark."""

    def resume_writing(self) -> None:
        """The send buffer has drained below its low-water mark."""

    def connection_lost(self) -> None:
        """Called once, last."""


class ReceiverFactory(Protocol):
    def __call__(self, transport: Transport) -> Receiver: ...
