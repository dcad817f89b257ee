"""Brings an executor up in a container, and a URL that leads to it."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from executors.transport import unix
from harness.bearer import Bearer, BearerAuth
from harness.docker import bundle, containers, relay
from harness.docker.containers import Plan
from harness.docker.daemon import Daemon
from harness.docker.errors import DockerFailed
from harness.docker.folder import run_folder
from harness.docker.image import default_tag, ensure_image
from harness.docker.options import DockerOptions
from harness.docker.stream import FirstLine, Stream
from harness.docker.target import TargetPython, find_python, host_user, probe_command, probe_image
from harness.progress import SILENT, Progress
from harness.remote.dial_out import DialOut

SOCKETS: Final = "/run/crossexec"
_PORT: Final = 7040
_START_SECONDS: Final = 30.0
_STOP_SECONDS: Final = 10.0
_PROBE_SECONDS: Final = 30.0


@dataclass(frozen=True)
class Launched:
    """An executor that listens or has dialled out.

    :ivar url: where it is reached from here; ``remote:ID`` if it has dialled out.
    :ivar log: the local file with its standard error.
    :ivar has_ended: whether it is known to run no more.
    :ivar bearer: shows the token that it asks for; None if nobody else can reach it.
    """

    url: str
    log: Path
    facts: dict[str, str]
    has_ended: Callable[[], bool] = lambda: False
    bearer: BearerAuth | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Parts:
    image: str
    python: TargetPython
    bundle: bundle.Bundle
    user: str
    is_mounted: bool


@dataclass(frozen=True)
class _Up:
    """A container whose executor listens or has dialled out; see :class:`Launched`."""

    url: str
    id: str
    bearer: BearerAuth | None = field(default=None, repr=False)


@dataclass(frozen=True)
class _Found:
    id: str
    image: str
    python: TargetPython
    bundle: bundle.Bundle


@contextmanager
def image_parts(
    daemon: Daemon, options: DockerOptions, cache: Path, progress: Progress, *, relay: bool = False
) -> Iterator[Parts]:
    """All that a container is made of, kept as long as the context lasts; makes or fetches what is not there.

    :param relay: with what an executor needs that dials out.
    :raises DockerFailed: something cannot be had.
    """
    image = ensure_image(daemon, options.image, cache, progress)
    user = options.user or host_user()
    # To hand a folder to another user takes root, and where ids are mapped they say nothing here.
    is_mounted = daemon.shares_files and not daemon.maps_users and (os.getuid() in (0, uid_of(user)))
    python = probe_image(daemon, image, user, cache)
    workshop = bundle.Workshop(daemon, image) if is_mounted else None
    with bundle.bundle_of(python, cache, progress, workshop, relay=relay) as made:
        yield Parts(image, python, made, user, is_mounted)


@contextmanager
def launched(
    daemon: Daemon, options: DockerOptions, cache: Path, dial_out: DialOut | None = None
) -> Iterator[Launched]:
    """An executor in a container of its own, which is removed at the end.

    :param dial_out: it is reached so; the container must have this machine's network then.
    :raises DockerFailed: it did not come up.
    """
    with image_parts(daemon, options, cache, SILENT, relay=dial_out is not None) as parts:
        launch = _mounted if parts.is_mounted else _carried
        with run_folder() as folder, launch(daemon, options, parts, folder, dial_out) as up:
            facts = {
                "container": up.id[:12],
                "image": options.image or default_tag(),
                "network": options.network,
            }
            facts = facts_of(daemon, parts.python) | facts
            yield Launched(up.url, folder / "executor.log", facts, bearer=up.bearer)


@contextmanager
def attached(daemon: Daemon, options: DockerOptions, cache: Path) -> Iterator[Launched]:
    """An executor in a container that runs already and that is not touched otherwise.

    :raises DockerFailed: there is no such container, or the executor did not come up.
    """
    with container_parts(daemon, options, cache, SILENT) as found, run_folder() as folder:
        command = found.python.command("unpack_and_serve")
        _, taken = relay.run_inside(daemon, found.id, command, options.user)
        with (
            started(taken, folder / "executor.log", found.bundle.archive()) as inner,
            _relay_to(daemon, found.id, found.python, options.user, inner, folder) as url,
        ):
            facts = {"container": options.container or found.id, "image": found.image}
            yield Launched(url, folder / "executor.log", facts_of(daemon, found.python) | facts)


@contextmanager
def container_parts(
    daemon: Daemon, options: DockerOptions, cache: Path, progress: Progress
) -> Iterator[_Found]:
    """The container that *options* name, and what fits it, kept as long as the context lasts; fetches what is
    not there.

    :raises DockerFailed: it is not there, does not run, or has no Python that can serve.
    """
    from docker.errors import APIError

    name = options.container
    assert name is not None
    try:
        about: dict[str, Any] = daemon.api.inspect_container(name)
    except APIError as error:
        raise DockerFailed(
            f"container {name!r} cannot be looked up: {error.explanation}; `docker ps` lists those that run"
        ) from error
    if not about["State"]["Running"]:
        raise DockerFailed(f"container {name!r} does not run ({about['State']['Status']}): start it first")
    id: str = about["Id"]

    def ask(program: str) -> tuple[int, bytes, bytes]:
        return _run_to_end(daemon, id, probe_command(program), options.user)

    python = find_python(f"container {name}", ask)
    with bundle.bundle_of(python, cache, progress, None) as made:
        yield _Found(id, about["Config"]["Image"], python, made)


@contextmanager
def _mounted(
    daemon: Daemon, options: DockerOptions, parts: Parts, folder: Path, dial_out: DialOut | None
) -> Iterator[_Up]:
    """The bundle is mounted, and the folder of the socket if the executor listens and there is no network.

    On a network of containers, others could connect to it: there it asks for a token.
    """
    mounts = {bundle.PACKAGES: parts.bundle.packages, bundle.EXECUTOR: parts.bundle.executor}
    sockets = folder / "s"
    ports = []
    listen = "ws://127.0.0.1:0"
    bearer = None
    asks: list[str] = []
    has_told = dial_out is not None or options.network == "host"
    if not has_told and options.network == "none":
        sockets.mkdir(mode=0o700)
        if os.getuid() == 0:
            os.chown(sockets, uid_of(parts.user), gid_of(parts.user))
        mounts[SOCKETS] = sockets
        listen = unix.format_url(f"{SOCKETS}/e")
    elif not has_told:
        listen = f"ws://0.0.0.0:{_PORT}"
        ports.append(_PORT)
        token = secrets.token_urlsafe()
        bearer = BearerAuth(Bearer(token))
        # Whoever may look at the container sees its command line.
        digest = hashlib.sha256(token.encode()).hexdigest()
        asks = ["--ws-auth", "capability-token", "--ws-token-sha256", digest]
    way = ["--listen", listen, *asks] if dial_out is None else dial_out.arguments
    command = parts.python.serve_command(bundle.PACKAGES, bundle.EXECUTOR, way)
    plan = Plan(
        parts.image, command, parts.user, options, mounts, frozenset({SOCKETS}), ports, remove_at_end=True
    )
    with (
        containers.created(daemon, plan) as id,
        started(
            containers.attach(daemon, id),
            folder / "executor.log",
            b"" if dial_out is None else dial_out.input,
            lambda: containers.start(daemon, id),
        ) as inner,
    ):
        if has_told:
            yield _Up(inner, id)
        elif options.network == "none":
            yield _Up(unix.format_url(str(sockets / "e")), id)
        else:
            yield _Up(f"ws://127.0.0.1:{_published(daemon, id)}", id, bearer)


@contextmanager
def _carried(
    daemon: Daemon, options: DockerOptions, parts: Parts, folder: Path, dial_out: DialOut | None
) -> Iterator[_Up]:
    """The bundle goes in over the standard input, and connections by programs that run inside, unless the
    executor dials out."""
    way = () if dial_out is None else dial_out.arguments
    command = parts.python.command("unpack_and_serve", *way)
    plan = Plan(parts.image, command, parts.user, options, remove_at_end=True)
    with (
        containers.created(daemon, plan) as id,
        started(
            containers.attach(daemon, id),
            folder / "executor.log",
            parts.bundle.archive() + (b"" if dial_out is None else dial_out.input),
            lambda: containers.start(daemon, id),
        ) as inner,
    ):
        if dial_out is not None:
            yield _Up(inner, id)
            return
        with _relay_to(daemon, id, parts.python, parts.user, inner, folder) as url:
            yield _Up(url, id)


@contextmanager
def started(
    taken: Any,
    log: Path,
    sent: bytes,
    start: Callable[[], None] = lambda: None,
    ended: Callable[[], object] = lambda: None,
) -> Iterator[str]:
    """Waits until the executor says how it is reached; yields that. Ends its input afterwards, and waits.

    :param taken: its streams.
    :param sent: what its input begins with.
    :param start: starts it, if it is not.
    :param ended: called in another thread once its outputs have ended.
    :raises DockerFailed: it did not come up, or does not end.
    """
    line = FirstLine()

    def end() -> None:
        line.end()
        ended()

    with log.open("wb", buffering=0) as errors:
        stream = Stream(taken, line.feed, errors.write, end)
        try:
            start()
            if sent:
                # When it has ended already, its words say more than this error.
                with suppress(OSError):
                    stream.send(sent)
            url = line.wait(_START_SECONDS)
            if urlsplit(url).scheme not in ("unix", "ws", "remote"):
                stream.wait_for_end(1.0)
                said = log.read_text(errors="replace")[-2000:].strip()
                raise DockerFailed(
                    f"the executor did not start in the container: it printed {url!r} where its URL was due; "
                    f"its standard error: {said or 'empty'}"
                )
            yield url
            stream.end_input()
            if not stream.wait_for_end(_STOP_SECONDS):
                raise DockerFailed(f"the executor in the container has not ended within {_STOP_SECONDS:g} s")
        finally:
            stream.close()


@contextmanager
def _relay_to(
    daemon: Daemon, container: str, python: TargetPython, user: str | None, inner: str, folder: Path
) -> Iterator[str]:
    path = unix.socket_path(inner)
    command = python.relay_command(path.rpartition("/")[0], path)
    outer = str(folder / "s")

    def start() -> Any:
        return relay.run_inside(daemon, container, command, user)[1]

    with relay.relayed(outer, start):
        yield unix.format_url(outer)


def _run_to_end(
    daemon: Daemon, container: str, command: list[str], user: str | None
) -> tuple[int, bytes, bytes]:
    out, err = bytearray(), bytearray()
    id, taken = relay.run_inside(daemon, container, command, user)
    stream = Stream(taken, out.extend, err.extend)
    try:
        stream.end_input()
        if not stream.wait_for_end(_PROBE_SECONDS):
            raise DockerFailed(f"{command[0]} has not ended within {_PROBE_SECONDS:g} s")
    finally:
        stream.close()
    status: int = daemon.api.exec_inspect(id)["ExitCode"]
    return status, bytes(out), bytes(err)


def _published(daemon: Daemon, id: str) -> int:
    about: dict[str, Any] = daemon.api.inspect_container(id)
    return int(about["NetworkSettings"]["Ports"][f"{_PORT}/tcp"][0]["HostPort"])


def facts_of(daemon: Daemon, python: TargetPython) -> dict[str, str]:
    version = f"{python.version[0]}.{python.version[1]}"
    return {
        "docker": f"{'podman ' if daemon.is_podman else ''}{daemon.version} at {daemon.host}",
        "python": python.program,
        "python version": f"{version}, {python.libc}, {python.machine}",
    }


def uid_of(user: str) -> int:
    return int(user.partition(":")[0])


def gid_of(user: str) -> int:
    return int(user.partition(":")[2] or 0)
