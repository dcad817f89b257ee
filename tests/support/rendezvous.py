"""A registry and a rendezvous, small and obedient, to drive remote executors and harnesses with.

It runs in the caller's loop. What it answers can be changed while it runs, and what went through it is
kept: frames as they were, requests with their headers.
"""

from __future__ import annotations

import asyncio
import http
import json
import secrets
import ssl
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from executors.transport.relay_frames import MAX_FRAME_BYTES
from executors.transport.relay_pb2 import RelayMessageFrame, RelayReset

PROFILE = "noise_hybrid_ik_v1"


@dataclass(frozen=True)
class Call:
    """One request to the registry."""

    action: str
    environment_id: str
    headers: dict[str, str]
    body: dict[str, Any]


@dataclass(frozen=True)
class Reply:
    status: int
    body: Any
    headers: dict[str, str] = field(default_factory=dict)


class Rendezvous:
    """Both services of one test.

    :ivar token: the bearer that executors and harnesses must show.
    :ivar calls: all requests to the registry, in order.
    :ivar answer: if set, is asked before the registry's own answer; None means the latter.
    :ivar upgrade_status: if set, every executor's WebSocket upgrade is refused with it.
    :ivar seen: every frame, with who sent it: "executor" or "harness".
    :ivar dialled: upgrade requests of executors: path and headers.
    :ivar tamper: if set, gets each frame and says which frames go on in its place.
    """

    def __init__(self) -> None:
        self.token = "bearer-" + secrets.token_hex(8)
        self.calls: list[Call] = []
        self.answer: Callable[[Call], Awaitable[Reply | None]] | None = None
        self.upgrade_status: int | None = None
        self.seen: list[tuple[str, bytes]] = []
        self.dialled: list[tuple[str, dict[str, str]]] = []
        self.tamper: Callable[[str, bytes], list[bytes]] | None = None
        self.registration_id: str | None = None
        """If set, every registration gets it."""
        self.registration: dict[str, tuple[str, dict[str, Any]]] = {}
        """By environment: the registration id and the executor's key, as JSON."""
        self.authorizations: dict[str, tuple[str, dict[str, Any]]] = {}
        """Those handed out: the environment, and the harness's key."""
        self.base_url = ""
        self.ws_url = ""
        self.upgrade_location: str | None = None
        """Goes with a refusal of an upgrade."""
        self.serving: set[asyncio.Task[None] | None] = set()
        """What answers requests to the registry."""
        self.executors: dict[str, ServerConnection] = {}
        self._streams: dict[tuple[str, str], ServerConnection] = {}
        self._connected: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)

    async def executor_connected(self, environment_id: str) -> ServerConnection:
        """Waits for the executor's WebSocket."""
        async with asyncio.timeout(30):
            await self._connected[environment_id].wait()
        return self.executors[environment_id]

    # The registry.

    async def handle_http(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        self.serving.add(task)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            _, path, _ = head[0].split(" ", 2)
            headers = {
                name.strip().lower(): value.strip()
                for name, _, value in (line.partition(":") for line in head[1:] if line)
            }
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            match path.split("/"):
                case ["", "base", "cloud", "environment", environment_id, action]:
                    call = Call(action, unquote(environment_id), headers, json.loads(body))
                    reply = await self.reply(call)
                case _:
                    reply = Reply(404, _error("not_found", path))
            content = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
            lines = [f"HTTP/1.1 {reply.status} {http.HTTPStatus(reply.status).phrase}"]
            lines += [f"{name}: {value}" for name, value in reply.headers.items()]
            lines += [
                "Content-Type: application/json",
                f"Content-Length: {len(content)}",
                "Connection: close",
            ]
            writer.write("\r\n".join([*lines, "", ""]).encode() + content)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            self.serving.discard(task)

    async def reply(self, call: Call) -> Reply:
        """What the registry answers."""
        self.calls.append(call)
        if self.answer is not None and (reply := await self.answer(call)) is not None:
            return reply
        if call.headers.get("authorization") != f"Bearer {self.token}":
            return Reply(401, _error("unauthorized", "no such bearer"))
        match call.action:
            case "register":
                return self._register(call)
            case "connect":
                return self._connect(call)
            case "validate":
                return self._validate(call)
        return Reply(404, _error("not_found", call.action))

    def _register(self, call: Call) -> Reply:
        registration_id = self.registration_id or "registration-" + secrets.token_hex(8)
        self.registration[call.environment_id] = registration_id, call.body["executor_public_key"]
        return Reply(200, self._bundle(call.environment_id, "executor"))

    def _connect(self, call: Call) -> Reply:
        if call.environment_id not in self.registration:
            return Reply(404, _error("not_found", "no such environment"))
        authorization = "authorization-" + secrets.token_hex(16)
        self.authorizations[authorization] = call.environment_id, call.body["harness_public_key"]
        more = {
            "executor_public_key": self.registration[call.environment_id][1],
            "harness_key_authorization": authorization,
        }
        return Reply(200, self._bundle(call.environment_id, "harness") | more)

    def _validate(self, call: Call) -> Reply:
        known = self.authorizations.get(call.body["harness_key_authorization"])
        valid = (
            known == (call.environment_id, call.body["harness_public_key"])
            and call.body["executor_registration_id"] == self.registration[call.environment_id][0]
        )
        return Reply(200, {"valid": valid})

    def _bundle(self, environment_id: str, role: str) -> dict[str, Any]:
        return {
            "environment_id": environment_id,
            "url": f"{self.ws_url}/{role}/{quote(environment_id)}?sig={secrets.token_hex(8)}",
            "security_profile": PROFILE,
            "executor_registration_id": self.registration[environment_id][0],
        }

    # The rendezvous.

    async def check_upgrade(self, connection: ServerConnection, request: Request) -> Response | None:
        path, headers = request.path, {name.lower(): value for name, value in request.headers.raw_items()}
        if path.startswith("/executor/"):
            self.dialled.append((path, headers))
            if self.upgrade_status is not None:
                response = connection.respond(http.HTTPStatus(self.upgrade_status), "refused\n")
                if self.upgrade_location is not None:
                    response.headers["Location"] = self.upgrade_location
                return response
        return None

    async def handle_websocket(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        _, role, rest = connection.request.path.split("/")
        environment_id = unquote(rest.partition("?")[0])
        if role == "executor":
            self.executors[environment_id] = connection
            self._connected[environment_id].set()
        try:
            async for message in connection:
                assert isinstance(message, bytes)
                await self._forward(role, environment_id, connection, message)
        except ConnectionClosed:
            pass
        finally:
            for stream, harness in list(self._streams.items()):
                if harness is connection:
                    del self._streams[stream]
                    await self._reset(*stream)
            if self.executors.get(environment_id) is connection:
                del self.executors[environment_id]
                self._connected[environment_id].clear()

    async def _reset(self, environment_id: str, stream_id: str) -> None:
        """Tells the executor that the harness of a stream has gone."""
        if environment_id in self.executors:
            frame = RelayMessageFrame(
                version=1, stream_id=stream_id, reset=RelayReset(reason="the harness has gone")
            )
            with suppress(ConnectionClosed):
                await self.executors[environment_id].send(frame.SerializeToString())

    async def _forward(
        self, role: str, environment_id: str, connection: ServerConnection, message: bytes
    ) -> None:
        self.seen.append((role, message))
        for frame in [message] if self.tamper is None else self.tamper(role, message):
            stream = environment_id, RelayMessageFrame.FromString(frame).stream_id
            if role == "harness":
                self._streams[stream] = connection
            other = self.executors.get(environment_id) if role == "harness" else self._streams.get(stream)
            if other is not None:
                try:
                    await other.send(frame)
                except ConnectionClosed:
                    continue


def _error(code: str, message: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": message}}


def _port(server: asyncio.Server | Server) -> int:
    port: int = next(iter(server.sockets)).getsockname()[1]
    return port


@asynccontextmanager
async def rendezvous(tls: ssl.SSLContext | None = None) -> AsyncIterator[Rendezvous]:
    """Runs both services on ports of loopback.

    :param tls: to speak https and wss.
    """
    service = Rendezvous()
    registry = await asyncio.start_server(service.handle_http, "127.0.0.1", 0, ssl=tls)
    s = "s" if tls else ""
    sockets: Server
    async with (
        registry,
        serve(
            service.handle_websocket,
            "127.0.0.1",
            0,
            process_request=service.check_upgrade,
            max_size=MAX_FRAME_BYTES,
            compression=None,
            ssl=tls,
        ) as sockets,
    ):
        service.base_url = f"http{s}://127.0.0.1:{_port(registry)}/base"
        service.ws_url = f"ws{s}://127.0.0.1:{_port(sockets)}"
        try:
            yield service
        finally:
            # Those that a test has stall.
            for task in service.serving:
                if task is not None:
                    task.cancel()
