"""What an environment is: a place where an executor runs, and how to bring it up and down."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from executors.protocol.environment import EnvironmentInfo
from executors.protocol.path_uri import PathUri
from harness.bearer import BearerAuth
from harness.cleaning import Cleaned
from harness.client import Client, ClientError, RpcError, connect
from harness.client.links import Link, LinkOptions, MakeReceiver
from harness.progress import Progress

OpenClient = Callable[[str], AbstractAsyncContextManager[Client]]


class RelayedLinks(Protocol):
    """Opens links to an executor that nobody can connect to; an :data:`harness.client.session.OpenLink`.

    :ivar rendezvous: where the last one was dialled: ``ws://HOST:PORT`` or ``wss://…``.
    """

    async def __call__(self, make_receiver: MakeReceiver, /) -> Link: ...

    @property
    def rendezvous(self) -> str: ...

    def through(
        self, redirect: Callable[[str], tuple[str, int]], options: LinkOptions | None = None
    ) -> RelayedLinks:
        """The same by way of somebody who stands before the rendezvous.

        :param redirect: which host and port to connect to, given the rendezvous as above.
        :param options: other ones than before.
        """


class EnvironmentFailed(ClientError):
    """An environment could not be brought up; the text says what was tried and what came of it."""


class ExecutorUnavailable(EnvironmentFailed):
    """An executor that is not of this package cannot be had or run here, or has died.

    :ivar reason: why.
    :ivar remedy: what would help.
    """

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__("; ".join(filter(None, (reason, remedy))))
        self.reason = reason
        self.remedy = remedy


@dataclass(frozen=True)
class Availability:
    """Whether an environment can be brought up here.

    :ivar reason: why not.
    :ivar remedy: what would help.
    """

    ok: bool
    reason: str = ""
    remedy: str = ""

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        return (
            "available" if self.ok else ": ".join(filter(None, ("not available", self.reason, self.remedy)))
        )


class HostView(Protocol):
    """The executor's files as this machine's own file system holds them.

    No client of a real remote machine has it: it lets a test check the executor's word against
    the disk.
    """

    def host_path(self, uri: PathUri) -> Path:
        """Returns where *uri* lies on this machine, whether or not anything is there.

        :raises ValueError: this machine cannot see it.
        """

    def uri(self, path: Path) -> PathUri:
        """Returns what the executor calls the local *path*.

        :raises ValueError: the executor cannot see it.
        """


def _never() -> bool:
    return False


@dataclass(frozen=True)
class Running:
    """An executor that runs, and what a tester may know of it.

    :ivar name: the environment's.
    :ivar url: where the executor listens; for people only, if :meth:`connect` goes another way.
    :ivar info: what the executor tells of itself.
    :ivar workspace_root: an empty directory on the executor's machine, removed at the end.
    :ivar is_remote: the executor has another file system than the tester.
    :ivar open_client: makes a client, given its name; see :meth:`connect`.
    :ivar facts: anything worth a line in a report, such as versions.
    :ivar log: the local file that holds the executor's messages, if there is one.
    :ivar host_view: its files seen from this machine, where that can be.
    :ivar has_ended: whether it is known to run no more.
    :ivar open_link: makes a connection to it, where nobody can connect to *url*; None where one can.
    :ivar bearer: shows the token that it asks whoever connects to *url* for; None if it asks for none.
    """

    name: str
    url: str
    info: EnvironmentInfo
    workspace_root: PathUri
    is_remote: bool
    open_client: OpenClient = field(repr=False)
    facts: Mapping[str, str] = field(default_factory=dict)
    log: Path | None = None
    host_view: HostView | None = None
    has_ended: Callable[[], bool] = field(default=_never, repr=False)
    open_link: RelayedLinks | None = field(default=None, repr=False)
    bearer: BearerAuth | None = field(default=None, repr=False)

    @property
    def platform(self) -> str:
        """``linux``, ``windows`` or ``macos``; ``unknown`` for an executor too old to tell."""
        return self.info.platform_os or "unknown"

    def connect(self, *, client_name: str = "crossexec") -> AbstractAsyncContextManager[Client]:
        """A new client, with a session of its own."""
        return self.open_client(client_name)


class Environment(ABC):
    """One kind of place; making the object costs nothing and starts nothing."""

    name: str

    @abstractmethod
    def available(self) -> Availability:
        """Tells quickly, without starting anything, whether :meth:`start` can work here."""

    def prepare(self, progress: Progress) -> None:  # noqa: B027  # most have nothing to prepare
        """Makes what is made once on this machine for all runs; quick when it is there. It blocks.

        :meth:`start` does the same without a word; this is for telling how far it has come.

        :raises EnvironmentFailed: it could not be made.
        """

    def clean(self) -> list[str]:
        """Removes what dead runs have left, and nothing of live ones; returns what that was. It blocks.

        :raises EnvironmentFailed: something could not be removed.
        """
        return []

    def clean_cache(self, everything: bool) -> Cleaned:
        """Removes what :meth:`prepare` has made and the present code would not use; never what is in use.

        It blocks, and can be done while environments run or start.

        :param everything: also what it would use, which is made again when it is needed.
        """
        return Cleaned()

    def in_use(self) -> list[str]:
        """Returns, for people, what of the things that :meth:`clean_cache` could remove is in use now."""
        return []

    @abstractmethod
    def start(self) -> AbstractAsyncContextManager[Running]:
        """Brings an executor up; leaving the context ends it and all that it started.

        :raises EnvironmentFailed: it did not come up.
        """


@asynccontextmanager
async def running(
    name: str,
    url: str,
    *,
    is_remote: bool,
    open_client: OpenClient | None = None,
    facts: Mapping[str, str] | None = None,
    log: Path | None = None,
    host_view: HostView | None = None,
    has_ended: Callable[[], bool] = _never,
    open_link: RelayedLinks | None = None,
    bearer: BearerAuth | None = None,
    is_discarded: bool = False,
) -> AsyncIterator[Running]:
    """Makes the workspace of an executor that is up, and removes it at the end.

    :param is_discarded: its whole machine goes with it, and the workspace too.
    :param open_client: how to connect to it; None to connect to *url*.
    :param bearer: shows the token that it asks for.
    :raises ConnectFailed: it does not answer.
    :raises EnvironmentFailed: it has no place for a workspace.
    """

    def connect_to_url(client_name: str) -> AbstractAsyncContextManager[Client]:
        return connect(url, client_name=client_name, bearer=bearer)

    open_client = open_client or connect_to_url
    async with open_client("crossexec-workspace") as client:
        info = client.info
        parent = info.temp_dir or info.cwd
        if parent is None:
            raise EnvironmentFailed(
                f"the executor at {url} tells neither tempDir nor cwd: no place to work in"
            )
        root = PathUri.parse(parent).join(f"crossexec-{os.urandom(6).hex()}")
        await client.files.create_directory(root)
        told = {"executor": info.executor_version, "shell": info.shell.path, "platform": info.platform_os}
        known = {key: value for key, value in told.items() if value is not None}
        if info.console_code_page is not None:
            known["code page"] = str(info.console_code_page)
        if info.speed_ups is not None:
            known["speed-ups"] = ", ".join(info.speed_ups) or "none"
    try:
        yield Running(
            name,
            url,
            info,
            root,
            is_remote,
            open_client,
            {**known, **(facts or {})},
            log,
            host_view,
            has_ended,
            open_link,
            bearer,
        )
    finally:
        if not is_discarded:
            # A client of its own, for the tests may have broken every other connection.
            try:
                async with open_client("crossexec-workspace") as client:
                    await client.files.remove(root)
            except (ClientError, RpcError) as error:
                raise EnvironmentFailed(f"{root} remains on {name} ({url}): {error}") from error
