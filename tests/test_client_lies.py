"""Recovery with executors that refuse, stall and lie: what is affected fails, and nothing else."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from harness.client import (
    BadReply,
    Client,
    ClosedEvent,
    ExitedEvent,
    OutcomeUnknown,
    OutputEvent,
    OutputLost,
    Process,
    RecoveryOptions,
    RpcError,
    SessionLost,
    State,
)
from tests.support.fake_executor import Fake, fake
from tests.support.scripted import CAPABLE, PATIENT, QUICK, Script, read, refusal, session, status

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


# The answer to a resume


@pytest.mark.parametrize(
    ("greeting", "text"),
    [
        (session("theirs"), r"resumed session 'theirs' instead"),
        (session(info=5), "malformed reply to initialize"),
        (refusal(-32600, "unknown session id s"), r"does not resume it: unknown session id s \(-32600\)"),
        (refusal(-32603, "broken"), "does not resume it: broken"),
        ({"result": None}, "malformed reply to initialize"),
    ],
)
async def test_an_answer_that_ends_the_session(greeting: dict[str, Any], text: str) -> None:
    script = Script(session(), greeting)
    async with fake(script.answer, greet=script.greet, recovery=PATIENT) as client:
        process = await client.start(["x"])
        await script.drop()
        with pytest.raises(SessionLost, match=text):
            await process.wait()
        with pytest.raises(SessionLost, match=text):
            await status(client)
        assert len(script.servers) == 2
        # Not in order: a session that is somebody else's goes on.
        await script.servers[-1].socket.wait_closed()
        assert script.servers[-1].socket.close_code == 1006


async def test_a_resume_that_is_never_answered() -> None:
    script = Script(session(), *[None] * 100)
    four_seconds = RecoveryOptions(give_up_seconds=4, retry_seconds=0.02)
    async with fake(script.answer, greet=script.greet, recovery=four_seconds, open_seconds=0.8) as client:
        await script.drop()
        with pytest.raises(SessionLost, match=r"not resumed within 4 s.*no answer to the handshake in time"):
            await status(client)
        # Each attempt had its own time.
        assert 3 <= len(script.servers) <= 7


async def test_an_attempt_ends_when_the_session_is_given_up() -> None:
    script = Script(session(), None, None)
    async with fake(script.answer, greet=script.greet, recovery=QUICK, open_seconds=600) as client:
        await script.drop()
        with pytest.raises(SessionLost, match=r"0\.5 s \(2 attempts; the last: no answer to the handshake"):
            await status(client)


async def test_a_session_that_is_still_attached_is_asked_for_again() -> None:
    script = Script(session(), *[refusal(-32010, "attached")] * 5)
    async with fake(script.answer, greet=script.greet, recovery=PATIENT) as client:
        await script.drop()
        assert await status(client) == "ready"
        assert (len(script.servers), client.generation, client.recovered) == (7, 2, 1)
    assert [params.get("resumeSessionId") for params in script.told] == [None] + ["s"] * 6


async def test_an_executor_that_keeps_no_session() -> None:
    script = Script(session(sessionRetentionMs=0))
    async with fake(script.answer, greet=script.greet, recovery=PATIENT) as client:
        await script.drop()
        with pytest.raises(SessionLost, match="ends with its connection"):
            await status(client)


async def test_an_executor_that_says_goodbye() -> None:
    script = Script()
    async with fake(script.answer, greet=script.greet, recovery=PATIENT) as client:
        await script.servers[-1].socket.close(1001, "shutting down")
        with pytest.raises(SessionLost, match=r"close code 1001: shutting down.*has ended"):
            await status(client)


async def test_garbage_ends_the_session() -> None:
    script = Script()
    async with fake(script.answer, greet=script.greet, recovery=PATIENT) as client:
        await script.servers[-1].socket.send("{bad")
        lost = await client.wait_lost()
        assert (lost.code, client.state) == (1002, State.FAILED)
        assert "unreadable message" in str(lost)


async def test_what_the_client_asks_for_at_first() -> None:
    cases: list[tuple[RecoveryOptions, dict[str, Any]]] = [
        (RecoveryOptions(), {"acknowledges": True}),
        (RecoveryOptions(retention_seconds=1.5), {"acknowledges": True, "retentionMs": 1500}),
        (RecoveryOptions(enabled=False), {"retentionMs": 0}),
    ]
    for options, expected in cases:
        script = Script()
        async with fake(script.answer, greet=script.greet, recovery=options):
            assert script.told == [{"clientName": "crossexec"} | expected]


async def test_an_executor_that_drops_every_connection_for_a_while() -> None:
    script = Script()

    async def answer(server: Fake, method: str, params: dict[str, Any], id: int) -> Any:
        if len(script.servers) < 8:
            server.socket.transport.abort()
            return None
        return await script.answer(server, method, params, id)

    async with fake(answer, greet=script.greet, recovery=PATIENT) as client:
        process = asyncio.ensure_future(client.files.write_file("file:///x", b""))
        with pytest.raises(OutcomeUnknown):
            await process
        assert await status(client) == "ready"
        assert client.recovered == 7


# What a replay says


async def two(script: Script, client: Client) -> tuple[Process, Process]:
    """Two processes, each of which has told of one event."""
    processes = await client.start(["x"], process_id="bad"), await client.start(["x"], process_id="good")
    for process in processes:
        id = process.process_id
        await script.servers[-1].told("output", processId=id, seq=1, stream="stdout", chunk="eA==")
        assert await anext(process) == OutputEvent(1, "stdout", b"x")
    script.reads["good"] = [read((2, b"more"), next_seq=3), read(next_seq=3)]
    script.next["good"] = 3
    return processes


@pytest.mark.parametrize(
    ("replies", "error", "text"),
    [
        ([refusal(-32600, "unknown process id bad")], RpcError, "unknown process id bad"),
        ([read(next_seq=1)], BadReply, "has told 1 events and says now that 1 is the next"),
        ([read(next_seq=-(10**18))], BadReply, "is the next"),
        ([read((1, b"x"), next_seq=2)], BadReply, "asked for what follows event 1"),
        ([read((3, b""), (2, b""), next_seq=4)], BadReply, "event 2 after 3"),
        ([read((5, b"y"), next_seq=6), read(next_seq=6)], OutputLost, "3 events from 2 on"),
        ([read(next_seq=10**18)], OutputLost, "events from 2 on"),
        ([read((2, b"y"), next_seq=3), read((2, b"y"), next_seq=3)], BadReply, "follows event 2"),
        ([{**read(), "chunks": 5}], BadReply, "malformed reply to process/read"),
        ([{**read(), "chunks": [{"seq": 2, "stream": "stdout", "chunk": "?"}]}], Exception, "chunk"),
        ([read(next_seq=3, closed=True)], BadReply, "without telling its exit code"),
    ],
)
async def test_a_replay_that_cannot_be_right_fails_its_process_only(
    replies: list[dict[str, Any]], error: type[Exception], text: str
) -> None:
    script = Script()
    async with fake(script.answer, greet=script.greet, recovery=PATIENT) as client:
        bad, good = await two(script, client)
        script.reads["bad"] = replies
        await script.drop()
        assert await anext(good) == OutputEvent(2, "stdout", b"more")
        with pytest.raises(error, match=text):
            await bad.wait()
        with pytest.raises(error, match=text):
            while True:
                await anext(bad)
        assert await status(client) == "ready"
        assert client.recovered == 1


async def test_nothing_else_goes_on_before_the_replay_is_over() -> None:
    script = Script()
    script.silent = {"process/read"}
    async with fake(script.answer, greet=script.greet, recovery=PATIENT) as client:
        await client.start(["x"], process_id="p")
        await script.drop()
        await script.until("process/read")
        call = asyncio.ensure_future(status(client))
        # What was sent before it would have come by now.
        await (await script.servers[-1].socket.ping())
        assert client.state is State.RECOVERING
        assert script.asked[-1][1] == "process/read"
        # Dropped in the middle of it, it begins anew.
        script.silent = set()
        await script.drop()
        assert await call == "ready"
        assert [number for number, method, _ in script.asked if method == "process/read"] == [2, 3]
        assert (client.generation, client.recovered) == (3, 1)


async def test_a_replay_in_pages_while_the_process_goes_on() -> None:
    script = Script(session(info=CAPABLE))
    asked = []

    async def answer(server: Fake, method: str, params: dict[str, Any], id: int) -> Any:
        if method != "process/read":
            return await script.answer(server, method, params, id)
        after = params["afterSeq"]
        asked.append(after)
        if after == 1:
            # Live before replayed.
            await server.told("output", processId="p", seq=5, stream="stdout", chunk="NQ==")
        return read((after + 1, b"%d" % (after + 1)), next_seq=after + 2)

    async with fake(answer, greet=script.greet, recovery=PATIENT) as client:
        process = await client.start(["x"], process_id="p")
        await script.servers[-1].told("output", processId="p", seq=1, stream="stdout", chunk="MQ==")
        await anext(process)
        await script.drop()
        assert [(await anext(process)).seq for _ in range(4)] == [2, 3, 4, 5]
        # It ends where the live events begin, though each page may have been cut short.
        assert await status(client) == "ready"
        assert asked == [1, 2, 3]
        await script.servers[-1].told("exited", processId="p", seq=6, exitCode=3)
        await script.servers[-1].told("closed", processId="p", seq=7)
        assert [event async for event in process] == [ExitedEvent(6, 3), ClosedEvent(7)]


async def test_what_ended_meanwhile_is_told_by_the_replay() -> None:
    script = Script()
    async with fake(script.answer, greet=script.greet, recovery=PATIENT) as client:
        process, _ = await two(script, client)
        script.reads["bad"] = [
            read((3, b"late"), next_seq=5, exited=True, exitCode=7, closed=True, sandboxDenied=True)
        ]
        await script.drop()
        expected = [ExitedEvent(2, 7, True), OutputEvent(3, "stdout", b"late"), ClosedEvent(4)]
        assert [event async for event in process] == expected


# What it says live


@pytest.mark.parametrize(
    ("told", "text"),
    [
        ([("exited", {"seq": 1, "exitCode": 0}), ("exited", {"seq": 2, "exitCode": 1})], "exit twice"),
        (
            [("closed", {"seq": 1}), ("output", {"seq": 2, "stream": "stdout", "chunk": ""})],
            "without telling",
        ),
        ([("closed", {"seq": 1})], "without telling its exit code"),
        ([("output", {"seq": -5, "stream": "stdout", "chunk": ""})], "numbered an event -5"),
        ([("output", {"seq": 10**18, "stream": "stdout", "chunk": ""})], "and does not know of them"),
    ],
)
async def test_events_that_cannot_be_right_fail_their_process_only(
    told: Sequence[tuple[str, dict[str, Any]]], text: str
) -> None:
    script = Script()
    async with fake(script.answer, greet=script.greet, recovery=PATIENT) as client:
        bad = await client.start(["x"], process_id="bad")
        good = await client.start(["x"], process_id="good")
        for name, params in told:
            await script.servers[-1].told(name, processId="bad", **params)
        await script.servers[-1].told("exited", processId="nobody", seq=7, exitCode=0)
        with pytest.raises(BadReply, match=text):
            async for _ in bad:
                pass
        await script.servers[-1].told("exited", processId="good", seq=1, exitCode=5)
        assert await good.wait() == 5
        assert client.recovered == 0


async def test_a_start_that_is_answered_with_another_process() -> None:
    script = Script()

    async def answer(server: Fake, method: str, params: dict[str, Any], id: int) -> Any:
        if method == "process/start":
            return {"processId": "other"}
        return await script.answer(server, method, params, id)

    async with fake(answer, greet=script.greet, recovery=PATIENT) as client:
        with pytest.raises(BadReply, match="'mine' was to be started, and the executor tells of 'other'"):
            await client.start(["x"], process_id="mine")
        assert (await script.until("process/terminate"))["processId"] == "mine"
