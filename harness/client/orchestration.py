"""Commands that run in a sandbox first, and outside of it only if somebody approves.

::

    runner = Orchestrator(client)
    done = await runner.run(["make", "install"], sandbox, approve=ask_the_user)

What can come of it, told apart by type:

- a result, also of a command that failed for reasons of its own;
- :class:`CommandDenied`: the sandbox kept it from something, and that was not approved;
- :class:`SandboxRefused`: the executor does not enforce the intent, and nothing ran;
- :class:`ConnectionLost`: nobody knows how far it came;
- whatever *approve* raises, after a denial.

Only an approved denial is followed by another run, once, which sends no intent at all.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Unpack

from harness.client.client import Client
from harness.client.errors import CommandDenied, CommandFailed
from harness.client.events import Completed
from harness.client.process import RunOptions
from harness.client.sandbox import Sandbox
from harness.client.sync import SyncClient

ApproveSync = Callable[[CommandDenied], bool]
"""Says whether a denied command may run again without any sandbox; only True approves."""

Approve = Callable[[CommandDenied], bool | Awaitable[bool]]
"""The same, or a coroutine function. One that is not holds up the event loop while it thinks."""


@dataclass
class Decision:
    """What was decided about a denied command.

    :ivar retried_exit_code: of the run without a sandbox; None if there was none, or it has not ended.
    """

    argv: list[str]
    denied: CommandDenied
    approved: bool
    retried_exit_code: int | None = None

    def __str__(self) -> str:
        text = f"{self.argv!r} ended with exit code {self.denied.exit_code} in the sandbox: "
        if not self.approved:
            return text + "not approved"
        if self.retried_exit_code is None:
            return text + "approved, and the run without a sandbox has not ended"
        return text + f"approved, and ended with exit code {self.retried_exit_code} without a sandbox"


class Orchestrator:
    """Runs commands on *client*; any number at a time.

    :ivar decisions: all that were made, in order; one whose run without a sandbox is under way is among them.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self.decisions: list[Decision] = []

    async def run(
        self,
        command: Sequence[str],
        sandbox: Sandbox | None,
        *,
        approve: Approve,
        input: bytes | None = None,
        check: bool = False,
        **options: Unpack[RunOptions],
    ) -> Completed:
        """Runs a program to its end; see :meth:`Client.run`.

        :param sandbox: the intent; None for none, and then *approve* is not called.
        :param approve: called if the command was denied.
        :param input: all that it can read from its standard input, in either run.
        :param check: whether any exit code but 0 is an error.
        :raises CommandDenied: it was denied, and *approve* said no.
        :raises CommandFailed: with *check*, its exit code is not 0.
        :raises SandboxRefused: the executor does not enforce *sandbox*; nothing has run.
        :raises ConnectionLost: the connection ended; no other run is tried.
        :raises TypeError: *approve* returned something else than True or False; that approves nothing.
        """
        done = await self._client.run(command, input=input, sandbox=sandbox, **options)
        denied = _denial(command, sandbox, done)
        if denied is not None:
            answer = approve(denied)
            decision = _decide(denied, await answer if inspect.isawaitable(answer) else answer)
            self.decisions.append(decision)
            done = await self._client.run(command, input=input, **_again(decision, options))
            decision.retried_exit_code = done.exit_code
        return _checked(command, done, check)


class SyncOrchestrator:
    """The same for a blocking client; *approve* is called on the thread that calls :meth:`run`.

    :ivar decisions: see :class:`Orchestrator`.
    """

    def __init__(self, client: SyncClient) -> None:
        self._client = client
        self.decisions: list[Decision] = []

    def run(
        self,
        command: Sequence[str],
        sandbox: Sandbox | None,
        *,
        approve: ApproveSync,
        input: bytes | None = None,
        check: bool = False,
        timeout: float | None = None,
        **options: Unpack[RunOptions],
    ) -> Completed:
        """See :meth:`Orchestrator.run`; *timeout* in seconds for each of the runs, not for *approve*.

        :raises CallTimeout: a run took longer, and is cancelled; no other one is tried.
        """
        done = self._client.run(command, input=input, timeout=timeout, sandbox=sandbox, **options)
        denied = _denial(command, sandbox, done)
        if denied is not None:
            decision = _decide(denied, approve(denied))
            self.decisions.append(decision)
            again = _again(decision, options)
            done = self._client.run(command, input=input, timeout=timeout, **again)
            decision.retried_exit_code = done.exit_code
        return _checked(command, done, check)


def _denial(command: Sequence[str], sandbox: Sandbox | None, done: Completed) -> CommandDenied | None:
    """Returns the denial to ask about; what ran without an intent was not denied, whatever it is told."""
    if sandbox is None or not done.sandbox_denied:
        return None
    return CommandDenied(list(command), done.exit_code, done.stdout, done.stderr)


def _decide(denied: CommandDenied, answer: object) -> Decision:
    # A forgotten return or await must not approve.
    if not isinstance(answer, bool):
        raise TypeError(f"`approve` must return True or False, and returned {answer!r}; asked was: {denied}")
    return Decision(denied.argv, denied, answer)


def _again(decision: Decision, options: RunOptions) -> RunOptions:
    """Returns the options of the run without a sandbox.

    :raises CommandDenied: it was not approved.
    """
    if not decision.approved:
        raise decision.denied
    again = options.copy()
    # The executor has seen the first process under its id.
    again.pop("process_id", None)
    return again


def _checked(command: Sequence[str], done: Completed, check: bool) -> Completed:
    if check and done.exit_code != 0:
        raise CommandFailed(list(command), done.exit_code, done.stdout, done.stderr)
    return done
