"""An executor that a test tells what to answer, one connection after the other."""

import asyncio
import base64
import contextlib
from typing import Any

from executors.protocol.environment import Empty
from executors.protocol.methods import ENVIRONMENT_STATUS
from harness.client import (
    Client,
    Interrupted,
    RecoveryOptions,
)
from tests.support.fake_executor import HANDSHAKE, Fake

QUICK = RecoveryOptions(give_up_seconds=0.5, retry_seconds=0.02)
PATIENT = RecoveryOptions(retry_seconds=0.02)
CAPABLE: dict[str, Any] = {
    **HANDSHAKE["environmentInfo"],  # type: ignore[dict-item]
    "capabilities": {"processCloseStdin": True, "processAcknowledge": True, "sessionResume": True},
}


class Script:
    """An executor whose processes run until it is told otherwise.

    :ivar greetings: answers to ``initialize``, one after the other; then it takes everybody.
    :ivar reads: what ``process/read`` says of a process: a result, or an error.
    :ivar asked: every call, with the number of its connection.
    :ivar silent: methods that are not answered.
    :ivar next: the number of a process's next event, where that is not 1.
    """

    def __init__(self, *greetings: dict[str, Any] | None) -> None:
        self.greetings = [*greetings]
        self.reads: dict[str, list[dict[str, Any]]] = {}
        self.asked: list[tuple[int, str, dict[str, Any]]] = []
        self.told: list[dict[str, Any]] = []
        self.silent: set[str] = set()
        self.next: dict[str, int] = {}
        self.servers: list[Fake] = []
        self.arrived = asyncio.Queue[tuple[int, str, dict[str, Any]]]()

    async def greet(self, server: Fake, params: dict[str, Any]) -> dict[str, Any] | None:
        self.servers.append(server)
        self.told.append(params)
        return self.greetings.pop(0) if self.greetings else {"result": HANDSHAKE}

    async def answer(self, server: Fake, method: str, params: dict[str, Any], id: int) -> Any:
        call = len(self.servers), method, params
        self.asked.append(call)
        self.arrived.put_nowait(call)
        if method in self.silent:
            return None
        if method == "process/start":
            return {"processId": params["processId"]}
        if method == "process/read":
            replies = self.reads.get(params["processId"], [read()])
            reply = replies.pop(0) if len(replies) > 1 else replies[0]
            if "error" in reply:
                await server.send(id=id, **reply)
                return None
            return reply
        if method == "process/terminate":
            process_id = params["processId"]
            await server.told("exited", processId=process_id, seq=self.next.get(process_id, 1), exitCode=137)
            return {"running": True}
        return {"status": "accepted" if method.startswith("process/") else "ready"}

    async def drop(self) -> None:
        self.servers[-1].socket.transport.abort()

    async def until(self, method: str) -> dict[str, Any]:
        while True:
            _, found, params = await self.arrived.get()
            if found == method:
                return params


def read(*chunks: tuple[int, bytes], next_seq: int = 1, **how: Any) -> dict[str, Any]:
    told = [
        {"seq": seq, "stream": "stdout", "chunk": base64.b64encode(data).decode()} for seq, data in chunks
    ]
    return {
        **{"chunks": told, "nextSeq": next_seq, "exited": False, "exitCode": None, "closed": False},
        **{"failure": None, **how},
    }


def session(id: str = "s", info: Any = HANDSHAKE["environmentInfo"], **more: Any) -> dict[str, Any]:
    return {"result": {"sessionId": id, "environmentInfo": info, **more}}


def refusal(code: int, message: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": message}}


async def status(client: Client) -> str:
    while True:
        # A connection that was just dropped may not be known to be.
        with contextlib.suppress(Interrupted):
            return (await client.call(ENVIRONMENT_STATUS, Empty())).status
