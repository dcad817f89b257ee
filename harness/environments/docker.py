"""An executor in a container: one that is made for it, or one that runs already."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from harness.cache import cache_folder
from harness.cleaning import Cleaned
from harness.docker import caches
from harness.docker.daemon import INSTALL, START, open_daemon
from harness.docker.errors import DockerFailed
from harness.docker.launch import Launched as Contained
from harness.docker.launch import attached, container_parts, image_parts, launched
from harness.docker.leftovers import remove_leftovers
from harness.docker.options import DockerOptions, docker_options
from harness.environments.base import Availability, EnvironmentFailed
from harness.environments.blocking import in_thread
from harness.environments.place import DialOut, Launched, Place
from harness.progress import Progress

_LOG_TAIL_BYTES: Final = 4000


class DockerEnvironment(Place):
    """Runs the executor in a container of its own, which ends with this process whatever ends it.

    The container has no network, no capabilities, a root that is read only, and limits; see
    :class:`DockerOptions` for what can be lifted. With ``options.container`` it runs in that container
    instead, which is left as it was. To dial out, it has this machine's network, in a container of its own.

    :param options: by default what environment variables say.
    :raises ValueError: the environment variables say what cannot be meant.
    """

    name = "docker"
    is_discarded = False
    """Whether nothing in the container needs to be tidied up."""

    def __init__(self, options: DockerOptions | None = None) -> None:
        self._options = docker_options() if options is None else options

    def available(self) -> Availability:
        return self._available(dials_out=False)

    def available_to_dial_out(self) -> Availability:
        name = self._options.container
        if name is not None:
            return Availability(
                False,
                f"no executor that dials out is run in a container that is there, such as {name}",
                "leave out --docker-container",
            )
        return self._available(dials_out=True)

    def _available(self, *, dials_out: bool) -> Availability:
        try:
            with open_daemon() as daemon:
                if not dials_out or daemon.shares_network:
                    return Availability(True)
                return Availability(
                    False,
                    f"containers of the daemon at {daemon.host} cannot have the network of this machine, "
                    "where the rendezvous is",
                    "use a daemon that runs on this machine as root",
                )
        except DockerFailed as error:
            reason = str(error)
            for remedy in (INSTALL, START):
                if reason.endswith(remedy):
                    return Availability(False, reason.removesuffix(remedy).rstrip("; :"), remedy)
            return Availability(False, reason)

    def prepare(self, progress: Progress) -> None:
        with _errors(), open_daemon() as daemon:
            parts = image_parts if self._options.container is None else container_parts
            with parts(daemon, self._options, docker_cache(), progress):
                pass

    def prepare_to_dial_out(self, progress: Progress) -> None:
        with (
            _errors(),
            open_daemon() as daemon,
            image_parts(daemon, self._options, docker_cache(), progress, relay=True),
        ):
            pass

    def clean(self) -> list[str]:
        with _errors(), open_daemon() as daemon:
            return remove_leftovers(daemon)

    def clean_cache(self, everything: bool) -> Cleaned:
        with _errors():
            return caches.clean(docker_cache(), everything)

    def in_use(self) -> list[str]:
        return caches.in_use(docker_cache())

    @asynccontextmanager
    async def launch(self, dial_out: DialOut | None = None) -> AsyncIterator[Launched]:
        with _errors():
            async with in_thread(self._launched(dial_out)) as up:
                try:
                    yield Launched(
                        up.url,
                        up.log,
                        up.facts,
                        has_ended=up.has_ended,
                        is_discarded=self.is_discarded,
                        bearer=up.bearer,
                    )
                except Exception as error:
                    error.add_note(f"executor in {up.facts['container']}: {_tail(up.log)}")
                    raise

    @contextmanager
    def _launched(self, dial_out: DialOut | None) -> Iterator[Contained]:
        options, cache = self._options, docker_cache()
        with open_daemon() as daemon:
            remove_leftovers(daemon)
            with caches.images_in_use(cache):
                if dial_out is not None:
                    with launched(daemon, replace(options, network="host"), cache, dial_out) as up:
                        yield up
                elif options.container is not None:
                    with attached(daemon, options, cache) as up:
                        yield up
                else:
                    with launched(daemon, options, cache) as up:
                        yield up


def docker_cache() -> Path:
    """Where what containers are made of is kept."""
    return cache_folder() / "docker"


def _tail(log: Path) -> str:
    text = (
        log.read_bytes()[-_LOG_TAIL_BYTES:].decode(errors="backslashreplace").strip() if log.exists() else ""
    )
    return f"its standard error:\n{text}" if text else "its standard error is empty"


@contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except DockerFailed as error:
        raise EnvironmentFailed(str(error)) from error
