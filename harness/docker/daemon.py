"""The Docker daemon, by docker-py."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from executors.transport.unix import UnixSocket
from harness.docker.errors import DockerFailed

if TYPE_CHECKING:
    from docker import APIClient

_TIMEOUT_SECONDS: Final = 60.0
_DEFAULT_HOST: Final = "unix:///var/run/docker.sock"
INSTALL: Final = "pip install 'crossexec[docker]'"
START: Final = "start a Docker daemon, or name one that runs by the variable DOCKER_HOST"


@dataclass(frozen=True)
class Daemon:
    """A daemon that answers.

    :ivar host: its address.
    :ivar version: of the daemon.
    :ivar shares_files: whether a folder of this machine can be mounted, and a socket in it serves both
        sides.
    :ivar shares_network: whether a container can have the network of this machine.
    :ivar maps_users: whether a user id in a container is another one outside.
    """

    api: APIClient
    host: str
    version: str
    shares_files: bool
    shares_network: bool
    maps_users: bool
    is_podman: bool


@contextmanager
def open_daemon(seconds: float = _TIMEOUT_SECONDS) -> Iterator[Daemon]:
    """The daemon that DOCKER_HOST names, else the usual one.

    :param seconds: how long it may take for an answer.
    :raises DockerFailed: docker-py is missing, or no daemon answers.
    """
    try:
        import docker
        from docker.errors import DockerException
    except ImportError as error:
        raise DockerFailed(f"docker-py is not installed ({error}): {INSTALL}") from error
    host = os.environ.get("DOCKER_HOST") or _DEFAULT_HOST
    try:
        _check_socket(host, seconds)
        client = docker.from_env(timeout=seconds)  # type: ignore[arg-type]  # requests takes parts, too
    except (DockerException, OSError) as error:
        raise DockerFailed(f"no Docker daemon answers at {host}: {_first_line(error)}; {START}") from error
    try:
        try:
            about = client.api.info()
            version: dict[str, Any] = client.api.version()
        except (DockerException, OSError) as error:
            raise DockerFailed(
                f"no Docker daemon answers at {host}: {_first_line(error)}; {START}"
            ) from error
        security = " ".join(about.get("SecurityOptions") or ())
        names = {part.get("Name", "") for part in version.get("Components") or ()}
        is_here = _is_here(host, about.get("Name"))
        maps_users = "rootless" in security or "name=userns" in security
        is_podman = any("podman" in name.lower() for name in names)
        yield Daemon(
            client.api,
            host,
            version.get("Version", "?"),
            # SELinux keeps containers from what has no label for them.
            shares_files=is_here and "name=selinux" not in security,
            # Where Docker maps users, it has a network namespace of its own or refuses this one.
            shares_network=is_here and (is_podman or not maps_users),
            maps_users=maps_users,
            is_podman=is_podman,
        )
    except DockerException as error:
        # What is not expected where it came about.
        raise DockerFailed(f"the Docker daemon at {host} refused: {error}") from error
    finally:
        client.close()


def _is_here(host: str, name: str | None) -> bool:
    # A daemon of another machine, or outside of the container that this runs in, has another host name, as
    # has one in a virtual machine of its own.
    return host.startswith("unix:") and sys.platform == "linux" and name == socket.gethostname()


def _check_socket(host: str, seconds: float) -> None:
    """Connects once, for docker-py leaves a socket open that it could not connect.

    :raises OSError: nobody listens there.
    """
    if host.startswith("unix:"):
        with UnixSocket() as probe:
            probe.settimeout(seconds)
            probe.connect("/" + host.removeprefix("unix:").lstrip("/"))


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
