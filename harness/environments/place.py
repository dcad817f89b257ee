"""A place where an executor can be started, whichever way it is then reached."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from harness.bearer import BearerAuth
from harness.environments.base import (
    Availability,
    Environment,
    HostView,
    OpenClient,
    RelayedLinks,
    Running,
    running,
)
from harness.progress import Progress
from harness.remote.dial_out import DialOut

__all__ = ["REMOTE", "DialOut", "Launched", "Place", "place_of", "working"]

REMOTE: Final = "remote-"
"""What the name of an environment begins with whose executor dials out; that of its place follows."""


def place_of(name: str) -> str:
    """Returns the name of the environment where the executor of the environment *name* runs."""
    return name.removeprefix(REMOTE)


def _never() -> bool:
    return False


@dataclass(frozen=True)
class Launched:
    """An executor that listens or has dialled out.

    :ivar url: where it listens; ``remote:ID`` if it does not.
    :ivar log: the local file that holds its messages.
    :ivar facts, host_view, has_ended: see :class:`harness.environments.base.Running`.
    :ivar is_discarded: its whole machine goes with it.
    :ivar bearer: shows the token that it asks whoever connects to *url* for; None if it asks for none.
    """

    url: str
    log: Path
    facts: Mapping[str, str] = field(default_factory=dict)
    host_view: HostView | None = None
    has_ended: Callable[[], bool] = field(default=_never, repr=False)
    is_discarded: bool = False
    bearer: BearerAuth | None = field(default=None, repr=False)


class Place(Environment):
    """An environment whose executor listens, and can be told to dial out."""

    is_remote = True
    """Whether the executor has another file system than the tester."""

    @abstractmethod
    def launch(self, dial_out: DialOut | None = None) -> AbstractAsyncContextManager[Launched]:
        """Brings an executor up; leaving the context ends it. Errors from within get a note with the end of
        its log.

        :param dial_out: it can be reached once it has registered; None to have it listen.
        :raises EnvironmentFailed: it did not come up.
        """

    def available_to_dial_out(self) -> Availability:
        """As :meth:`available`, for an executor that is told to dial out."""
        return self.available()

    def prepare_to_dial_out(self, progress: Progress) -> None:
        """As :meth:`prepare`, for an executor that is told to dial out: it needs more packages.

        :raises EnvironmentFailed: something could not be made.
        """
        self.prepare(progress)

    @asynccontextmanager
    async def start(self) -> AsyncIterator[Running]:
        async with self.launch() as up, working(self.name, up, is_remote=self.is_remote) as found:
            yield found


def working(
    name: str,
    up: Launched,
    *,
    is_remote: bool,
    open_client: OpenClient | None = None,
    open_link: RelayedLinks | None = None,
    facts: Mapping[str, str] | None = None,
) -> AbstractAsyncContextManager[Running]:
    """Makes the workspace of what was launched; see :func:`harness.environments.base.running`.

    :param facts: more of them.
    """
    return running(
        name,
        up.url,
        is_remote=is_remote,
        open_client=open_client,
        open_link=open_link,
        facts={**up.facts, **(facts or {})},
        log=up.log,
        host_view=up.host_view,
        has_ended=up.has_ended,
        is_discarded=up.is_discarded,
        bearer=up.bearer,
    )
