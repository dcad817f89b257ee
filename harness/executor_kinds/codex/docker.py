"""The released exec-server in a container that is made for it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from executors.transport import unix
from harness.docker import caches, containers
from harness.docker.containers import Plan
from harness.docker.daemon import Daemon, open_daemon
from harness.docker.errors import DockerFailed
from harness.docker.folder import run_folder
from harness.docker.image import default_tag
from harness.docker.launch import (
    SOCKETS,
    Launched,
    Parts,
    facts_of,
    gid_of,
    image_parts,
    started,
    uid_of,
)
from harness.docker.leftovers import remove_leftovers
from harness.docker.options import DockerOptions
from harness.environments import place
from harness.environments.base import Availability, Running
from harness.environments.docker import DockerEnvironment, docker_cache
from harness.environments.place import DialOut
from harness.executor_kinds.codex import program
from harness.executor_kinds.codex.checks import available, check_version, failures_told
from harness.executor_kinds.codex.launch import GUARD, arguments_of, input_of, way_of
from harness.executor_kinds.codex.local import runs_here
from harness.executor_kinds.codex.program import Program
from harness.executor_kinds.codex.release import LINUX
from harness.progress import SILENT, Progress
from harness.settings import Settings

_VENDOR: Final = "/opt/codex"
# /tmp may be written to by what runs in a sandbox.
_HOME: Final = "/run/codex-home"


class CodexDocker(DockerEnvironment):
    """Runs it as :class:`DockerEnvironment` runs this package's executor; the program is mounted read only.

    It speaks TCP alone, which nobody reaches in a container without a network: a program of the standard
    library passes on what comes over a socket in a shared folder.

    :param settings: which program, and about containers.
    """

    is_discarded = True

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings.docker)
        self._given = settings.codex_binary

    def available(self) -> Availability:
        name = self._options.container
        if name is not None:
            return Availability(
                False,
                f"the released exec-server is not run in a container that is there, such as {name}",
                "leave out --docker-container",
            )
        found = super().available()
        return found and (runs_here() or available(self._given, LINUX))

    def available_to_dial_out(self) -> Availability:
        return super().available_to_dial_out() and self.available()

    def prepare(self, progress: Progress) -> None:
        super().prepare(progress)
        with failures_told(), program.program(self._given, LINUX, progress):
            pass

    def prepare_to_dial_out(self, progress: Progress) -> None:
        self.prepare(progress)

    @asynccontextmanager
    async def launch(self, dial_out: DialOut | None = None) -> AsyncIterator[place.Launched]:
        with failures_told():
            async with super().launch(dial_out) as up:
                yield up

    @asynccontextmanager
    async def start(self) -> AsyncIterator[Running]:
        with failures_told():
            async with super().start() as up:
                yield check_version(up)

    @contextmanager
    def _launched(self, dial_out: DialOut | None) -> Iterator[Launched]:
        cache = docker_cache()
        options = self._options if dial_out is None else replace(self._options, network="host")
        with open_daemon() as daemon:
            remove_leftovers(daemon)
            with (
                caches.images_in_use(cache),
                image_parts(daemon, options, cache, SILENT) as parts,
                program.program(self._given, LINUX, SILENT) as found,
                run_folder() as folder,
                self._container(daemon, options, parts, found, folder, dial_out) as up,
            ):
                yield up

    @contextmanager
    def _container(
        self,
        daemon: Daemon,
        options: DockerOptions,
        parts: Parts,
        found: Program,
        folder: Path,
        dial_out: DialOut | None,
    ) -> Iterator[Launched]:
        if not parts.is_mounted:
            raise DockerFailed(
                "the released exec-server cannot be brought into a container of a daemon that shares no "
                "files with this machine; use a daemon of this machine, as root or as --docker-user"
            )
        shared = {SOCKETS: folder / "s", _HOME: folder / "h"}
        for path in shared.values():
            path.mkdir(mode=0o700)
            if os.getuid() == 0:
                os.chown(path, uid_of(parts.user), gid_of(parts.user))
        socket = f"{SOCKETS}/e"
        python = [parts.python.program, "-I", "-S", "-B", "-X", "utf8"]
        plan = Plan(
            parts.image,
            [
                *(*python, "-c", GUARD.read_text("utf-8"), _HOME, way_of(dial_out, socket)),
                *(f"{_VENDOR}/{LINUX.program}", *arguments_of(dial_out)),
            ],
            parts.user,
            options,
            {_VENDOR: found.vendor, **shared},
            frozenset(shared),
            remove_at_end=True,
        )
        ended: list[Any] = []
        with (
            containers.created(daemon, plan) as id,
            started(
                containers.attach(daemon, id),
                folder / "executor.log",
                input_of(dial_out),
                lambda: containers.start(daemon, id),
                lambda: ended.append(id),
            ) as url,
        ):
            facts = {
                "container": id[:12],
                "image": options.image or default_tag(),
                "network": options.network,
                "codex program": found.origin,
            }
            yield Launched(
                unix.format_url(str(folder / "s/e")) if dial_out is None else url,
                folder / "executor.log",
                facts_of(daemon, parts.python) | facts,
                lambda: bool(ended),
            )
