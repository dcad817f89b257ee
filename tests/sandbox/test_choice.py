"""Which backend serves: the cheapest that was proved and enforces all of it; none is no run."""

from __future__ import annotations

import asyncio
from pathlib import PurePosixPath

import pytest

from executors.protocol.errors import ErrorCode, RpcError
from executors.sandbox.backend import Attempt, Confinement, Proof, SandboxBackend
from executors.sandbox.choice import Sandboxes
from executors.sandbox.policy import Access, Policy, Rule, make_policy

POLICY = make_policy([Rule(PurePosixPath("/"), Access.READ)])
HELD = (Attempt("write", held=True, found="EACCES"),)
ESCAPED = (*HELD, Attempt("change mode", held=False, found="done"))


class Named:
    """A backend that is only asked what it lacks."""

    sees_denials = False
    ways = 1

    def __init__(self, name: str, *, missing: str | None = None, lacks: str | None = None) -> None:
        self.name = name
        self._missing = missing
        self._lacks = lacks

    def missing(self) -> str | None:
        return self._missing

    def lacks(self, policy: Policy) -> str | None:
        return self._lacks

    def confine(self, policy: Policy) -> Confinement:
        raise AssertionError("nobody asks for that here")


class Prover:
    """Answers as it is told, and counts; waits while it is held up."""

    def __init__(self, *escaping: str) -> None:
        self.asked: list[str] = []
        self.go = asyncio.Event()
        self.go.set()
        self.asked_once = asyncio.Event()
        self.failure: Exception | None = None
        self._escaping = escaping

    async def __call__(self, backend: SandboxBackend) -> Proof:
        self.asked.append(backend.name)
        self.asked_once.set()
        await self.go.wait()
        if self.failure is not None:
            raise self.failure
        return Proof(backend.name, ESCAPED if backend.name in self._escaping else HELD)


def test_the_cheapest_serves_and_the_others_are_not_tried() -> None:
    async def run() -> None:
        prover = Prover()
        sandboxes = Sandboxes([Named("cheap"), Named("dear")], prover)
        assert sandboxes.choose_now(POLICY) is None
        assert (await sandboxes.choose(POLICY)).name == "cheap"
        assert prover.asked == ["cheap"]
        found = sandboxes.choose_now(POLICY)
        assert found is not None
        assert found.name == "cheap"
        assert sandboxes.offered_by_now() is None
        assert await sandboxes.offered() == ["cheap", "dear"]
        assert sandboxes.offered_by_now() == ("cheap", "dear")
        assert prover.asked == ["cheap", "dear"]

    asyncio.run(run())


@pytest.mark.parametrize(
    ("first", "escaping"),
    [
        (Named("first", lacks="it cannot fly"), ()),
        (Named("first", missing="there is none"), ()),
        (Named("first"), ("first",)),
    ],
)
def test_the_next_serves_where_the_first_does_not(first: Named, escaping: tuple[str, ...]) -> None:
    async def run() -> None:
        sandboxes = Sandboxes([first, Named("second")], Prover(*escaping))
        assert (await sandboxes.choose(POLICY)).name == "second"
        found = sandboxes.choose_now(POLICY)
        assert found is not None
        assert found.name == "second"

    asyncio.run(run())


def test_what_is_missing_is_not_tried() -> None:
    async def run() -> None:
        prover = Prover()
        sandboxes = Sandboxes([Named("first", missing="there is none")], prover)
        assert await sandboxes.offered() == []
        assert prover.asked == []
        assert str((await sandboxes.proofs())[0]) == "first: there is none"

    asyncio.run(run())


def test_a_refusal_says_why_of_each() -> None:
    async def run() -> None:
        backends = [Named("a", missing="there is none"), Named("b", lacks="it cannot fly"), Named("c")]
        sandboxes = Sandboxes(backends, Prover("c"))
        with pytest.raises(RpcError) as refused:
            await sandboxes.choose(POLICY)
        assert refused.value.code == ErrorCode.INVALID_PARAMS
        for reason in (
            "a: there is none",
            "b: it cannot fly",
            "c: does not hold here: change mode (done)",
            "ask for less",
        ):
            assert reason in refused.value.message
        with pytest.raises(RpcError, match="b: it cannot fly"):
            sandboxes.choose_now(POLICY)

    asyncio.run(run())


def test_without_backends_nothing_is_offered() -> None:
    async def run() -> None:
        sandboxes = Sandboxes([], Prover())
        assert await sandboxes.offered() == []
        with pytest.raises(RpcError, match="no sandbox for this operating system"):
            await sandboxes.choose(POLICY)

    asyncio.run(run())


def test_many_who_ask_at_once_share_one_proof() -> None:
    async def run() -> None:
        prover = Prover()
        prover.go.clear()
        sandboxes = Sandboxes([Named("one")], prover)
        async with asyncio.TaskGroup() as tasks:
            chosen = [tasks.create_task(sandboxes.choose(POLICY)) for _ in range(20)]
            await prover.asked_once.wait()
            prover.go.set()
        assert {task.result().name for task in chosen} == {"one"}
        assert prover.asked == ["one"]

    asyncio.run(run())


def test_the_others_try_again_where_the_first_who_asked_goes_away() -> None:
    async def run() -> None:
        prover = Prover()
        prover.go.clear()
        sandboxes = Sandboxes([Named("one")], prover)
        async with asyncio.TaskGroup() as tasks:
            first = tasks.create_task(sandboxes.choose(POLICY))
            others = [tasks.create_task(sandboxes.choose(POLICY)) for _ in range(3)]
            await prover.asked_once.wait()
            first.cancel()
            prover.go.set()
        assert first.cancelled()
        assert {task.result().name for task in others} == {"one"}
        assert prover.asked == ["one", "one"]

    asyncio.run(run())


def test_one_who_waits_can_go_away_alone() -> None:
    async def run() -> None:
        prover = Prover()
        prover.go.clear()
        sandboxes = Sandboxes([Named("one")], prover)
        first = asyncio.create_task(sandboxes.choose(POLICY))
        await prover.asked_once.wait()
        other = asyncio.create_task(sandboxes.choose(POLICY))
        other.cancel()
        with pytest.raises(asyncio.CancelledError):
            await other
        prover.go.set()
        assert (await first).name == "one"
        assert prover.asked == ["one"]

    asyncio.run(run())


def test_a_proof_that_broke_is_made_again() -> None:
    async def run() -> None:
        prover = Prover()
        prover.failure = RuntimeError("broken")
        sandboxes = Sandboxes([Named("one")], prover)
        with pytest.raises(RuntimeError, match="broken"):
            await sandboxes.choose(POLICY)
        prover.failure = None
        assert (await sandboxes.choose(POLICY)).name == "one"

    asyncio.run(run())


def test_a_proof_needs_attempts() -> None:
    assert not Proof("one").holds
    assert not Proof("one", HELD, "it does not run programs").holds
    assert not Proof("one", ESCAPED).holds
    assert Proof("one", HELD).holds
    assert str(Proof("one", HELD)) == "one: proved by 1 attempts"
