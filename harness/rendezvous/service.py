"""The HTTP application: the registry's requests, and the WebSocket that executors and harnesses dial."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Final, TypeVar

import msgspec
from aiohttp import WSCloseCode, WSMsgType, web

from harness.rendezvous import frames
from harness.rendezvous.audit import Audit
from harness.rendezvous.frames import BadFrame
from harness.rendezvous.limits import Limiter, Rate
from harness.rendezvous.links import MOST_FRAME_BYTES, Link
from harness.rendezvous.metrics import Metrics
from harness.rendezvous.registry import (
    STATUS,
    ConnectRequest,
    Lifetimes,
    Refusal,
    RegisterRequest,
    Registry,
    ValidateRequest,
)
from harness.rendezvous.signing import InvalidTicket, Role, Ticket
from harness.rendezvous.store import Store, Token
from harness.rendezvous.switchboard import Refused, Switchboard

PATH: Final = "/cloud/rendezvous"
"""Where executors and harnesses dial."""
_STREAM_HEADER: Final = "x-codex-noise-stream-id"
_ASKED: Final = Rate(20.0, 200.0)
_FAILED: Final = Rate(0.5, 20.0)
_MOST_BODY_BYTES: Final = 64 * 1024
_ENDED: Final = "rendezvous_stream_closed"
_Body = TypeVar("_Body", RegisterRequest, ConnectRequest, ValidateRequest)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Options:
    """How the service behaves.

    :ivar lifetimes: of what it gives out.
    :ivar asked: how often one token may register, connect or validate.
    :ivar failed: how often one address may fail to say who it is.
    :ivar stall_seconds: for which a harness may leave 4 MiB unread before its stream is ended; until then
        its executor's other streams wait, too.
    :ivar review_seconds: between two looks for connections whose token was revoked.
    :ivar trusted_hops: how many proxies before this service add to ``X-Forwarded-For``.
    """

    lifetimes: Lifetimes = field(default_factory=Lifetimes)
    asked: Rate = _ASKED
    failed: Rate = _FAILED
    stall_seconds: float = 10.0
    review_seconds: float = 2.0
    trusted_hops: int = 0


class Service:
    """One instance of the service.

    :param store: what lasts.
    """

    def __init__(self, store: Store, *, audit: Audit, options: Options | None = None) -> None:
        self._options = options or Options()
        self._board: Switchboard[Link] = Switchboard()
        self._links: set[Link] = set()
        self._audit = audit
        self.metrics = Metrics()
        self._registry = Registry(
            store,
            clock=time.time,
            is_connected=self._board.has_executor,
            lifetimes=self._options.lifetimes,
        )
        self._asked = Limiter(self._options.asked)
        self._failed = Limiter(self._options.failed)
        for name, text, value in (
            ("executors", "Executors that are connected", lambda: self._board.executors),
            ("harnesses", "Harnesses that are connected", lambda: self._board.harnesses),
            ("streams", "Streams that are open", lambda: self._board.streams),
            ("waiting_bytes", "Bytes that wait to be sent", lambda: sum(x.waiting for x in self._links)),
        ):
            self.metrics.watch(name, text, value)

    def reached_at(self, url: str) -> None:
        """Says how it is reached from outside: ``https://HOST`` or, on this machine alone, ``http://…``."""
        self._registry.url = "ws" + url.removeprefix("http").rstrip("/") + PATH

    def application(self) -> web.Application:
        """Returns it, to be served by aiohttp."""
        app = web.Application(client_max_size=_MOST_BODY_BYTES)
        environment = "/cloud/environment/{environment}"
        app.add_routes(
            [
                web.post(f"{environment}/register", self._answering("register", self._register)),
                web.post(f"{environment}/connect", self._answering("connect", self._connect)),
                web.post(f"{environment}/validate", self._answering("validate", self._validate)),
                web.get(PATH, self._dialled),
                web.get("/metrics", self._metrics),
                web.get("/healthz", self._healthy),
            ]
        )
        app.cleanup_ctx.append(self._reviewing)
        app.on_shutdown.append(self._end)
        return app

    # The registry

    def _answering(self, operation: str, answer: Callable[[web.Request, bytes], msgspec.Struct]) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            try:
                try:
                    body = await request.read()
                except web.HTTPRequestEntityTooLarge:
                    raise Refusal("invalid_request", f"more than {_MOST_BODY_BYTES} bytes") from None
                answered = answer(request, body)
            except Refusal as error:
                self.metrics.requests.labels(operation, error.code).inc()
                self._note(request, operation, error.code, reason=str(error))
                return refused(error)
            except msgspec.ValidationError as error:
                return self._not_understood(request, operation, str(error))
            except msgspec.DecodeError:
                return self._not_understood(request, operation, "the body is not JSON")
            self.metrics.requests.labels(operation, "done").inc()
            return web.Response(body=msgspec.json.encode(answered), content_type="application/json")

        return handle

    def _not_understood(self, request: web.Request, operation: str, reason: str) -> web.Response:
        self.metrics.requests.labels(operation, "invalid_request").inc()
        self._note(request, operation, "invalid_request", reason=reason)
        return refused(Refusal("invalid_request", reason))

    def _register(self, request: web.Request, body: bytes) -> msgspec.Struct:
        token = self._token(request, "executor")
        registered = self._registry.register(token, _parse(body, RegisterRequest))
        self._note(request, "register", "done", token=token, registration=registered.executor_registration_id)
        return registered

    def _connect(self, request: web.Request, body: bytes) -> msgspec.Struct:
        token = self._token(request, "harness")
        bundle = self._registry.connect(token, _parse(body, ConnectRequest))
        self._note(request, "connect", "done", token=token, registration=bundle.executor_registration_id)
        return bundle

    def _validate(self, request: web.Request, body: bytes) -> msgspec.Struct:
        token = self._token(request, "executor")
        stream = request.headers.get(_STREAM_HEADER, "")
        validity = self._registry.validate(token, stream, _parse(body, ValidateRequest))
        self._note(request, "validate", "valid" if validity.valid else "not valid", token=token)
        return validity

    def _token(self, request: web.Request, role: Role) -> Token:
        now = time.monotonic()
        scheme, _, bearer = request.headers.get("Authorization", "").partition(" ")
        try:
            token = self._registry.authenticate(
                bearer.strip() if scheme.lower() == "bearer" else None,
                request.match_info["environment"],
                role,
            )
        except Refusal:
            self._may_fail(request, now)
            raise
        wait = self._asked.wait(token.id, now)
        if wait:
            raise Refusal("rate_limited", "this token asks too often", wait)
        return token

    def _may_fail(self, request: web.Request, now: float) -> None:
        wait = self._failed.wait(self._address(request), now)
        if wait:
            raise Refusal("rate_limited", "too many failures from this address", wait)

    # The rendezvous

    async def _dialled(self, request: web.Request) -> web.StreamResponse:
        try:
            ticket = self._registry.admit(dict(request.query))
        except InvalidTicket as error:
            return self._turned_away(request, Refusal("forbidden", str(error)))
        except Refusal as error:
            return self._turned_away(request, error)
        link = Link(ticket)
        try:
            # Whoever has dialled may ask at once for what only one that is connected can have.
            self._take(link)
        except Refused as error:
            return self._turned_away(request, Refusal("executor_offline", str(error), 1.0))
        try:
            await link.socket.prepare(request)
        except BaseException:
            self._lose(link)
            raise
        self.metrics.connections.labels(ticket.role, "done").inc()
        self._note(request, "dial", "done", ticket=ticket)
        writer = asyncio.create_task(link.write())
        reason = "ended"
        try:
            await self._read(link)
        except (Refused, BadFrame) as error:
            reason = str(error)
            link.close(WSCloseCode.POLICY_VIOLATION, reason)
        finally:
            self._lose(link)
            link.close(WSCloseCode.OK, "")
            await writer
            self._note(request, "hang up", reason, ticket=ticket, received=link.received, sent=link.sent)
        return link.socket

    def _turned_away(self, request: web.Request, error: Refusal) -> web.Response:
        try:
            if error.code in ("forbidden", "unauthorized"):
                self._may_fail(request, time.monotonic())
        except Refusal as limited:
            error = limited
        self.metrics.connections.labels("unknown", error.code).inc()
        self._note(request, "dial", error.code, reason=str(error))
        return refused(error)

    def _take(self, link: Link) -> None:
        ticket = link.ticket
        if ticket.role == "executor":
            for each in self._board.add_executor(link, ticket.environment, ticket.registration):
                each.close(WSCloseCode.SERVICE_RESTART, "the executor has connected again")
        else:
            self._board.add_harness(link, ticket.environment, ticket.registration)
        self._links.add(link)

    async def _read(self, link: Link) -> None:
        receive = self._from_executor if link.ticket.role == "executor" else self._from_harness
        sender = link.ticket.role
        async for message in link.socket:
            if message.type is not WSMsgType.BINARY:
                raise BadFrame("a message is not binary")
            frame: bytes = message.data
            link.received += len(frame)
            if link.socket.closed:
                return
            if await receive(link, frame):
                self.metrics.frames.labels(sender).inc()
                self.metrics.bytes.labels(sender).inc(len(frame))

    async def _from_harness(self, link: Link, frame: bytes) -> bool:
        stream = frames.stream_of(frame)
        to, is_first = self._board.from_harness(link, stream)
        if is_first and not self._registry.bind(link.ticket, stream):
            raise Refused("this connection's stream is known already")
        to.send(frame)
        # It alone waits: what its executor does not read is its own.
        if not await to.room(self._options.stall_seconds):
            raise Refused("the executor does not read")
        return True

    async def _from_executor(self, link: Link, frame: bytes) -> bool:
        try:
            stream = frames.stream_of(frame)
        except BadFrame:
            # An executor has many streams, and a frame that is none may not end them all.
            self.metrics.dropped.labels("no frame").inc()
            return False
        to = self._board.from_executor(link, stream)
        if to is None:
            self.metrics.dropped.labels("no such stream").inc()
            return False
        to.send(frame)
        if not await to.room(self._options.stall_seconds):
            self._drop(to, "the harness does not read")
        return True

    def _drop(self, link: Link, reason: str) -> None:
        self._lose(link)
        link.close(WSCloseCode.POLICY_VIOLATION, reason)

    def _lose(self, link: Link) -> None:
        self._links.discard(link)
        left = self._board.remove(link)
        for each in left.harnesses:
            each.close(WSCloseCode.TRY_AGAIN_LATER, "the executor has gone")
        if left.executor is not None and left.stream is not None:
            left.executor.send(frames.reset(left.stream, _ENDED))

    # The rest

    async def _metrics(self, request: web.Request) -> web.Response:
        return web.Response(body=self.metrics.text(), content_type="text/plain", charset="utf-8")

    async def _healthy(self, request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def _reviewing(self, app: web.Application) -> AsyncIterator[None]:
        review = asyncio.create_task(self._review())
        yield
        review.cancel()
        with suppress(asyncio.CancelledError):
            await review

    async def _review(self) -> None:
        while True:
            await asyncio.sleep(self._options.review_seconds)
            for link in list(self._links):
                if not self._registry.counts(link.ticket):
                    self._audit.note("revoked", environment=link.ticket.environment, role=link.ticket.role)
                    self._drop(link, "the token counts no more")
            self._registry.tidy()

    async def _end(self, app: web.Application) -> None:
        for link in list(self._links):
            link.close(WSCloseCode.SERVICE_RESTART, "the service ends")

    def _address(self, request: web.Request) -> str:
        hops = self._options.trusted_hops
        told = [each.strip() for each in request.headers.get("X-Forwarded-For", "").split(",")]
        if hops and len(told) >= hops:
            return told[-hops]
        return request.remote or "unknown"

    def _note(
        self,
        request: web.Request,
        event: str,
        outcome: str,
        *,
        reason: str | None = None,
        token: Token | None = None,
        ticket: Ticket | None = None,
        **counts: str | int,
    ) -> None:
        environment = request.match_info.get("environment")
        self._audit.note(
            event,
            outcome=outcome,
            address=self._address(request),
            environment=ticket.environment if ticket else environment,
            role=ticket.role if ticket else None,
            token=ticket.token if ticket else token.id if token else None,
            reason=reason,
            request=request.headers.get("X-Request-ID", "")[:100] or None,
            **counts,
        )


def _parse(body: bytes, kind: type[_Body]) -> _Body:
    return msgspec.json.decode(body, type=kind)


def refused(error: Refusal) -> web.Response:
    """Returns the answer that says so."""
    headers = {} if error.retry_after is None else {"Retry-After": str(max(1, round(error.retry_after)))}
    return web.json_response(
        {"error": {"code": error.code, "message": str(error)}}, status=STATUS[error.code], headers=headers
    )


@asynccontextmanager
async def serving(
    service: Service, host: str, port: int, *, tls: object = None
) -> AsyncIterator[tuple[str, int]]:
    """Serves it; gives the address and port where."""
    # Its lines hold queries, and so signatures.
    runner = web.AppRunner(service.application(), access_log=None, handle_signals=False, shutdown_timeout=5.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port, ssl_context=tls, backlog=1024)  # type: ignore[arg-type]
        await site.start()
        address = runner.addresses[0]
        yield str(address[0]), int(address[1])
    finally:
        await runner.cleanup()


__all__ = ["MOST_FRAME_BYTES", "PATH", "Options", "Service", "refused", "serving"]
