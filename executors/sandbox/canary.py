"""Puts a sandbox backend to the test: a program in it tries what it must not be able to do.

What it says of itself counts, and what can be seen from the outside counts as well. A backend that keeps
programs from what its policy allows is of no use either, and is not offered.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from executors.process.base import Backend, ChildProcess, SpawnRequest
from executors.protocol.processes import Stream
from executors.sandbox import interpreter
from executors.sandbox.backend import Attempt, Confinement, Proof, SandboxBackend
from executors.sandbox.canary_kit import Kit
from executors.sandbox.canary_traps import Traps
from executors.sandbox.patterns import escape
from executors.sandbox.policy import Access, Policy, Rule, make_policy
from executors.sandbox.system import KIT, places

SECONDS: Final = 10.0
_EXIT_SECONDS: Final = 1.0
"""How long someone may take to die who was killed."""
_PROGRAM: Final = Path(__file__).with_name("canary_program.py")
_VICTIM: Final = """
import os, sys
token = sys.argv[1].encode()
print(id(token), os.open(sys.argv[2], os.O_RDONLY), flush=True)
sys.stdin.read()
"""

_FILES: Final = (
    *("write", "append", "create", "truncate", "rename", "take", "put", "remove", "make directory", "link"),
    *("write by hard link", "symlink", "write by symlink", "change mode", "change times"),
)
_CARVED: Final = "write into what is carved out"
_HIDDEN: Final = ("read a denied file", "list a denied directory")
_PATTERN: Final = "read what a pattern denies"
_NETWORK: Final = {"connect by TCP": "tcp", "send by UDP": "udp"}
_SIGNAL: Final = "signal a process"
_ALLOWED: Final = ("write inside", "read outside", "use the null device", "run a program")


async def prove(
    sandbox: SandboxBackend, *, processes: Backend, kit: Kit = KIT, seconds: float = SECONDS
) -> Proof:
    """Tries everything that *sandbox* says it can keep programs from.

    Nothing is left of it, whatever comes of it.

    :param processes: starts the programs.
    :param seconds: after which it is given up.
    :raises TimeoutError: a process resists being killed.
    """
    try:
        async with asyncio.timeout(seconds) as limit:
            try:
                return await _prove(sandbox, processes, kit)
            except OSError as error:
                if limit.expired():
                    raise
                return Proof(sandbox.name, reason=f"it could not be tried: {error}")
    except TimeoutError:
        if not limit.expired():
            raise
        return Proof(sandbox.name, reason=f"a program in it has not ended within {seconds:g} s")


async def _prove(sandbox: SandboxBackend, processes: Backend, kit: Kit) -> Proof:
    attempts: dict[str, Attempt] = {}
    async with AsyncExitStack() as stack:
        files = (*_FILES, *kit.files, "write by the root of a process", "remount")
        traps = stack.enter_context(Traps(kit, files))
        victim = await _Victim.start(processes, traps)
        stack.push_async_callback(victim.run.end)
        rounds = _rounds(sandbox, kit, traps)
        if not rounds:
            return Proof(sandbox.name, reason="it enforces none of the policies that it could be tried with")
        for one in rounds:
            found = await _Round(sandbox, processes, kit, traps, victim, one).attempts()
            if isinstance(found, str):
                return Proof(sandbox.name, tuple(attempts.values()), found)
            for attempt in found:
                if attempt.name not in attempts or not attempt.held:
                    attempts[attempt.name] = attempt
            if not all(attempt.held for attempt in found):
                break
    return Proof(sandbox.name, tuple(attempts.values()))


@dataclass(frozen=True)
class _Plan:
    """What is tried under one policy.

    :ivar forbidden: what must not come through.
    :ivar allowed: what must.
    """

    policy: Policy
    inside: Path
    forbidden: tuple[str, ...]
    allowed: tuple[str, ...]


def _rounds(sandbox: SandboxBackend, kit: Kit, traps: Traps) -> list[_Plan]:
    """Returns what *sandbox* is tried with, as much as it says it can do."""
    roots = places().roots
    files = (*_FILES, *kit.files)
    found: list[_Plan] = []

    inside = traps.inside(len(found))
    base = {root: Access.READ for root in roots} | {Path(traps.folder): Access.READ, inside: Access.WRITE}
    carved = base | {inside / "kept": Access.READ, traps.hidden: Access.NONE}
    pattern = (f"{escape(traps.folder.as_posix())}/**/*{traps.matching.suffix}",)
    hidden = (*_HIDDEN, *kit.hidden)
    shapes: list[tuple[Mapping[Path, Access], tuple[str, ...], tuple[str, ...]]] = [
        (carved, pattern, (_CARVED, *hidden, _PATTERN)),
        (carved, (), (_CARVED, *hidden)),
        (base, (), ()),
    ]
    for network in (False, True):
        listeners = {**_NETWORK, **kit.network}
        sockets = () if network else tuple(one for one in listeners if listeners[one] in traps.listeners)
        for rules, patterns, more in shapes:
            policy = _policy(rules, roots, network=network, patterns=patterns)
            if not found and sandbox.lacks(policy) is None:
                found.append(_Plan(policy, inside, (*files, *more, *sockets, *kit.processes), _ALLOWED))

    inside = traps.inside(1)
    visible = dict.fromkeys((*places().minimal, *interpreter.places(), _PROGRAM.parent), Access.READ)
    rules = {_real(path): access for path, access in visible.items() if os.path.exists(path)}
    rules |= {traps.outside: Access.READ, inside: Access.WRITE}
    policy = _policy(rules, roots, network=True)
    if sandbox.lacks(policy) is None:
        forbidden = (*files, *hidden, *kit.processes)
        found.append(_Plan(policy, inside, forbidden, (*_ALLOWED, "connect by TCP")))
    return found


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))


def _policy(
    rules: Mapping[Path, Access], roots: Sequence[Path], *, network: bool, patterns: tuple[str, ...] = ()
) -> Policy:
    return make_policy(
        [Rule(path, access) for path, access in rules.items()],
        denied_patterns=patterns,
        network=network,
        roots=roots,
    )


class _Run:
    """A process of the canary, and the observer of it."""

    def __init__(self) -> None:
        self.process: ChildProcess | None = None
        self.code: int | None = None
        self.text = {"stdout": bytearray(), "stderr": bytearray()}
        self._output_over = False
        self._changed = asyncio.Event()

    def output(self, stream: Stream, data: bytes) -> None:
        self.text[stream] += data
        self._changed.set()

    def exited(self, exit_code: int) -> None:
        self.code = exit_code
        self._changed.set()

    def output_closed(self) -> None:
        self._output_over = True
        self._changed.set()

    async def line(self) -> str:
        """Returns the first line that it prints; an empty one if it ends without."""
        while b"\n" not in self.text["stdout"] and not self._output_over:
            await self._change()
        return bytes(self.text["stdout"]).partition(b"\n")[0].decode("utf-8", "replace").strip()

    async def until_over(self) -> None:
        while self.code is None or not self._output_over:
            await self._change()

    async def until_exited(self, seconds: float) -> bool:
        """Returns whether it ends within *seconds*."""
        try:
            async with asyncio.timeout(seconds):
                while self.code is None:
                    await self._change()
        except TimeoutError:
            return False
        return True

    async def end(self) -> None:
        if self.process is not None:
            try:
                await self.process.terminate()
            finally:
                self.process.release()

    def complaint(self) -> str:
        """The last line of its standard error."""
        lines = bytes(self.text["stderr"]).decode("utf-8", "replace").strip().splitlines()
        return lines[-1][:200] if lines else "it said nothing"

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()


@dataclass(frozen=True)
class _Victim:
    """A process outside that has a secret in its memory and a file open.

    :ivar address: where in its memory the token is, or a few bytes before.
    :ivar descriptor: of the hidden file.
    """

    run: _Run
    pid: int
    address: int
    descriptor: int

    @classmethod
    async def start(cls, processes: Backend, traps: Traps) -> _Victim:
        """:raises OSError: it cannot be started."""
        run = _Run()
        argv = [*interpreter.command(), "-c", _VICTIM, traps.token, str(traps.hidden / "file")]
        environment = dict(interpreter.environment())
        request = SpawnRequest(argv, str(traps.folder), environment, pipe_stdin=True)
        run.process = processes.spawn(request, run)
        try:
            line = await run.line()
            if not line:
                raise OSError(f"{argv[0]} does not start outside of it either: {run.complaint()}")
            address, descriptor = map(int, line.split())
        except BaseException:
            await run.end()
            raise
        pid: int = run.process.pid
        return cls(run, pid, address, descriptor)


class _Round:
    """One program in one sandbox."""

    def __init__(
        self,
        sandbox: SandboxBackend,
        processes: Backend,
        kit: Kit,
        traps: Traps,
        victim: _Victim,
        plan: _Plan,
    ) -> None:
        self._sandbox = sandbox
        self._processes = processes
        self._kit = kit
        self._traps = traps
        self._victim = victim
        self._plan = plan

    async def attempts(self) -> list[Attempt] | str:
        """Returns what came of each attempt; or why the backend is of no use, whatever it keeps out.

        :raises OSError: the sandbox cannot be made.
        """
        try:
            confinement = self._sandbox.confine(self._plan.policy)
        except ValueError as error:
            return f"it could not be tried: {error}"
        try:
            found: list[Attempt] = []
            for _ in range(self._sandbox.ways):
                tried = await self._try(confinement)
                if isinstance(tried, str):
                    return tried
                found += tried
            return found
        finally:
            confinement.close()

    async def _try(self, confinement: Confinement) -> list[Attempt] | str:
        run = _Run()
        request = SpawnRequest(
            [*interpreter.command(), str(_real(_PROGRAM)), json.dumps(self._facts())],
            str(self._plan.inside),
            {**interpreter.environment()},
            starter=confinement.start,
        )
        try:
            run.process = self._processes.spawn(confinement.wrap(request), run)
        except ValueError as error:
            return f"it could not be tried: {error}"
        try:
            await run.until_over()
            said = [json.loads(line) for line in bytes(run.text["stdout"]).splitlines()]
            names = (*self._plan.allowed, *self._plan.forbidden)
            if len(said) < len(names):
                what = f"after {said[-1]['name']!r}" if said else "before it could try anything"
                return f"a program in it ended with {run.code} {what}: {run.complaint()}"
            allowed = [one for one in said if one["name"] in self._plan.allowed]
            failed = [f"{one['name']} ({one['found']})" for one in allowed if not one["done"]]
            if failed:
                return f"it keeps programs from what they may do: {', '.join(failed)}"
            judged = [await self._judge(one) for one in said if one["name"] in self._plan.forbidden]
            seen = confinement.evidence(run.process.pid)
            if self._sandbox.sees_denials and seen is None and all(one.held for one in judged):
                return "it does not see what it keeps programs from, though it says so"
            return judged
        finally:
            await run.end()

    def _facts(self) -> dict[str, Any]:
        return {
            **self._traps.facts(),
            **self._kit.facts(),
            "inside": str(self._plan.inside),
            "kept": str(self._plan.inside / "kept" / "file"),
            "modules": self._kit.modules,
            "program": self._kit.program,
            "attempts": (*self._plan.allowed, *self._plan.forbidden),
            "victim": self._victim.pid,
            "address": self._victim.address,
            "descriptor": self._victim.descriptor,
            "executor": os.getpid(),
        }

    async def _judge(self, said: Mapping[str, Any]) -> Attempt:
        name, through, found = said["name"], bool(said["done"]), str(said["found"])
        if name == _SIGNAL:
            # Inside, its number may be that of somebody else, or nobody's.
            through = self._victim.run.code is not None or (
                through and await self._victim.run.until_exited(_EXIT_SECONDS)
            )
        elif self._traps.has_changed(name):
            through, found = True, f"{found}, and it has changed"
        listener = self._traps.listeners.get({**_NETWORK, **self._kit.network}.get(name, ""))
        if listener is not None and listener.has_heard():
            through, found = True, f"{found}, and it was heard"
        return Attempt(name, not through, found)
