"""What is known of a kind of executor beside what it tells itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from executors.protocol.environment import Capabilities

if TYPE_CHECKING:
    from harness.environments.base import Environment
    from harness.settings import Settings

CLOSE_STDIN: Final = "close-stdin"
RESIZE: Final = "resize"
ACKNOWLEDGE: Final = "acknowledge"
SESSION_RETENTION: Final = "session-retention"
LOSSLESS_NAMES: Final = "lossless-names"
SANDBOX_NAMES: Final = "sandbox-names"

FEATURES: Final[Mapping[str, str]] = {
    CLOSE_STDIN: "the standard input of a process can be ended, by process/closeStdin",
    RESIZE: "a terminal can get another size, by process/resize",
    ACKNOWLEDGE: "no output is lost with a connection, however much it is: by process/acknowledge",
    SESSION_RETENTION: "a client chooses how long its session may be without a connection, by retentionMs",
    LOSSLESS_NAMES: "a listing has the exact URI of a name that is no text",
    SANDBOX_NAMES: "the capabilities tell which sandboxes hold on this machine",
}
"""What a test may ask for: what not every executor that speaks the protocol has. A flaw of an executor is no
missing feature but a known gap."""

_ANNOUNCED: Final[Mapping[str, Callable[[Capabilities], bool]]] = {
    CLOSE_STDIN: lambda told: told.process_close_stdin,
    RESIZE: lambda told: told.process_resize,
    ACKNOWLEDGE: lambda told: told.process_acknowledge,
    SESSION_RETENTION: lambda told: told.session_resume,
}


@dataclass(frozen=True)
class Profile:
    """One kind of executor.

    :ivar name: as given to ``--executor``.
    :ivar version: the only one that the known gaps are told of; empty for the executor of this package, which
        is always the one that belongs to the tests.
    :ivar features: what it has of :data:`FEATURES` beyond what its capabilities announce.
    :ivar sandboxes: those that it uses without announcing them and that hold, by the environment.
    :ivar leaves_processes: what runs in a session goes on for some time after the connection has ended, and
        may hold files open.
    :ivar environments: what brings it up, by the names of :data:`harness.environments.ENVIRONMENTS`.
    """

    name: str
    version: str
    features: frozenset[str]
    sandboxes: Mapping[str, tuple[str, ...]]
    leaves_processes: bool
    environments: Mapping[str, Callable[[Settings], Environment]]

    def features_with(self, told: Capabilities) -> frozenset[str]:
        """Returns all that it has, given what it announces."""
        return self.features | {name for name, has in _ANNOUNCED.items() if has(told)}
