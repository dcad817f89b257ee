"""``crossexec up``: an environment to work with until somebody ends it."""

from __future__ import annotations

import argparse
import asyncio
import shlex
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any, Final, Self

from harness.cli_target import UsageError
from harness.client import Client, ClientError, ConnectFailed, RecoveryOptions, connect
from harness.environments import EnvironmentFailed, Running
from harness.environments.place import REMOTE
from harness.environments.url import UrlEnvironment

if sys.platform == "win32":
    from harness import cli_terminal_windows as terminal
else:
    from harness import cli_terminal_posix as terminal

_LOG_TAIL_BYTES: Final = 4000


async def up(options: argparse.Namespace) -> int:
    """Keeps the environment until a signal asks for its end; returns the exit status.

    :raises EnvironmentFailed: it did not come up, or its executor has ended.
    """
    if isinstance(options.environment, UrlEnvironment):
        raise UsageError(f"{options.env} is up already; give one that `crossexec envs` lists")
    if options.env.startswith(REMOTE):
        raise UsageError(
            f"{options.env} has a rendezvous of its own, which nobody else may use; for one that stays, see "
            "crossexec rendezvous --help"
        )
    ended = None
    with EndOfUp() as end:
        try:
            async with options.environment.start() as running:
                ended = await keep(running, end)
        except asyncio.CancelledError:
            if not end.asked.is_set():
                raise
        except ClientError:
            # Nobody can tidy up through an executor that is gone.
            if ended is None:
                raise
    if ended is not None:
        raise ended
    return 0


async def keep(running: Running, end: EndOfUp) -> EnvironmentFailed | None:
    """Tells the URL and waits; returns what has ended the executor if it was not asked for."""
    with _token_file(running) as token_file:
        return await _keep(running, end, token_file)


async def _keep(running: Running, end: EndOfUp, token_file: Path | None) -> EnvironmentFailed | None:
    told = False
    found = ""
    while True:
        try:
            # As whoever gets the URL will connect.
            # That the executor has ended shows at once in a connection that nothing is done to keep.
            no_recovery = RecoveryOptions(enabled=False)
            async with connect(
                running.url, client_name="crossexec-up", recovery=no_recovery, bearer=running.bearer
            ) as client:
                end.may_cancel = False
                if not told:
                    _tell(running, token_file)
                    told = True
                if not await _lost(client, end.asked):
                    return None
                found = str(await client.wait_lost())
        except ConnectFailed:
            # A connection may be lost for reasons of its own; it is another matter if there is no new one.
            if not told:
                raise
            break
    if not running.is_remote:
        shutil.rmtree(running.workspace_root.render(), ignore_errors=True)
    return EnvironmentFailed(f"the executor of {running.name} has ended: {found}{_tail(running.log)}")


async def _lost(client: Client, asked: asyncio.Event) -> bool:
    """Waits for either; returns whether the session is lost and nobody has asked for the end."""
    waiting = [asyncio.ensure_future(client.wait_lost()), asyncio.ensure_future(asked.wait())]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
    return not asked.is_set()


class EndOfUp:
    """Hears the signals that ask for an end; the second one ends this process as it would without.

    A signal that whoever started this has it ignore, as nohup(1) does with SIGHUP, stays ignored.

    :ivar asked: set when one has come.
    :ivar may_cancel: a signal cancels the task that has entered this: nobody waits for ``asked`` yet.
    """

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.may_cancel = True
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None

        def ask() -> None:
            self.asked.set()
            if self.may_cancel:
                self.may_cancel = False
                task.cancel()

        def handle(number: int, frame: FrameType | None) -> None:
            self.__exit__()
            print("crossexec up: ending", file=sys.stderr, flush=True)
            loop.call_soon_threadsafe(ask)

        for number in (signal.SIGINT, *terminal.ENDINGS):
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, handle)
        return self

    def __exit__(self, *exc_info: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()


@contextmanager
def _token_file(running: Running) -> Iterator[Path | None]:
    """A file of this user's alone, with the token that whoever gets the URL has to show; None if
    the executor asks for none. It goes at the end.
    """
    if running.bearer is None:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="crossexec-up-") as folder:
        path = Path(folder, "token")
        path.touch(0o600)
        path.write_text(running.bearer.token())
        yield path


def _tell(running: Running, token_file: Path | None) -> None:
    print(running.url, flush=True)
    url = shlex.quote(running.url)
    if token_file is not None:
        url += f" --url-token-file {shlex.quote(str(token_file))}"
    example = "cmd /c ver" if running.platform == "windows" else "uname -a"
    print(
        f"crossexec up: {running.name} is up until Ctrl-C; for example:\n"
        f"  crossexec run --url {url} -- {example}\n"
        f"  pytest --env={url}",
        file=sys.stderr,
        flush=True,
    )


def _tail(log: Path | None) -> str:
    text = ""
    if log is not None:
        with suppress(OSError):
            text = log.read_bytes()[-_LOG_TAIL_BYTES:].decode(errors="backslashreplace").strip()
    return f"; its last words:\n{text}" if text else "; it has said nothing"
