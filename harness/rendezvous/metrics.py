"""What the service counts, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector, generate_latest


class Metrics:
    """:ivar requests: of the registry, by what was asked and what came of it.
    :ivar connections: by role and outcome.
    :ivar frames: passed on, by the role of who sent them.
    :ivar bytes: of these frames.
    :ivar dropped: frames that went nowhere, by reason.
    :ivar refused_handshakes: of harnesses, by their executors.
    :ivar revoked: connections that ended because their token counts no more.
    :ivar failures: of this service itself, by what failed.
    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry()

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"crossexec_rendezvous_{name}", text, labels, registry=self._registry)

        self.requests = counter("requests", "Requests to the registry", "operation", "outcome")
        self.connections = counter("connections", "Connections asked for", "role", "outcome")
        self.frames = counter("frames", "Frames passed on", "sender")
        self.bytes = counter("bytes", "Bytes of frames passed on", "sender")
        self.dropped = counter("dropped_frames", "Frames that went nowhere", "reason")
        self.refused_handshakes = counter("refused_handshakes", "Handshakes that executors have refused")
        self.revoked = counter("revoked_connections", "Connections that ended with their token")
        self.failures = counter("failures", "Failures of the service itself", "what")
        ProcessCollector(registry=self._registry)

    def passed(self, sender: str) -> Callable[[int], None]:
        """Returns what is to be called with the length of each frame of such a sender."""
        frames, bytes = self.frames.labels(sender), self.bytes.labels(sender)

        def count(length: int) -> None:
            frames.inc()
            bytes.inc(length)

        return count

    def watch(self, name: str, text: str, value: Callable[[], float]) -> None:
        """Tells of a value as it is when it is asked for."""
        Gauge(f"crossexec_rendezvous_{name}", text, registry=self._registry).set_function(value)

    def text(self) -> bytes:
        return generate_latest(self._registry)
