"""What may be reached of somebody outside by sockets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pytest

from suites.asking import Once
from suites.sandbox.attempts import names
from suites.sandbox.escapes import Escapes
from suites.sandbox.intents import (
    EVERYTHING_READABLE,
    UNRESTRICTED,
    Json,
    at,
    intent,
    wrapped,
    writing_in,
)
from suites.sandbox.outer_attempts import SOCKETS
from suites.sandbox.scene import Outcome, Scene

# What a program does with itself, and no way out.
OWN: Final = {"socket_pair"}
OUT: Final = [name for name in names(SOCKETS) if name not in OWN]
# With the network, what is open to any program.
OPEN: Final = ["tcp_connect", "tcp6_connect", "tcp_listen", "udp_send", "udp_connect", "udp_bind"]


def simple(scene: Scene) -> Json:
    return writing_in(scene / "inside")


def carved(scene: Scene) -> Json:
    return intent(EVERYTHING_READABLE, at(scene.home, "write"), at(scene / "outside", "read"))


def files_unrestricted(scene: Scene) -> Json:
    return wrapped({"type": "managed", "file_system": UNRESTRICTED, "network": "restricted"})


def external(scene: Scene) -> Json:
    return wrapped({"type": "external", "network": "restricted"})


def simple_with_network(scene: Scene) -> Json:
    return writing_in(scene / "inside", network="enabled")


def carved_with_network(scene: Scene) -> Json:
    sandbox = carved(scene)
    sandbox["permissions"]["network"] = "enabled"
    return sandbox


def tries(make: Callable[[Scene], Json]) -> Callable[[Scene], tuple[dict[str, Outcome], list[str]]]:
    def find(scene: Scene) -> tuple[dict[str, Outcome], list[str]]:
        with scene.listener() as listener:
            given = listener.where | {"inside": scene.native("inside")}
            outcomes = scene.attempts(SOCKETS, [(name, [given]) for name in names(SOCKETS)], make(scene))
            return outcomes, listener.reached()

    return find


KEPT: Final = {one.__name__: (one, tries(one)) for one in (simple, carved, files_unrestricted, external)}
ENABLED: Final = {one.__name__: (one, tries(one)) for one in (simple_with_network, carved_with_network)}


def is_reached(name: str, reached: list[str]) -> bool:
    """Whether one of the sockets that the attempt is about was *reached*."""
    kind = {"multipath_connect": "tcp", "inherited_network": "tcp", "tcp6_connect": "tcp"}.get(name, name)
    return any(kind.startswith(one) and (one != "unix" or "datagram" not in kind) for one in reached)


CASES: Final = [(access, name) for access in KEPT for name in OUT]


@pytest.mark.parametrize(("access", "name"), CASES)
def test_nobody_outside_is_reached(
    once: Once, escapes: Escapes, carves: bool, access: str, name: str
) -> None:
    outcomes, reached = once(KEPT[access][1])
    outcome = outcomes[name]
    refused = outcome.refused is not None
    escapes.tried(f"{access}: {name}", escaped=outcome.done or is_reached(name, reached), refused=refused)
    if refused:
        assert access == "carved" and not carves, f"not enforced: {outcome.refused}"
    elif outcome.error not in ("EAFNOSUPPORT", "EPROTONOSUPPORT", "EADDRNOTAVAIL", "EINVAL"):
        outcome.require_tried()


@pytest.mark.parametrize("access", [*KEPT, *ENABLED])
def test_a_program_may_talk_to_itself(once: Once, carves: bool, access: str) -> None:
    outcomes, _ = once((KEPT | ENABLED)[access][1])
    outcome = outcomes["socket_pair"]
    if outcome.refused is not None:
        assert access.startswith("carved") and not carves
    else:
        assert outcome.got == "between", outcome


@pytest.mark.parametrize("name", OPEN)
@pytest.mark.parametrize("access", ENABLED)
def test_with_the_network_others_are_reached(once: Once, carves: bool, access: str, name: str) -> None:
    outcomes, reached = once(ENABLED[access][1])
    outcome = outcomes[name]
    if outcome.refused is not None:
        assert access.startswith("carved") and not carves
    elif outcome.error in ("EAFNOSUPPORT", "EADDRNOTAVAIL"):
        pytest.skip(f"the environment has no such network: {outcome.error}")
    else:
        assert outcome.done, outcome
        assert {"tcp", "udp"} <= set(reached)
