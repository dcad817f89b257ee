"""A Dask cluster as the matrix sees it: its workers, and what they are sent."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import uuid
import warnings
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any, Final

import msgspec

from executors import __version__
from harness.client.errors import ClientError
from harness.matrix.dask_messages import TOPIC, Message, Order

_CONNECT_SECONDS: Final = 10.0
_ANSWER_SECONDS: Final = 30.0
_ADDRESS: Final = re.compile(r"(tcp|tls|wss?)://[^/]+:[0-9]+")


class DaskFailed(ClientError):
    """No Dask cluster can be used at an address; the text says why, and the remedy."""


class SchedulerLost(Exception):
    """The scheduler answers no more."""


class DaskWorker(msgspec.Struct, frozen=True):
    """What the scheduler tells of a worker.

    :ivar nthreads: how many tasks it runs at once.
    :ivar host: its address without the port.
    :ivar status: in Dask's words; ``running`` where it takes tasks.
    """

    nthreads: int
    host: str
    status: str


class Task:
    """A cell that a worker has been sent.

    :ivar result: what comes of it: an encoded Cell, or why the worker could not begin; it is cancelled if
        the connection is closed.
    """

    def __init__(self, future: Any) -> None:
        self._future = future
        self.result: asyncio.Task[bytes | str] = asyncio.ensure_future(future.result())

    def let_go(self) -> None:
        """What it returns is not wanted; if it has begun, it stops within seconds."""
        self.result.cancel()
        self._future.release()


class Cluster:
    """A connection to the scheduler of a cluster.

    :ivar address: the scheduler's.
    """

    def __init__(self, address: str, client: Any) -> None:
        self.address = address
        self._client = client

    def hear(self, handler: Callable[[Message], None]) -> None:
        """Has *handler* called with what workers tell, of other runs of the matrix too."""

        def handle(event: tuple[float, bytes]) -> None:
            handler(msgspec.msgpack.decode(event[1], type=Message))

        self._client.subscribe_topic(TOPIC, handle)

    async def workers(self) -> dict[str, DaskWorker]:
        """Returns the workers that there are, by address.

        :raises SchedulerLost: the scheduler does not answer.
        """
        with _answering():
            async with asyncio.timeout(_ANSWER_SECONDS):
                told = await self._client.scheduler.identity(n_workers=-1)
        return msgspec.convert(told["workers"], dict[str, DaskWorker])

    def submit(self, order: Order, address: str) -> Task:
        """Sends a cell to the worker at *address*, and to no other."""
        key = order.spec.key
        return Task(
            self._client.submit(
                _make_task(),
                __version__,
                msgspec.msgpack.encode(order),
                # Dask's dashboard shows it without what looks like a hash.
                key=f"crossexec-{key.environment}-{key.suite}-{uuid.uuid4().hex}",
                pure=False,
                retries=0,
                workers=[address],
                allow_other_workers=False,
            )
        )

    async def stop(self, run: str, addresses: Sequence[str], *, kill: bool) -> set[int]:
        """Stops the cells of a run on these workers; returns the indices of those that ran.

        :param kill: at once, and not in order.
        :raises SchedulerLost: the scheduler does not answer.
        """
        with _answering():
            async with asyncio.timeout(_ANSWER_SECONDS):
                # Outside of the scheduling of tasks, since the threads of the workers are busy.
                told = await self._client.run(
                    _make_stop(), run, kill, workers=list(addresses), on_error="ignore"
                )
        return {index for indices in told.values() for index in indices}


@contextlib.contextmanager
def _answering() -> Iterator[None]:
    try:
        yield
    except (OSError, TimeoutError) as error:
        raise SchedulerLost(first_line(error)) from error


@contextlib.asynccontextmanager
async def connect(address: str) -> AsyncIterator[Cluster]:
    """A connection to the cluster whose scheduler is at *address*; leaving it drops what was not returned.

    :raises DaskFailed: the package ``distributed`` is not installed, or no scheduler answers there.
    """
    try:
        from distributed import Client
    except ImportError as error:
        raise DaskFailed(
            f"--dask needs a package that is not installed ({error}): pip install 'crossexec[dask]'"
        ) from error
    if not _ADDRESS.fullmatch(address):
        raise DaskFailed(
            f"--dask: {address!r} is no address of a Dask scheduler, which looks like tcp://HOST:8786 or "
            "tls://HOST:8786; dask scheduler prints its own"
        )
    with _quiet():
        client: Any = None
        try:
            try:
                # Connecting has several steps, each with a timeout of its own.
                async with asyncio.timeout(_CONNECT_SECONDS + 1):
                    make: Any = Client
                    client = make(address, asynchronous=True, set_as_default=False, timeout=_CONNECT_SECONDS)
                    await client
            except TypeError as error:
                raise DaskFailed(
                    f"--dask={address}: {first_line(error)}: tls:// needs the certificates that Dask's "
                    "configuration names under distributed.comm.tls"
                ) from error
            except Exception as error:
                raise DaskFailed(
                    f"no Dask scheduler answers at {address} within {_CONNECT_SECONDS:g} s{_cause(error)}: "
                    "is it running there (dask scheduler), and is this the address that it printed?"
                ) from error
            yield Cluster(address, client)
        finally:
            if client is not None:
                with contextlib.suppress(OSError, TimeoutError):
                    await client.close(timeout=_CONNECT_SECONDS)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps Dask from writing over the display what a cell's reason tells, or what does not matter."""
    loggers = [logging.getLogger(name) for name in ("distributed", "tornado")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="distributed")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _make_task() -> Callable[[str, bytes], bytes | str]:
    """Returns what a worker is sent. Being local, it travels as code: it finds out about the worker's
    crossexec before anything of it is imported, and the scheduler needs none."""

    def crossexec_cell(version: str, order: bytes) -> bytes | str:
        import platform

        host = platform.node()
        try:
            import executors
        except ImportError as error:
            return f"the Dask worker on {host} has no crossexec ({error}): install crossexec=={version} there"
        if executors.__version__ != version:
            return (
                f"the Dask worker on {host} has crossexec {executors.__version__}, and this is {version}: "
                "install the same on both"
            )
        try:
            from harness.matrix.dask_worker import run_order
        except ImportError as error:
            return (
                f"the crossexec of the Dask worker on {host} lacks something ({error}): "
                f"install 'crossexec[dask,docker,matrix]=={version}' there"
            )
        return run_order(order)

    return crossexec_cell


def _make_stop() -> Callable[[str, bool], list[int]]:
    """Returns what workers are sent to stop the cells of a run; see :func:`_make_task`."""

    def crossexec_stop(run: str, kill: bool) -> list[int]:
        import sys

        # Where it is not imported, nothing runs.
        worker = sys.modules.get("harness.matrix.dask_worker")
        return worker.stop_run(run, kill) if worker is not None else []

    return crossexec_stop


def explain(error: BaseException) -> str:
    """Why Dask says that a task failed.

    :raises SchedulerLost: it failed for no reason of its own.
    """
    from distributed import KilledWorker
    from distributed.client import FutureCancelledError

    if isinstance(error, FutureCancelledError):
        if error.reason == "scheduler-connection-lost":
            raise SchedulerLost("the connection to it was lost") from error
        return f"the task was cancelled in the Dask cluster: {error.reason}"
    if isinstance(error, KilledWorker):
        return (
            f"the Dask worker {error.last_worker.address} died {error.allowed_failures + 1} times while it "
            "had the cell: see its log; the memory of a machine may not suffice"
        )
    return f"the task failed on the Dask worker: {type(error).__name__}: {error}"


def first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _cause(error: BaseException) -> str:
    """What the system said first of all, in brackets; Dask tells only that time has passed."""
    found = ""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            found = f" ({cause.strerror})"
        cause = cause.__cause__ or cause.__context__
    return found
