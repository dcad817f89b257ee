"""Where executors run: one module an environment, all behind :class:`base.Environment`."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from harness.environments.base import (
    Availability,
    Environment,
    EnvironmentFailed,
    ExecutorUnavailable,
    HostView,
    RelayedLinks,
    Running,
)
from harness.environments.local import LocalEnvironment
from harness.environments.place import REMOTE
from harness.environments.url import UrlEnvironment
from harness.executor_kinds import EXECUTORS, OWN, Profile, is_url
from harness.remote.options import PREFIX
from harness.settings import Settings, read_settings

__all__ = [
    "ENVIRONMENTS",
    "GROUPS",
    "Availability",
    "Environment",
    "EnvironmentFailed",
    "ExecutorUnavailable",
    "HostView",
    "RelayedLinks",
    "Running",
    "Settings",
    "expand_groups",
    "make_environment",
    "read_settings",
]


def _local(settings: Settings) -> Environment:
    return LocalEnvironment()


# What only one environment needs is loaded with it.


def _wine_exec(settings: Settings) -> Environment:
    from harness.environments.wine import WineEnvironment

    return WineEnvironment(settings)


def _docker(settings: Settings) -> Environment:
    from harness.environments.docker import DockerEnvironment

    return DockerEnvironment(settings.docker)


def _remote_local(settings: Settings) -> Environment:
    from harness.environments.relayed import RelayedEnvironment

    return RelayedEnvironment(LocalEnvironment())


def _remote_docker(settings: Settings) -> Environment:
    from harness.environments.docker import DockerEnvironment
    from harness.environments.relayed import RelayedEnvironment

    return RelayedEnvironment(DockerEnvironment(settings.docker))


def _remote_wine_exec(settings: Settings) -> Environment:
    from harness.environments.relayed import RelayedEnvironment
    from harness.environments.wine import WineEnvironment

    return RelayedEnvironment(WineEnvironment(settings))


ENVIRONMENTS: dict[str, Callable[[Settings], Environment]] = {
    "local": _local,
    "docker": _docker,
    "wine-exec": _wine_exec,
    "remote-local": _remote_local,
    "remote-docker": _remote_docker,
    "remote-wine-exec": _remote_wine_exec,
}
"""The environments that have a name of their own; what makes one costs nothing and starts nothing."""

GROUPS: dict[str, tuple[str, ...]] = {
    "remote": tuple(name for name in ENVIRONMENTS if name.startswith(REMOTE))
}
"""Names for several environments, where several can be named."""


def make_environment(name: str, settings: Settings | None = None) -> Environment:
    """Returns the environment of that name, or, for a URL, the executor that listens there; for
    ``remote:ID``, the one that has registered so.

    :param settings: what the user has chosen; by default what environment variables say.
    :raises ValueError: there is none; the message lists those that there are.
    """
    settings = read_settings() if settings is None else settings
    if name.startswith(PREFIX):
        from harness.environments.remote import RemoteEnvironment

        return RemoteEnvironment(name.removeprefix(PREFIX), settings.remote)
    if is_url(name):
        return UrlEnvironment(name, settings.url)
    make = (ENVIRONMENTS if settings.executor == OWN else _profile(settings.executor).environments).get(name)
    if make is None:
        members = ", ".join(GROUPS.get(name, ()))
        known = ", ".join(sorted(ENVIRONMENTS))
        known += f", of which crossexec matrix takes {name!r} for {members}" if members else ""
        raise ValueError(
            f"no environment {name!r}: give one of {known}, or the URL of an executor, ws://HOST:PORT, "
            "unix:///PATH or remote:ID"
        )
    return make(settings)


def expand_groups(names: Iterable[str]) -> list[str]:
    """Returns the names, each once, with the environments of a group in its place."""
    return list(dict.fromkeys(each for name in names for each in GROUPS.get(name, (name,))))


def _profile(executor: str) -> Profile:
    if executor not in EXECUTORS:
        raise ValueError(f"no executor {executor!r}: give one of {', '.join(EXECUTORS)}, or the URL of one")
    return EXECUTORS[executor]
