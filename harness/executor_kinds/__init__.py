"""The kinds of executor that can be brought up, and what is known of each.

An executor is told from another by nothing but its profile and its capabilities; the rest of the harness and
the tests ask for features.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from harness.executor_kinds.codex.release import VERSION
from harness.executor_kinds.profile import FEATURES, LOSSLESS_NAMES, SANDBOX_NAMES, Profile

if TYPE_CHECKING:
    from executors.protocol.environment import EnvironmentInfo
    from harness.environments.base import Environment
    from harness.environments.place import Place
    from harness.settings import Settings

__all__ = ["EXECUTORS", "FEATURES", "OWN", "PEER", "Profile", "is_url", "profile_of"]

OWN: Final = "python"
"""Name of the executor of this package."""
PEER: Final = "codex"
"""Name of the released exec-server of the npm package ``@openai/codex``."""

_OWN_PLACES: Final = ("local", "docker", "wine-exec", "remote-local", "remote-docker", "remote-wine-exec")

# What only one environment needs is loaded with it.


def _own(environment: str) -> Callable[[Settings], Environment]:
    def make(settings: Settings) -> Environment:
        from harness.environments import ENVIRONMENTS

        return ENVIRONMENTS[environment](settings)

    return make


def _peer_local(settings: Settings) -> Place:
    from harness.executor_kinds.codex.local import CodexLocal

    return CodexLocal(settings)


def _peer_docker(settings: Settings) -> Place:
    from harness.executor_kinds.codex.docker import CodexDocker

    return CodexDocker(settings)


def _peer_wine(settings: Settings) -> Place:
    from harness.executor_kinds.codex.wine import CodexWine

    return CodexWine(settings)


def _relayed(place: Callable[[Settings], Place]) -> Callable[[Settings], Environment]:
    def make(settings: Settings) -> Environment:
        from harness.executor_kinds.codex.relayed import CodexRelayed

        return CodexRelayed(place(settings))

    return make


_PEER_PLACES: Final = {"local": _peer_local, "docker": _peer_docker, "wine-exec": _peer_wine}

EXECUTORS: Final[dict[str, Profile]] = {
    OWN: Profile(
        OWN,
        "",
        frozenset({LOSSLESS_NAMES, SANDBOX_NAMES}),
        {},
        False,
        {name: _own(name) for name in _OWN_PLACES},
    ),
    PEER: Profile(
        PEER,
        VERSION,
        frozenset(),
        # A container lets it make no namespaces, and under Wine its sandbox keeps nothing.
        {"local": ("linux-sandbox",)},
        True,
        _PEER_PLACES | {f"remote-{name}": _relayed(make) for name, make in _PEER_PLACES.items()},
    ),
}
"""By their names."""


def is_url(name: str) -> bool:
    """Whether it names an executor that runs already, rather than a kind."""
    return name.startswith(("ws://", "wss://", "unix://", "remote:"))


def profile_of(info: EnvironmentInfo) -> Profile:
    """Returns what kind of executor has told this.

    The executor of this package announces what the released one has not; one that is neither counts as the
    released one, which has fewer features.
    """
    told = info.capabilities
    return EXECUTORS[OWN if told.process_close_stdin else PEER]
