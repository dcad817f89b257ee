"""Who is connected, and what goes from one to another."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Final

from aiohttp import WebSocketError, WSCloseCode, WSMsgType

from harness.rendezvous import frames
from harness.rendezvous.frames import BadFrame
from harness.rendezvous.links import DISPLACED, Link, Pressure
from harness.rendezvous.metrics import Metrics
from harness.rendezvous.signing import Ticket
from harness.rendezvous.switchboard import Refused, Switchboard

_ENDED: Final = "rendezvous_stream_closed"
# What an executor says to a harness that has done nothing wrong.
_NO_FAULT: Final = ("too_many_streams", "registry_unavailable")
_REVIEWS: Final = 4
"""In each time for which nothing may be taken."""


class Exchange:
    """The connections of one instance.

    :param bind: notes that a harness' connection carries a stream; returns whether it may.
    :param refused: is told of a harness whose handshake the executor has refused.
    :param stall_seconds: for which a harness may take nothing of what waits for it.
    :param first_seconds: for which a harness may be connected and say nothing.
    :param ping_seconds: of silence, after which a peer is asked for an answer; after as long again it has
        gone.
    :param hold_seconds: for which an executor that is not connected keeps its place.
    """

    def __init__(
        self,
        metrics: Metrics,
        *,
        bind: Callable[[Ticket, str], bool],
        refused: Callable[[Ticket], None],
        stall_seconds: float,
        first_seconds: float,
        ping_seconds: float,
        hold_seconds: float,
    ) -> None:
        self._metrics = metrics
        self._bind = bind
        self._refused = refused
        self._stall_seconds = stall_seconds
        self._first_seconds = first_seconds
        self._ping_seconds = ping_seconds
        self._hold_seconds = hold_seconds
        self._board: Switchboard[Link] = Switchboard()
        self._pressure = Pressure(stall_seconds, self._stalled)
        self._links: dict[Link, None] = {}
        self._per_token: Counter[str] = Counter()
        self._now = asyncio.get_running_loop().time
        self._began = self._now()
        # When executors that are not connected were seen last.
        self._seen: dict[str, float] = {}
        self._count = {role: metrics.passed(role) for role in ("executor", "harness")}
        for name, text, value in (
            ("executors", "Executors that are connected", lambda: self._board.executors),
            ("harnesses", "Harnesses that are connected", lambda: self._board.harnesses),
            ("streams", "Streams that are open", lambda: self._board.streams),
            ("waiting_bytes", "Bytes that wait to be sent", lambda: self._pressure.waiting),
        ):
            metrics.watch(name, text, value)

    # Who is connected

    @property
    def links(self) -> list[Link]:
        return list(self._links)

    def has_executor(self, environment: str, registration: str) -> bool:
        """Whether the executor of that registration is connected."""
        return self._board.has_executor(environment, registration)

    def is_held(self, environment: str, registration: str) -> bool:
        """Whether it is connected, or was a moment ago, or this service is not there for long."""
        since = max(self._began, self._seen.get(environment, self._began))
        return self.has_executor(environment, registration) or self._now() < since + self._hold_seconds

    def connections_of(self, token: str) -> int:
        return self._per_token[token]

    def add(self, link: Link) -> None:
        """Takes a connection.

        :raises Refused: it is a harness', and the executor that it was given is not connected.
        """
        ticket = link.ticket
        if ticket.role == "executor":
            for each in self._board.add_executor(link, ticket.environment, ticket.registration):
                self._forget(each)
                each.close(WSCloseCode.SERVICE_RESTART, "the executor has connected again")
        else:
            self._board.add_harness(link, ticket.environment, ticket.registration)
        self._links[link] = None
        link.since = link.heard_at = self._now()
        self._per_token[ticket.token] += 1
        self._pressure.add(link)

    def registered(self, environment: str, is_another: bool) -> None:
        """An executor has registered, which will connect in a moment.

        :param is_another: than the one before, which has to go.
        """
        self._seen[environment] = self._now()
        if is_another:
            earlier = self._board.executor_of(environment)
            if earlier is not None:
                self.remove(earlier)
                earlier.close(DISPLACED, "another executor has been registered for this environment")

    def drop(self, link: Link, reason: str) -> None:
        """Ends a connection for what its peer did."""
        link.why = link.why or reason
        self.remove(link)
        link.close(WSCloseCode.POLICY_VIOLATION, reason)

    def remove(self, link: Link) -> None:
        """Forgets a connection that has ended, or is to; those that are of no use without it end, too."""
        self._forget(link)
        if self._board.is_executor(link):
            self._seen[link.ticket.environment] = self._now()
        left = self._board.remove(link)
        for each in left.harnesses:
            self._forget(each)
            each.close(WSCloseCode.TRY_AGAIN_LATER, "the executor has gone")
        if left.executor is not None and left.stream is not None:
            # Of a stream that is no more nobody waits for room, and the frame is a small one.
            left.executor.send_soon(frames.reset(left.stream, _ENDED))

    def _forget(self, link: Link) -> None:
        self._pressure.discard(link)
        if link in self._links:
            del self._links[link]
            self._per_token[link.ticket.token] -= 1
            if not self._per_token[link.ticket.token]:
                del self._per_token[link.ticket.token]

    # What goes to and fro

    async def carry(self, link: Link) -> str:
        """Passes on what comes on a connection until it ends; returns why it did.

        :raises Refused: its peer did what may not be done.
        :raises BadFrame: its peer sent what is no frame.
        """
        is_executor = link.ticket.role == "executor"
        count = self._count[link.ticket.role]
        while True:
            message = await link.socket.receive()
            link.heard_at = self._now()
            if message.type is not WSMsgType.BINARY:
                if message.type is WSMsgType.PING:
                    await link.pong(message.data)
                elif message.type is not WSMsgType.PONG:
                    return _ending(message.type, message.data)
                continue
            frame: bytes = message.data
            link.received += len(frame)
            if link not in self._links:
                return "ended"
            to = self._from_executor(link, frame) if is_executor else self._from_harness(link, frame)
            if to is not None:
                count(len(frame))
                self._pressure.sending(to, len(frame), link.heard_at)
                link.waits_for = to
                await to.send(frame)
                link.waits_for = None

    def _from_harness(self, link: Link, frame: bytes) -> Link:
        stream, kind = frames.look(frame)
        if kind == "handshake":
            if link.has_offered:
                raise Refused("a connection carries one handshake")
            link.has_offered = True
        to, is_first = self._board.from_harness(link, stream)
        if is_first and not self._bind(link.ticket, stream):
            raise Refused("this connection's stream is known already")
        return to

    def _from_executor(self, link: Link, frame: bytes) -> Link | None:
        try:
            stream, kind = frames.look(frame)
        except BadFrame:
            # An executor has many streams, and a frame that is none may not end them all.
            self._metrics.dropped.labels("no frame").inc()
            return None
        to = self._board.from_executor(link, stream)
        if to is None:
            self._metrics.dropped.labels("no such stream").inc()
            return None
        if not to.is_answered and kind in ("handshake", "reset"):
            to.is_answered = True
            if kind == "reset" and to.has_offered and frames.reset_reason(frame) not in _NO_FAULT:
                self._metrics.refused_handshakes.inc()
                self._refused(to.ticket)
        return to

    # What takes too long

    async def review(self) -> None:
        """Looks for what does not get on, until it is cancelled."""
        every = min(self._stall_seconds / _REVIEWS, self._ping_seconds / 2)
        before = self._now()
        while True:
            await asyncio.sleep(every)
            now = self._now()
            if now - before < 2 * every:
                self._pressure.review(now)
                self._look_for_silence(now)
            # Else this process has slept, and what came meanwhile was not read yet.
            before = now
            for environment, seen in list(self._seen.items()):
                if now > seen + self._hold_seconds:
                    del self._seen[environment]

    def _look_for_silence(self, now: float) -> None:
        for link in self.links:
            if (
                link.ticket.role == "harness"
                and not link.received
                and now >= link.since + self._first_seconds
            ):
                self.drop(link, f"nothing was said within {self._first_seconds:g} s")
                continue
            # Nothing is read from who sends what another one does not take; and a ping waits behind all that
            # its peer is still reading.
            if link.waits_for is not None or link.is_draining():
                link.heard_at = now
            elif now >= link.heard_at + 2 * self._ping_seconds:
                self.drop(link, "no answer to a ping")
                link.abort()
            elif now >= link.heard_at + self._ping_seconds:
                link.ping()

    def _stalled(self, link: Link) -> None:
        if link.ticket.role == "harness":
            self.drop(link, "the harness does not read")
            # Nor would it read that; and who waits for it has waited enough.
            link.abort()
            return
        # Those who wait have sent what it does not read: the others of its harnesses go on.
        for each in self.links:
            if each.waits_for is link:
                self.drop(each, "the executor does not read")


def _ending(kind: WSMsgType, data: object) -> str:
    """What is noted of how a connection has ended.

    :raises BadFrame: by something that may not be sent.
    """
    if kind is WSMsgType.TEXT:
        raise BadFrame("a message is not binary")
    if kind is not WSMsgType.ERROR:
        return "ended"
    if isinstance(data, WebSocketError):
        return f"ended with code {data.code}: against the rules of WebSocket"
    return "cut"
