"""The HTTP application: the registry's requests, and the WebSocket that executors and harnesses dial."""

from __future__ import annotations

import asyncio
import logging
import math
import sqlite3
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Final, TypeVar

import msgspec
from aiohttp import WSCloseCode, web

from harness.rendezvous.audit import Audit
from harness.rendezvous.exchange import Exchange
from harness.rendezvous.frames import BadFrame
from harness.rendezvous.limits import Limiter, Rate, Rates
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
from harness.rendezvous.switchboard import Refused

PATH: Final = "/cloud/rendezvous"
"""Where executors and harnesses dial."""
_STREAM_HEADER: Final = "x-codex-noise-stream-id"
_MOST_BODY_BYTES: Final = 64 * 1024
_MOST_NOTED: Final = 256
# So that who is refused again and again does not fill the log.
_NOTED_REFUSALS: Final = Rate(0.1, 3.0)
_IDLE_SECONDS: Final = 75.0
_END_SECONDS: Final = 5.0
_Body = TypeVar("_Body", RegisterRequest, ConnectRequest, ValidateRequest)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_log = logging.getLogger(__name__)
# aiohttp's own says what somebody has sent that is no HTTP, and so URLs, at some levels.
_silent = logging.Logger("aiohttp", logging.CRITICAL + 1)


@dataclass(frozen=True)
class Options:
    """How the service behaves.

    :ivar lifetimes: of what it gives out.
    :ivar rates: who may do what how often.
    :ivar stall_seconds: for which a harness may leave unread what waits for it before its stream is ended. As
        long as more than 17 MiB wait for it (256 KiB where much waits for many), its executor's other streams
        wait, too.
    :ivar first_seconds: for which a harness may be connected and say nothing.
    :ivar ping_seconds: of silence, after which a peer is asked for an answer; after as long again it is gone.
    :ivar review_seconds: between two looks for connections whose token was revoked.
    :ivar trusted_hops: how many proxies before this service add to ``X-Forwarded-For``.
    :ivar most_harnesses: that may be connected with one token.
    :ivar most_connections: of all together.
    """

    lifetimes: Lifetimes = field(default_factory=Lifetimes)
    rates: Rates = field(default_factory=Rates)
    stall_seconds: float = 10.0
    first_seconds: float = 20.0
    # An executor that starts fifty processes under Wine may have no ear for 15 s.
    ping_seconds: float = 10.0
    review_seconds: float = 2.0
    trusted_hops: int = 0
    most_harnesses: int = 512
    most_connections: int = 100_000


class Service:
    """One instance of the service, in the running loop.

    :param store: what lasts.
    :param clock: seconds since the epoch.
    """

    def __init__(
        self,
        store: Store,
        *,
        audit: Audit,
        options: Options | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._options = options = options or Options()
        self._audit = audit
        self.metrics = Metrics()
        self._exchange = Exchange(
            self.metrics,
            bind=lambda ticket, stream: self._registry.bind(ticket, stream),
            refused=self._refused_handshake,
            stall_seconds=options.stall_seconds,
            first_seconds=options.first_seconds,
            ping_seconds=options.ping_seconds,
            hold_seconds=options.lifetimes.hold,
        )
        self._registry = Registry(
            store,
            clock=clock,
            is_connected=self._exchange.has_executor,
            is_held=self._exchange.is_held,
            lifetimes=options.lifetimes,
        )
        self._limits = {name: Limiter(getattr(options.rates, name)) for name in Rates.names()}
        self._noted = Limiter(_NOTED_REFUSALS)
        self.metrics.watch("audit_lost_lines", "Lines of the audit log not written", lambda: audit.lost)

    @property
    def links(self) -> list[Link]:
        """The connections that there are."""
        return self._exchange.links

    def reached_at(self, url: str) -> None:
        """Says how it is reached from outside: ``https://HOST`` or, on this machine alone, ``http://…``."""
        self._registry.url = "ws" + url.removeprefix("http").rstrip("/") + PATH

    def application(self) -> web.Application:
        """Returns it, to be served by aiohttp."""
        app = web.Application(client_max_size=_MOST_BODY_BYTES, middlewares=[self._answering_errors])
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

    @web.middleware
    async def _answering_errors(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """A mistake in this program is told here, as the library's own log is not kept."""
        try:
            return await handler(request)
        except (web.HTTPException, ConnectionError):
            raise
        except Exception as error:
            _log.exception("unexpected error")
            self._failed("unexpected", error)
            raise web.HTTPInternalServerError from None

    # The registry

    def _answering(self, operation: str, answer: Callable[[web.Request, bytes], msgspec.Struct]) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            try:
                try:
                    body = await request.read()
                except web.HTTPRequestEntityTooLarge:
                    raise Refusal("invalid_request", f"more than {_MOST_BODY_BYTES} bytes") from None
                with self._guard():
                    answered = answer(request, body)
            except Refusal as error:
                self.metrics.requests.labels(operation, error.code).inc()
                self._note_refusal(request, operation, error)
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

    @contextmanager
    def _guard(self) -> Iterator[None]:
        """What the database does not do may be asked for again.

        :raises Refusal: so.
        """
        try:
            yield
        except sqlite3.Error as error:
            self._failed("database", error)
            raise Refusal("unavailable", "the database cannot be used at present", 1.0) from None

    def _failed(self, what: str, error: Exception) -> None:
        self.metrics.failures.labels(what).inc()
        self._audit.note("failure", what=what, reason=f"{type(error).__name__}: {error}")

    def _register(self, request: web.Request, body: bytes) -> msgspec.Struct:
        token = self._token(request, "executor")
        self._limit("register", token.id, "this token registers too often")
        registered, is_another = self._registry.register(token, _parse(body, RegisterRequest))
        self._exchange.registered(token.environment, is_another)
        outcome = "in another's place" if is_another else "done"
        id = registered.executor_registration_id
        self._note(request, "register", outcome, token=token, registration=id)
        return registered

    def _connect(self, request: web.Request, body: bytes) -> msgspec.Struct:
        token = self._token(request, "harness")
        self._limit("connect", token.id, "this token asks too often")
        wait = self._limits["handshake"].ahead(token.id, time.monotonic())
        if wait:
            raise Refusal("rate_limited", "too many handshakes with this token were refused", wait)
        bundle = self._registry.connect(token, _parse(body, ConnectRequest))
        self._note(request, "connect", "done", token=token, registration=bundle.executor_registration_id)
        return bundle

    def _validate(self, request: web.Request, body: bytes) -> msgspec.Struct:
        token = self._token(request, "executor")
        self._limit("validate", token.environment, "this environment asks too often")
        stream = request.headers.get(_STREAM_HEADER, "")
        validity = self._registry.validate(token, stream, _parse(body, ValidateRequest))
        self._note(request, "validate", "valid" if validity.valid else "not valid", token=token)
        return validity

    def _token(self, request: web.Request, role: Role) -> Token:
        scheme, _, bearer = request.headers.get("Authorization", "").partition(" ")
        try:
            return self._registry.authenticate(
                bearer.strip() if scheme.lower() == "bearer" else None,
                request.match_info["environment"],
                role,
            )
        except Refusal:
            self._may_fail(request)
            raise

    def _limit(self, what: str, who: str, message: str) -> None:
        """:raises Refusal: that was too often."""
        wait = self._limits[what].wait(who, time.monotonic())
        if wait:
            raise Refusal("rate_limited", message, wait)

    def _may_fail(self, request: web.Request) -> None:
        """:raises Refusal: it fails too often."""
        self._limit("failure", self._address(request), "too many failures from this address")

    def _refused_handshake(self, ticket: Ticket) -> None:
        self._limits["handshake"].wait(ticket.token, time.monotonic())
        self._audit.note(
            "handshake", outcome="refused", environment=ticket.environment, role="harness", token=ticket.token
        )

    # The rendezvous

    async def _dialled(self, request: web.Request) -> web.StreamResponse:
        try:
            with self._guard():
                ticket = self._admit(request)
            if request.transport is None:
                raise Refused("whoever asked has hung up")
            link = Link(ticket, request.transport)
            # Whoever has dialled may ask at once for what only one that is connected can have.
            self._exchange.add(link)
        except InvalidTicket as error:
            return self._turned_away(request, Refusal("forbidden", str(error)))
        except Refusal as error:
            return self._turned_away(request, error)
        except Refused as error:
            return self._turned_away(request, Refusal("executor_offline", str(error), 1.0))
        reason = "cut"
        try:
            await link.prepare(request)
            self.metrics.connections.labels(ticket.role, "done").inc()
            self._note(request, "dial", "done", ticket=ticket)
            reason = await self._exchange.carry(link)
        except (Refused, BadFrame) as error:
            reason = str(error)
            link.close(WSCloseCode.POLICY_VIOLATION, reason)
        except sqlite3.Error as error:
            reason = "the database cannot be used"
            self._failed("database", error)
            link.close(WSCloseCode.TRY_AGAIN_LATER, reason)
        finally:
            self._exchange.remove(link)
            link.close(WSCloseCode.OK, "")
            await link.closed()
            self._note(
                request, "hang up", link.why or reason, ticket=ticket, received=link.received, sent=link.sent
            )
        return link.socket

    def _admit(self, request: web.Request) -> Ticket:
        """Returns whose connection it is.

        :raises InvalidTicket: its URL is not ours.
        :raises Refusal: it may not be.
        """
        if len(self.links) >= self._options.most_connections:
            raise Refusal("unavailable", "there are as many connections as this service can hold", 5.0)
        ticket = self._registry.admit(dict(request.query))
        if ticket.role == "executor":
            self._limit("dial", ticket.token, "this token connects too often")
        elif self._exchange.connections_of(ticket.token) >= self._options.most_harnesses:
            raise Refusal("rate_limited", "too many harnesses are connected with this token", 5.0)
        self._registry.use(ticket)
        return ticket

    def _turned_away(self, request: web.Request, error: Refusal) -> web.Response:
        try:
            if error.code in ("forbidden", "unauthorized"):
                self._may_fail(request)
        except Refusal as limited:
            error = limited
        self.metrics.connections.labels("unknown", error.code).inc()
        self._note_refusal(request, "dial", error)
        return refused(error)

    # The rest

    async def _metrics(self, request: web.Request) -> web.Response:
        return web.Response(body=self.metrics.text(), content_type="text/plain", charset="utf-8")

    async def _healthy(self, request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def _reviewing(self, app: web.Application) -> AsyncIterator[None]:
        reviews = [asyncio.create_task(each) for each in (self._review(), self._exchange.review())]
        yield
        for review in reviews:
            review.cancel()
        await asyncio.gather(*reviews, return_exceptions=True)

    async def _review(self) -> None:
        while True:
            await asyncio.sleep(self._options.review_seconds)
            try:
                self._end_revoked()
                self._registry.tidy()
            except sqlite3.Error as error:
                self._failed("database", error)

    def _end_revoked(self) -> None:
        valid = self._registry.valid_tokens()
        for link in self.links:
            ticket = link.ticket
            if ticket.token not in valid:
                self.metrics.revoked.inc()
                self._audit.note(
                    "revoked", environment=ticket.environment, role=ticket.role, token=ticket.token
                )
                self._exchange.drop(link, "the token counts no more")

    async def _end(self, app: web.Application) -> None:
        ended = self.links
        for link in ended:
            link.close(WSCloseCode.SERVICE_RESTART, "the service ends")
        await asyncio.gather(*(link.closed() for link in ended))

    def _address(self, request: web.Request) -> str:
        hops = self._options.trusted_hops
        told = [each.strip() for each in request.headers.get("X-Forwarded-For", "").split(",")]
        if hops and len(told) >= hops:
            return told[-hops]
        return request.remote or "unknown"

    def _note_refusal(self, request: web.Request, event: str, error: Refusal) -> None:
        if error.code != "rate_limited" or not self._noted.wait(self._address(request), time.monotonic()):
            self._note(request, event, error.code, reason=str(error))

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
        environment = request.match_info.get("environment", "")[:_MOST_NOTED] or None
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
    headers = {} if error.retry_after is None else {"Retry-After": str(max(1, math.ceil(error.retry_after)))}
    return web.json_response(
        {"error": {"code": error.code, "message": str(error)}}, status=STATUS[error.code], headers=headers
    )


@asynccontextmanager
async def serving(
    service: Service, host: str, port: int, *, tls: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[str, int]]:
    """Serves it; gives the address and port where."""
    runner = web.AppRunner(
        service.application(),
        # Its lines hold queries, and so signatures.
        access_log=None,
        logger=_silent,
        handle_signals=False,
        keepalive_timeout=_IDLE_SECONDS,
        shutdown_timeout=_END_SECONDS,
    )
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port, ssl_context=tls, backlog=1024)
        await site.start()
        address = runner.addresses[0]
        yield str(address[0]), int(address[1])
    finally:
        await runner.cleanup()


__all__ = ["MOST_FRAME_BYTES", "PATH", "Options", "Service", "refused", "serving"]
