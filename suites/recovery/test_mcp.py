"""A client of MCP, its server in the environment, and a connection in between that is cut over and over."""

from __future__ import annotations

import asyncio
import inspect
import io
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

import pytest

from fixtures.faults import (
    CLEAR,
    DOWN,
    UP,
    At,
    Chaos,
    Direction,
    How,
    Plan,
    Script,
    after,
    before,
    cut,
    within,
)
from fixtures.faults_fixture import Faults
from fixtures.programs import BoundPython
from fixtures.target import RunningEnvironment
from fixtures.workspace import Workspace
from harness.client import RecoveryOptions, SessionLost, connect
from harness.client.sync import SyncClient
from suites.recovery import mcp_server

T = TypeVar("T")

# The client is that of the package mcp.
pytest.importorskip("harness.mcp", exc_type=ImportError)

import mcp  # noqa: E402
import mcp.types  # noqa: E402

from harness.mcp import stdio_client  # noqa: E402

SECONDS: Final = 60.0
CALLS: Final = 100
CUTS: Final = 25

SDK_SERVER: Final = """
from mcp.server.mcpserver import MCPServer

server = MCPServer("counter")
calls = 0

@server.tool()
def count() -> int:
    global calls
    calls += 1
    return calls

server.run("stdio")
"""


_RECOVERY: Final = RecoveryOptions()


class Talk:
    """One session of MCP with a server in the environment.

    :ivar logged: what the server's log notifications told, in the order in which they came.
    :ivar errors: what came besides messages.
    :ivar stderr: the server's standard error.
    """

    def __init__(self, argv: list[str], workspace: Workspace) -> None:
        self.logged: list[Any] = []
        self.errors: list[Exception] = []
        self.stderr = io.BytesIO()
        self._argv = argv
        self._cwd = workspace.uri

    def run(
        self,
        faults: Faults,
        body: Callable[[mcp.Client], Awaitable[T]],
        recovery: RecoveryOptions = _RECOVERY,
    ) -> T:
        """Calls *body* with a session whose client goes through the proxy; returns what it returns."""

        async def talk() -> T:
            async with (
                asyncio.timeout(SECONDS),
                connect(faults.url, open_link=faults.open_link, recovery=recovery) as executor,
            ):
                transport = stdio_client(
                    executor, self._argv, stderr=self.stderr, grace_seconds=SECONDS, cwd=self._cwd
                )
                async with mcp.Client(transport, message_handler=self._take) as session:
                    return await body(session)

        return asyncio.run(talk())

    async def _take(self, message: object) -> None:
        if isinstance(message, Exception):
            self.errors.append(message)
        elif isinstance(message, mcp.types.LoggingMessageNotification):
            self.logged.append(message.params.data)


@pytest.fixture
def talk(python: BoundPython, workspace: Workspace) -> Talk:
    return Talk(python.argv(inspect.getsource(mcp_server)), workspace)


async def call(session: mcp.Client, tool: str, **arguments: Any) -> str:
    result = await session.call_tool(tool, arguments)
    assert isinstance(result, mcp.types.CallToolResult)
    (content,) = result.content
    assert not result.is_error, content
    assert isinstance(content, mcp.types.TextContent)
    return content.text


def numbers(last: int) -> list[str]:
    return [str(number) for number in range(1, last + 1)]


def test_tools_are_listed_and_called(env: RunningEnvironment, faults: Faults, talk: Talk) -> None:
    async def body(session: mcp.Client) -> None:
        tools = {tool.name for tool in (await session.list_tools()).tools}
        assert {"add", "count", "echo"} <= tools
        assert await call(session, "add", a=20, b=22) == "42"
        assert await call(session, "report", steps=50) == "50"

    talk.run(faults, body)
    assert talk.logged == list(range(1, 51))
    assert talk.stderr.getvalue().splitlines() == [b"bye"]
    assert talk.errors == []


def counted_through_cuts(faults: Faults, talk: Talk, seed: int) -> list[str]:
    """Has the server count its calls while connections are cut; returns the answers, none doubled or lost."""

    async def body(session: mcp.Client) -> list[str]:
        faults.script(Chaos(seed, cuts=CUTS, bytes=3000))
        faults.cut()
        answers: list[str] = []
        while len(answers) < CALLS or faults.counts.cuts <= CUTS:
            answers.append(await call(session, "count"))
        return answers

    answers = talk.run(faults, body)
    assert answers == numbers(len(answers))
    return answers


def test_calls_go_on_through_random_cuts(faults: Faults, talk: Talk, fault_seed: int) -> None:
    answers = counted_through_cuts(faults, talk, fault_seed)
    assert talk.stderr.getvalue().decode().split("\n") == [
        *(f"count {number}" for number in answers),
        "bye",
        "",
    ]
    assert talk.errors == []


def test_many_tasks_call_through_random_cuts(faults: Faults, talk: Talk, fault_seed: int) -> None:
    async def body(session: mcp.Client) -> list[list[str]]:
        faults.script(Chaos(fault_seed, cuts=CUTS, bytes=5000))
        faults.cut()

        async def chatter(task: int) -> list[str]:
            answers: list[str] = []
            while len(answers) < 10 or faults.counts.cuts <= CUTS:
                await call(session, "report", steps=10)
                answers.append(await call(session, "echo", text=f"{task}: {len(answers)}"))
            return answers

        return await asyncio.gather(*map(chatter, range(5)))

    answers = talk.run(faults, body)
    for task, own in enumerate(answers):
        assert own == [f"{task}: {number}" for number in range(len(own))]
    # Each report counts from 1, and none is mixed with another.
    assert talk.logged == list(range(1, 11)) * sum(map(len, answers))
    assert talk.errors == []


def until_cut(faults: Faults, cuts: int, plan: Plan) -> Script:
    """The plan of each connection until so many were cut: the executor may refuse the first ones."""
    return lambda number: plan if faults.counts.cuts < cuts else CLEAR


@pytest.mark.parametrize("how", How, ids=str)
@pytest.mark.parametrize("direction", [UP, DOWN], ids=str)
def test_calls_outlive_a_cut_at_any_frame(faults: Faults, talk: Talk, direction: Direction, how: How) -> None:
    places: list[Callable[[Direction, int], At]] = [before, within, after]

    async def body(session: mcp.Client) -> list[str]:
        answers = []
        # The heads of HTTP, the handshake and reading what was missed, and a call.
        for frame in range(faults.opening + 7):
            for place in places:
                # Answered over a connection that is left alone, which the next one is then not.
                answers.append(await call(session, "count"))
                cuts = faults.counts.cuts
                # One cut to get a connection with that plan, and the one that it has.
                faults.script(until_cut(faults, cuts + 2, cut(place(direction, frame), how)))
                faults.cut(how)
                while faults.counts.cuts < cuts + 2:
                    answers.append(await call(session, "count"))
        return answers

    answers = talk.run(faults, body)
    assert answers == numbers(len(answers))
    assert talk.errors == []


def test_a_long_answer_comes_whole_through_cuts(faults: Faults, talk: Talk, fault_seed: int) -> None:
    text = "".join(f"{number:07}\n" for number in range(100_000))

    async def body(session: mcp.Client) -> str:
        faults.script(Chaos(fault_seed, cuts=CUTS, bytes=len(text) // 2))
        faults.cut()
        return await call(session, "echo", text=text)

    assert talk.run(faults, body) == text
    assert faults.counts.cuts >= 2
    assert talk.errors == []


def test_a_server_leaves_in_order_when_its_session_ends_without_a_connection(
    faults: Faults, talk: Talk
) -> None:
    async def body(session: mcp.Client) -> None:
        assert await call(session, "count") == "1"
        faults.cut()

    talk.run(faults, body)
    assert talk.stderr.getvalue().splitlines() == [b"count 1", b"bye"]


def test_a_session_that_is_lost_for_good_ends_with_the_reason(faults: Faults, talk: Talk) -> None:
    async def body(session: mcp.Client) -> None:
        assert await call(session, "count") == "1"
        faults.refuse()
        faults.cut()
        with pytest.raises(mcp.MCPError) as failed:
            await call(session, "count")
        assert failed.value.error.code == mcp.types.CONNECTION_CLOSED

    talk.run(faults, body, RecoveryOptions(give_up_seconds=0.5))
    assert [type(error) for error in talk.errors] == [SessionLost]


def test_a_server_of_the_sdk_goes_on_through_cuts(
    env: RunningEnvironment, client: SyncClient, faults: Faults, workspace: Workspace, fault_seed: int
) -> None:
    if env.python is None:
        pytest.skip(f"environment {env.name} is not known to have a Python interpreter")
    probe = client.run([env.python, "-I", "-c", "import mcp.server.mcpserver"])
    if probe.exit_code != 0:
        pytest.skip(f"the Python of environment {env.name} has no package mcp, 2.0 or later")
    talk = Talk([env.python, "-I", "-c", SDK_SERVER], workspace)
    counted_through_cuts(faults, talk, fault_seed)
    assert talk.errors == []
