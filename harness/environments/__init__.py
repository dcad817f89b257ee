"""Where executors run: one module an environment, all behind :class:`base.Environment`."""

from __future__ import annotations

from collections.abc import Callable

from harness.environments.base import Availability, Environment, EnvironmentFailed, Running
from harness.environments.local import LocalEnvironment
from harness.environments.url import UrlEnvironment

__all__ = [
    "ENVIRONMENTS",
    "Availability",
    "Environment",
    "EnvironmentFailed",
    "Running",
    "make_environment",
]

ENVIRONMENTS: dict[str, Callable[[], Environment]] = {
    "local": LocalEnvironment,
}
"""The environments that need nothing but their name."""


def make_environment(name: str) -> Environment:
    """Returns the environment of that name, or, for a ``ws://`` URL, the executor that listens there.

    :raises ValueError: there is none; the message lists those that there are.
    """
    if name.startswith(("ws://", "wss://")):
        return UrlEnvironment(name)
    make = ENVIRONMENTS.get(name)
    if make is None:
        known = ", ".join(sorted(ENVIRONMENTS))
        raise ValueError(
            f"no environment {name!r}: give one of {known}, or the URL of an executor, ws://HOST:PORT"
        )
    return make()
