"""A network of message links in memory, on a :class:`tests.model.loop.VirtualLoop`.

A link behaves as a WebSocket over TCP does: whole messages, in order, none lost but by the end of the link.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from executors.transport.base import Receiver, ReceiverFactory
from harness.client.errors import ConnectFailed
from harness.client.links import MakeReceiver

URL: Final = "ws://model"
NORMAL: Final = 1000
# Small, so that a few messages fill them.
KERNEL_BYTES: Final = 2048
HIGH_WATER: Final = 2048
LOW_WATER: Final = 512


class State(enum.Enum):
    """How the network takes a new connection."""

    UP = "up"
    REFUSING = "refusing"
    """It fails at once."""
    SILENT = "silent"
    """It is never answered."""


@dataclass(frozen=True)
class Weather:
    """What the links that are opened from now on are like.

    :ivar up: seconds from client to executor.
    :ivar down: seconds from executor to client.
    :ivar batched: what has come in is delivered in one go, even if the receiver pauses in the middle of it;
        else one message a round of the loop.
    :ivar flushes: what was sent before the link was dropped still arrives.
    """

    up: float = 0.0
    down: float = 0.0
    batched: bool = True
    flushes: bool = True


@dataclass(frozen=True)
class _Closing:
    """A close frame, or with None the end of the stream without one."""

    code: int | None
    reason: str = ""


class End:
    """One side of a link; see :class:`harness.client.links.Link`."""

    largest_message: int | None = None

    def __init__(self, wire: Wire, name: str) -> None:
        self.name = name
        self.receiver: Receiver | None = None
        """None until the connection has come about on this side."""
        self.lost_at: float | None = None
        """When it was told of the end."""
        self.ended_in_order = False
        self._wire = wire
        self._loop = wire.loop
        self._found: tuple[int | None, str] = None, ""
        self._paused = False
        self._closing = False
        self._untold_loss = False
        self._writing_paused = False
        self._has_reset = False
        self.sending: Lane
        self.receiving: Lane

    def send(self, message: bytes) -> None:
        if self._closing or self.lost_at is not None:
            return
        if self._untold_loss:
            # A write finds out what reading, which is paused, would have.
            self._loop.call_soon(self._lose)
            return
        if self._wire.twin is not None and self is self._wire.client:
            self._wire.twin.client.send(message)
            self._wire.twin = None
        self.sending.put(message)
        if not self._writing_paused and self.send_buffer_size() > HIGH_WATER:
            self._writing_paused = True
            self._listener.pause_writing()

    def send_buffer_size(self) -> int:
        return max(0, self.sending.size - KERNEL_BYTES)

    def pause_reading(self) -> None:
        self._paused = True

    def resume_reading(self) -> None:
        self._paused = False
        if self._untold_loss:
            self._loop.call_soon(self._lose)
        self.receiving.wake()

    def close(self, code: int = NORMAL, reason: str = "") -> None:
        if self._closing or self.lost_at is not None:
            return
        self._closing = True
        if self._found == (None, ""):
            self._found = code, reason
        self.sending.put(_Closing(code, reason))
        self.drained()

    def abort(self) -> None:
        if self.lost_at is not None:
            return
        self._closing = True
        if not self._wire.weather.flushes:
            self.sending.clear()
        self.sending.put(_Closing(None))
        self._loop.call_soon(self._lose)

    def loss(self) -> tuple[int | None, str]:
        return self._found

    @property
    def is_reading(self) -> bool:
        return self.lost_at is not None or (self.receiver is not None and not self._paused)

    def take(self, item: bytes | _Closing) -> None:
        """Something has come in."""
        if self.lost_at is not None:
            if not self._has_reset:
                self._has_reset = True
                self.sending.put(_Closing(None))
            return
        if isinstance(item, bytes):
            if not self._closing:
                self._listener.message_received(item)
        elif item.code is None:
            self.lose()
        elif not self._closing:
            self.ended_in_order = item.code == NORMAL
            self._found = item.code, item.reason
            self.close(item.code, item.reason)

    def drained(self) -> None:
        """Something of what was sent has left."""
        if self.lost_at is not None:
            return
        if self._closing and self.send_buffer_size() == 0:
            # What is still under way is the operating system's.
            self._loop.call_soon(self._lose)
        elif self._writing_paused and self.send_buffer_size() <= LOW_WATER:
            self._writing_paused = False
            self._listener.resume_writing()

    def lose(self) -> None:
        """The connection is gone; the receiver hears of it as soon as it reads or writes."""
        if self._paused and not self._closing and self.send_buffer_size() == 0:
            self._untold_loss = True
        else:
            self._lose()

    def _lose(self) -> None:
        if self.lost_at is not None:
            return
        self.lost_at = self._loop.time()
        self._wire.losing(self)
        if self.receiver is not None:
            self.receiver.connection_lost()
        self._wire.end_lost(self)
        self.receiving.wake()

    @property
    def _listener(self) -> Receiver:
        assert self.receiver is not None
        return self.receiver


class Lane:
    """What is under way from one end to the other."""

    def __init__(self, wire: Wire, sender: End, receiver: End, delay: float) -> None:
        self.size = 0
        """Bytes that were sent and have not come in."""
        self.delivered = 0
        """Messages."""
        self.dead = False
        """What is sent from now on, or has not come in, never does."""
        self._wire = wire
        self._loop = wire.loop
        self._sender = sender
        self._receiver = receiver
        self._delay = delay
        self._queue: deque[tuple[float, bytes | _Closing]] = deque()
        self._timer: asyncio.Handle | None = None

    def put(self, item: bytes | _Closing) -> None:
        if isinstance(item, bytes):
            self.size += len(item)
        if self.dead:
            return
        self._queue.append((self._loop.time() + self._delay, item))
        self.wake()

    def die(self) -> None:
        """Nothing comes in any more."""
        self.dead = True
        self.clear()

    def clear(self) -> None:
        """What is under way is lost."""
        self._queue.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def wake(self) -> None:
        if self._timer is not None or not self._queue or not self._receiver.is_reading or self.dead:
            return
        due = self._queue[0][0]
        if due > self._loop.time():
            self._timer = self._loop.call_at(due, self._deliver)
        else:
            self._timer = self._loop.call_soon(self._deliver)

    def _deliver(self) -> None:
        self._timer = None
        now = self._loop.time()
        while self._queue and self._queue[0][0] <= now + 1e-9:
            _, item = self._queue.popleft()
            if isinstance(item, bytes):
                self.size -= len(item)
                self.delivered += 1
            self._wire.note(self, item)
            self._receiver.take(item)
            self._sender.drained()
            self._wire.delivered(self)
            if not self._wire.weather.batched:
                break
        self.wake()


class Wire:
    """One link: two ends and what is between them.

    :ivar owner: whose client opened it.
    """

    def __init__(self, network: Network, weather: Weather, owner: object) -> None:
        self.loop = network.loop
        self.weather = weather
        self.owner = owner
        self.number = network.opened
        self.is_twin = False
        self.began = network.loop.time()
        self.broken_at: float | None = None
        self.client = End(self, "client")
        self.server = End(self, "executor")
        self.up = Lane(self, self.client, self.server, weather.up)
        self.down = Lane(self, self.server, self.client, weather.down)
        self.client.sending = self.server.receiving = self.up
        self.server.sending = self.client.receiving = self.down
        self.opened: asyncio.Future[None] = self.loop.create_future()
        """Done when the client's side of the connection has come about, or failed to."""
        self.twin: Wire | None = None
        self._network = network
        self._cuts: list[tuple[Lane, int, Callable[[], None]]] = []
        self._timers: list[asyncio.TimerHandle] = []

    @property
    def is_cut(self) -> bool:
        return self.up.dead or self.down.dead

    def silence(self) -> None:
        """Loses all that is under way and all that is yet to come, and tells nobody."""
        self.up.die()
        self.down.die()

    def cut(self, client_seconds: float = 0.0, server_seconds: float = 0.0) -> None:
        """Loses all that is under way; each end hears of it after its own time."""
        self.kill(self.up, self.down, client_seconds=client_seconds, server_seconds=server_seconds)

    def kill(self, *lanes: Lane, client_seconds: float, server_seconds: float) -> None:
        for lane in lanes:
            lane.die()
        self._cuts.clear()
        if self.broken_at is None:
            self.broken_at = self.loop.time()
        for end, seconds in (self.client, client_seconds), (self.server, server_seconds):
            self._timers.append(self.loop.call_later(seconds, end.lose))

    def cut_after(self, lane: Lane, messages: int, cut: Callable[[], None]) -> None:
        """Has *cut* called once so many messages more have come in, or just before the next one for 0."""
        self._cuts.append((lane, lane.delivered + messages, cut))

    def spare(self) -> None:
        """Calls off the cuts that were to come."""
        self._cuts.clear()

    def delivered(self, lane: Lane) -> None:
        for entry in list(self._cuts):
            if entry[0] is lane and lane.delivered >= entry[1]:
                entry[2]()
                return

    def answer(self) -> None:
        """The executor's side of the connection has come about."""
        if not self.opened.done() and not self.down.dead:
            self.opened.set_result(None)

    def note(self, lane: Lane, item: bytes | _Closing) -> None:
        self._network.trace.append((self.loop.time(), self.number, ">" if lane is self.up else "<", item))

    def losing(self, end: End) -> None:
        self._network.trace.append((self.loop.time(), self.number, f"- {end.name} lost it:", end.loss()))
        self._network.on_loss(self, end)

    def end_lost(self, end: End) -> None:
        if not self.opened.done():
            self.opened.set_result(None)
        if self.client.lost_at is not None and self.server.lost_at is not None:
            for timer in self._timers:
                timer.cancel()
            self._network.forget(self)


class Network:
    """Carries connections to one executor.

    :ivar wires: those of which some end is open.
    :ivar twin_seconds: every connection arrives twice, as some proxies have it: a second one says what the
        first said first, and is gone after this time. None for no second one.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, listener: ReceiverFactory) -> None:
        self.loop = loop
        self.is_listening = False
        self.state = State.UP
        self.weather = Weather()
        self.twin_seconds: float | None = None
        self.wires: list[Wire] = []
        self.trace: list[tuple[float, int, str, object]] = []
        """What came in or was told: the time, the link, which way, what."""
        self.opened = 0
        """How many links so far."""
        self.on_wire: Callable[[Wire], None] = lambda wire: None
        self.on_loss: Callable[[Wire, End], None] = lambda wire, end: None
        """Called just before an end hears of it."""
        self._listener = listener

    async def open(self, make_receiver: MakeReceiver, open_seconds: float, owner: object) -> Wire:
        """As :func:`harness.client.links.open_websocket`.

        :raises ConnectFailed: the network is not up, or slower than *open_seconds*.
        """
        wire: Wire | None = None
        try:
            async with asyncio.timeout(open_seconds):
                if self.state is State.REFUSING or not self.is_listening:
                    raise ConnectFailed(f"cannot connect to {URL}: refused")
                if self.state is State.SILENT:
                    await self.loop.create_future()
                wire = self._wire(owner)
                await wire.opened
        except BaseException as error:
            if wire is not None:
                wire.client.abort()
            if isinstance(error, TimeoutError):
                raise ConnectFailed(f"cannot connect to {URL}: no answer within {open_seconds:g} s") from None
            raise
        if wire.client.lost_at is not None:
            raise ConnectFailed(f"cannot connect to {URL}: the connection ended during the handshake")
        if self.twin_seconds is not None:
            wire.twin = self._wire(owner)
            wire.twin.is_twin = True
            wire.twin.client.receiver = _Deaf()
            self.loop.call_later(self.twin_seconds, wire.twin.cut)
        wire.client.receiver = make_receiver(wire.client)
        return wire

    def told(self) -> list[str]:
        """Returns :attr:`trace` as lines for people."""
        return [f"{time:9.3f} {number} {way} {item}" for time, number, way, item in self.trace]

    def forget(self, wire: Wire) -> None:
        with contextlib.suppress(ValueError):
            self.wires.remove(wire)

    def _wire(self, owner: object) -> Wire:
        self.opened += 1
        wire = Wire(self, self.weather, owner)
        self.wires.append(wire)
        self.on_wire(wire)
        self.loop.call_later(self.weather.up, self._accept, wire)
        return wire

    def _accept(self, wire: Wire) -> None:
        if wire.up.dead:
            return
        if not self.is_listening:
            wire.cut()
            return
        wire.server.receiver = self._listener(wire.server)
        wire.up.wake()
        self.loop.call_later(wire.weather.down, wire.answer)


class _Deaf:
    """A client that heeds nothing."""

    def message_received(self, message: bytes) -> None: ...

    def pause_writing(self) -> None: ...

    def resume_writing(self) -> None: ...

    def connection_lost(self) -> None: ...
