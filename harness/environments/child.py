"""A program that is a child of this process and tells its URL on standard output."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from harness.environments.base import EnvironmentFailed

_START_SECONDS: Final = 30.0
_STOP_SECONDS: Final = 10.0
_LOG_TAIL_BYTES: Final = 4000
_URL_SCHEMES: Final = ("ws://", "wss://", "remote:")


@dataclass(frozen=True)
class Child:
    """A program that was started.

    :ivar url: where it listens, or how else it is found.
    """

    url: str
    _process: asyncio.subprocess.Process

    async def ask(self, line: str) -> str:
        """Writes a line to its input; returns the next one of its output, empty if that has ended."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(line.encode() + b"\n")
        return (await self._process.stdout.readline()).decode(errors="replace").strip()

    def has_ended(self) -> bool:
        return self._process.returncode is not None


@asynccontextmanager
async def start_child(
    command: Sequence[str],
    *,
    log: Path,
    env: Mapping[str, str],
    cwd: Path | None = None,
    remedy: str = "",
    ends_with_input: bool = True,
    input: bytes = b"",
    what: str = "executor",
    schemes: tuple[str, ...] = _URL_SCHEMES,
) -> AsyncIterator[Child]:
    """Starts a program whose input is a pipe that ends with the context.

    Errors from within get a note with the end of its standard error.

    :param log: gets its standard error.
    :param env: the whole environment.
    :param remedy: what may help when it does not start.
    :param ends_with_input: the end of its input ends it; else it is terminated at once.
    :param input: what its input begins with.
    :param what: what it is, for people.
    :param schemes: what the URL of such a one begins with.
    :raises EnvironmentFailed: it did not start.
    """
    with log.open("wb") as stderr:
        child = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=stderr,
            env=env,
            cwd=cwd,
            # Ctrl-C is for the harness, which ends the executor in order.
            start_new_session=True,
        )
    try:
        if input:
            assert child.stdin is not None
            child.stdin.write(input)
        url, trouble = await _read_url(child, schemes)
        if trouble:
            told = "; ".join(filter(None, (trouble, remedy, _tail(log))))
            raise EnvironmentFailed(f"{what} {command!r} did not start: {told}")
        try:
            yield Child(url, child)
        except Exception as error:
            error.add_note(f"{what} {command!r}: {_tail(log)}")
            raise
    finally:
        await _stop(child, ends_with_input)


async def _read_url(child: asyncio.subprocess.Process, schemes: tuple[str, ...]) -> tuple[str, str]:
    """Returns the URL, or else why there is none."""
    assert child.stdout is not None
    try:
        async with asyncio.timeout(_START_SECONDS):
            line = (await child.stdout.readline()).decode(errors="replace").strip()
            if line.startswith(schemes):
                return line, ""
            if line:
                return "", f"it printed {line!r} where its URL was due"
            return "", f"it exited with status {await child.wait()}"
    except TimeoutError:
        return "", f"it printed no URL within {_START_SECONDS:g} s"
    except ValueError as error:
        return "", f"its first line is no URL: {error}"


async def _stop(child: asyncio.subprocess.Process, ends_with_input: bool) -> None:
    """Ends the program: the end of its input asks for it; force follows where that is in vain."""
    assert child.stdin is not None
    child.stdin.close()
    if not ends_with_input and child.returncode is None:
        child.terminate()
    for force in (child.terminate, child.kill):
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await child.wait()
                return
        except TimeoutError:
            force()
    await child.wait()


def _tail(log: Path) -> str:
    text = log.read_bytes()[-_LOG_TAIL_BYTES:].decode(errors="backslashreplace").strip()
    return f"its standard error:\n{text}" if text else "its standard error is empty"
