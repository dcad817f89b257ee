"""File calls under a sandbox: each is made by a helper process inside of it."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from executors.filesystem.operations import OPERATIONS
from executors.process.base import Backend
from executors.protocol.errors import RpcError, internal_error, invalid_params
from executors.sandbox.policy import Policy
from executors.server.confinements import Confined, Confinements, identify
from executors.server.workers import Workers

if sys.platform == "linux":
    from executors.sandbox.file_keeper_linux import FileCall, FileKeeper, widened
else:
    from executors.sandbox.file_keeper_missing import FileCall, FileKeeper, widened

T = TypeVar("T")

_MOST_KEPT: Final = 8
_TRIES: Final = 3

_log = logging.getLogger(__name__)


class SandboxedFiles:
    """Keeps a helper for each policy that is in use, the last eight.

    :param processes: starts and ends them.
    :param confinements: for file calls alone: what runs in the same sandbox could take a helper over.
    """

    def __init__(self, processes: Backend, workers: Workers, confinements: Confinements) -> None:
        self._processes = processes
        self._workers = workers
        self._confinements = confinements
        self._helpers: OrderedDict[Any, _Helper] = OrderedDict()
        self._closed = False

    def policy(self, sandbox: Any) -> Policy | None:
        """Returns what a call is to be kept to; None for nothing.

        :raises RpcError: INVALID_PARAMS: the intent is malformed or cannot be enforced here.
        """
        policy = self._confinements.policy(sandbox)
        if policy is not None and self._closed:
            raise internal_error("the session is closing")
        return policy

    async def call(
        self,
        policy: Policy,
        name: str,
        paths: tuple[str, ...],
        options: Mapping[str, bool | int],
        to_wire: Callable[[Any], T],
        content: Callable[[], bytes] | None = None,
    ) -> T:
        """Returns the result of an operation; its process ends with the task that awaits it.

        :param name: of :data:`executors.filesystem.operations.OPERATIONS`.
        :param to_wire: makes a reply of the result, on a worker thread.
        :param content: returns what is to be written, on a worker thread.
        :raises RpcError: INVALID_PARAMS: *policy* cannot be enforced, and nothing has happened; else as the
            operation.
        """
        for _ in range(_TRIES):
            if self._closed:
                raise internal_error("the session is closing")
            helper = self._helper(policy)
            helper.users += 1
            try:
                await self._trim()
                keeper = await helper.keeper()
                call = keeper.call()
                made = self._workers.submit(_make, call, name, paths, options, to_wire, content)
                try:
                    return await made
                except asyncio.CancelledError:
                    call.call_off()
                    raise
                except EOFError:
                    continue
            finally:
                helper.users -= 1
        raise internal_error("the processes that make calls in this sandbox end as soon as they are started")

    async def close(self) -> None:
        """Ends every helper, with its calls."""
        self._closed = True
        helpers = list(self._helpers.values())
        self._helpers.clear()
        for result in await asyncio.gather(*(one.close() for one in helpers), return_exceptions=True):
            if isinstance(result, Exception):
                _log.error("a file helper was not ended: %s", result)
        self._confinements.close()

    def _helper(self, policy: Policy) -> _Helper:
        key = identify(policy)
        helper = self._helpers.get(key)
        if helper is None:
            helper = self._helpers[key] = _Helper(self._processes, self._workers, self._confinements, policy)
        self._helpers.move_to_end(key)
        return helper

    async def _trim(self) -> None:
        """Ends those used longest ago, if there are too many; those in use stay."""
        for key, helper in list(self._helpers.items()):
            if len(self._helpers) <= _MOST_KEPT:
                return
            if not helper.users and self._helpers.pop(key, None) is not None:
                await helper.close()


class _Helper:
    """The helper of one policy, started when it is needed, and again when it has ended."""

    def __init__(
        self, processes: Backend, workers: Workers, confinements: Confinements, policy: Policy
    ) -> None:
        self._processes = processes
        self._workers = workers
        self._confinements = confinements
        self._policy = policy
        self._lock = asyncio.Lock()
        self._keeper: FileKeeper | None = None
        self._confined: Confined | None = None
        self._is_ready = False
        self.users = 0

    async def keeper(self) -> FileKeeper:
        """:raises RpcError: INVALID_PARAMS: there is no sandbox for it, or it cannot be started in there."""
        # One that has not got its policy yet would take a call for it.
        if self._keeper is not None and self._is_ready and self._keeper.is_alive:
            return self._keeper
        async with self._lock:
            if self._keeper is not None and self._is_ready and self._keeper.is_alive:
                return self._keeper
            await self._end()
            self._keeper = await self._start()
            return self._keeper

    async def close(self) -> None:
        async with self._lock:
            await self._end()

    async def _start(self) -> FileKeeper:
        try:
            policy = widened(self._policy)
        except OSError as error:
            raise _not_started(f"{error}") from None
        self._confined = await self._confinements.take(policy)
        name = self._confined.backend.name
        try:
            keeper = FileKeeper(self._processes, self._confined.confinement, self._policy)
        except (OSError, ValueError) as error:
            await self._end()
            raise _not_started(f"{name}: {error}") from None
        self._keeper = keeper
        try:
            await self._workers.submit(keeper.start)
        except EOFError:
            said = await keeper.complaint()
            await self._end()
            raise _not_started(f"{name}: {said}") from None
        except BaseException:
            await self._end()
            raise
        self._is_ready = True
        return keeper

    async def _end(self) -> None:
        keeper, self._keeper = self._keeper, None
        self._is_ready = False
        confined, self._confined = self._confined, None
        try:
            if keeper is not None:
                await keeper.close()
        finally:
            if confined is not None:
                self._confinements.give_back(confined)


def _make(
    call: FileCall,
    name: str,
    paths: tuple[str, ...],
    options: Mapping[str, bool | int],
    to_wire: Callable[[Any], T],
    content: Callable[[], bytes] | None,
) -> T:
    data = None if content is None else content()
    return to_wire(call.make(name, OPERATIONS[name], paths, options, data))


def _not_started(why: str) -> RpcError:
    return invalid_params(
        f"field `sandbox`: no process to make the call can be started in it ({why}): ask for another sandbox "
        "or for none (null, or type `disabled`)"
    )
