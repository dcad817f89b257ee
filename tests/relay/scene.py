"""Both ends of the relay without a network: what one sends, the other gets, when a test says so."""

from __future__ import annotations

from typing import TypeVar

from executors.transport.noise import Prologue
from executors.transport.noise_keys import KeyPair
from executors.transport.relay_endpoint import Ended, Endpoint, Event, Opened, RelayStream
from executors.transport.relay_executor import ExecutorRelay, Limits, Replays, Validate, Verdict
from executors.transport.relay_harness import HarnessRelay, NotOpened
from executors.transport.relay_stream import StreamLimits

E = TypeVar("E", bound=Event)

EXECUTOR = KeyPair.generate()
HARNESS = KeyPair.generate()
AUTHORIZATION = b"an authorization"


class Harness:
    """A harness and what has happened to it."""

    def __init__(self, stream_id: str = "stream", limits: StreamLimits | None = None) -> None:
        self.relay = HarnessRelay(
            HARNESS,
            EXECUTOR.public,
            Prologue("environment", "registration", stream_id),
            AUTHORIZATION,
            limits or StreamLimits(),
        )
        self.stream_id = stream_id
        self.events: list[Event] = []

    @property
    def stream(self) -> RelayStream:
        (opened,) = of_kind(self.events, Opened)
        return opened.stream

    def take(self, frames: list[bytes]) -> None:
        for frame in frames:
            self.relay.receive(frame)
        self.events += self.relay.take_events()

    def send(self, *messages: bytes) -> list[bytes]:
        for message in messages:
            self.relay.send(self.stream, message)
        return pull(self.relay)

    def read(self) -> list[bytes]:
        return read(self.relay, self.stream)


class Executor:
    """An executor, at a time that the test sets."""

    def __init__(self, limits: Limits | None = None, replays: Replays | None = None) -> None:
        self.now = 1000.0
        self.relay = ExecutorRelay(
            EXECUTOR, "environment", "registration", replays or Replays(), limits or Limits()
        )
        self.events: list[Event] = []

    @property
    def streams(self) -> dict[str, RelayStream]:
        """Those that were opened, the last of each id."""
        return {opened.stream.stream_id: opened.stream for opened in of_kind(self.events, Opened)}

    def take(self, frames: list[bytes]) -> None:
        for frame in frames:
            self.relay.receive(frame, self.now)
        self.events += self.relay.take_events()

    def validate(self, verdict: Verdict = Verdict.VALID) -> list[bytes]:
        """Answers the last handshake; returns what is sent."""
        self.relay.validated(of_kind(self.events, Validate)[-1].pending, verdict, self.now)
        self.events += self.relay.take_events()
        return pull(self.relay)

    def send(self, stream_id: str, *messages: bytes) -> list[bytes]:
        for message in messages:
            self.relay.send(self.streams[stream_id], message)
        return pull(self.relay)

    def read(self, stream_id: str) -> list[bytes]:
        return read(self.relay, self.streams[stream_id])


def of_kind(events: list[Event], kind: type[E]) -> list[E]:
    return [event for event in events if isinstance(event, kind)]


def pull(relay: Endpoint) -> list[bytes]:
    """All that it has to send now."""
    found = []
    while (frame := relay.next_frame()) is not None:
        found.append(frame)
    return found


def read(relay: Endpoint, stream: RelayStream) -> list[bytes]:
    """All messages that have come."""
    found = []
    while (message := relay.next_message(stream)) is not None:
        found.append(message)
    return found


def connect(executor: Executor, stream_id: str = "stream", limits: StreamLimits | None = None) -> Harness:
    """A harness whose stream is open."""
    harness = Harness(stream_id, limits)
    executor.take(pull(harness.relay))
    harness.take(executor.validate())
    assert harness.stream.stream_id == stream_id
    return harness


def pump(executor: Executor, harness: Harness) -> None:
    """Carries frames to and fro until there are none."""
    while frames := pull(harness.relay) + (back := pull(executor.relay)):
        executor.take(frames[: len(frames) - len(back)])
        harness.take(back)


def ends(events: list[Event]) -> list[str]:
    """Why streams ended, or did not open."""
    return [event.reason for event in events if isinstance(event, Ended | NotOpened)]
