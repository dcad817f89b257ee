"""What is registered, asked for and validated: the rules, without HTTP. The clock is handed in."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

import msgspec

from harness.rendezvous.signing import Role, Ticket
from harness.rendezvous.store import Grant, Registration, Store, Token

PROFILE: Final = "noise_hybrid_ik_v1"
SUITE: Final = "Noise_hybridIK_X25519+MLKEM768_AESGCM_SHA256"
_KEY_BYTES: Final = {"x25519_public_key": 32, "mlkem768_public_key": 1184}
_MOST_AUTHORIZATION: Final = 4096


class PublicKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who a machine is, as its JSON says it."""

    suite: str
    x25519_public_key: str
    mlkem768_public_key: str

    def text(self) -> str:
        """The same for the same key."""
        return msgspec.json.encode(self, order="deterministic").decode()

    def hash(self) -> bytes:
        return hashlib.sha256(self.text().encode()).digest()


class RegisterRequest(msgspec.Struct, frozen=True):
    security_profile: str
    executor_public_key: PublicKey


class ConnectRequest(msgspec.Struct, frozen=True):
    harness_public_key: PublicKey


class ValidateRequest(msgspec.Struct, frozen=True):
    executor_registration_id: str
    harness_public_key: PublicKey
    harness_key_authorization: str


class Registered(msgspec.Struct, frozen=True):
    environment_id: str
    url: str
    security_profile: str
    executor_registration_id: str


class Bundle(msgspec.Struct, frozen=True):
    """All that a harness needs for one connection."""

    environment_id: str
    url: str
    security_profile: str
    executor_registration_id: str
    executor_public_key: msgspec.Raw
    harness_key_authorization: str


class Validity(msgspec.Struct, frozen=True):
    valid: bool


Code = Literal[
    "unauthorized",
    "forbidden",
    "invalid_request",
    "not_found",
    "executor_offline",
    "conflict",
    "displaced",
    "rate_limited",
    "unavailable",
]
STATUS: Final[dict[Code, int]] = {
    "invalid_request": 400,
    "unauthorized": 401,
    "forbidden": 403,
    "not_found": 404,
    "conflict": 409,
    # An executor that is answered so dials on, ever more slowly; 409 would have it register anew, at once.
    "displaced": 503,
    "rate_limited": 429,
    "executor_offline": 503,
    "unavailable": 503,
}


class Refusal(Exception):
    """Why a request is not met.

    :ivar code: for programs; :data:`STATUS` has the HTTP status of each.
    :ivar retry_after: seconds after which it may be tried again; None if that is no use.
    """

    def __init__(self, code: Code, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.retry_after = retry_after


@dataclass(frozen=True)
class Lifetimes:
    """How long what is given out is taken, in seconds.

    :ivar executor: the URL that an executor dials, again and again; after that it registers anew.
    :ivar harness: the URL that a harness dials, once.
    :ivar authorization: what a harness says of itself in the handshake, once.
    :ivar hold: its place, to an executor that has lost its connection, against the one whose place it took.
    """

    executor: float = 600.0
    harness: float = 60.0
    authorization: float = 120.0
    hold: float = 30.0


class Registry:
    """The rules.

    :ivar url: of the WebSocket that executors and harnesses dial, without a query: ``wss://HOST/PATH``; it is
        to be set before anybody asks.
    :param store: what lasts.
    :param clock: seconds since the epoch.
    :param is_connected: whether the executor of an environment and a registration is there.
    :param is_held: whether that executor is there, or was a moment ago and may be back.
    """

    def __init__(
        self,
        store: Store,
        *,
        clock: Callable[[], float],
        is_connected: Callable[[str, str], bool],
        is_held: Callable[[str, str], bool],
        lifetimes: Lifetimes | None = None,
    ) -> None:
        self._store = store
        self.url = ""
        self._clock = clock
        self._is_connected = is_connected
        self._is_held = is_held
        self._lifetimes = lifetimes or Lifetimes()
        self._key = store.signing_key()

    def authenticate(self, bearer: str | None, environment: str, role: Role) -> Token:
        """Returns the token of a request.

        :raises Refusal: there is none, it counts no more, or it is for something else.
        """
        if not bearer:
            raise Refusal("unauthorized", "no bearer token was given")
        token = self._store.find_token(bearer)
        if token is None or not token.is_valid(self._clock()):
            raise Refusal("unauthorized", "the bearer token is unknown, revoked or expired")
        if token.environment != environment or token.role != role:
            raise Refusal("forbidden", "the bearer token is for another environment, or for another role")
        return token

    def register(self, token: Token, request: RegisterRequest) -> tuple[Registered, bool]:
        """Takes an executor, in place of the one before: the one that was started last is meant.

        One whose place was taken gets it back only when the one that took it has gone. Else two of them would
        drive each other out for ever.

        :return: what to answer, and whether it has taken another one's place.
        :raises Refusal: the profile or the key is none that is known, or another executor has its place.
        """
        if request.security_profile != PROFILE:
            raise Refusal("invalid_request", f"security_profile: expected {PROFILE}")
        check_key(request.executor_public_key, "executor_public_key")
        found = self._store.registration(token.environment)
        key = request.executor_public_key.text()
        if found is not None and self._is_held_by(found) and self._store.was_replaced(found.environment, key):
            raise self._displaced()
        made = self._store.register(token.environment, key, PROFILE, token.id, self._clock())
        url = self._sign("executor", made, "", token, self._lifetimes.executor)
        return Registered(made.environment, url, PROFILE, made.id), found is not None and found.key != key

    def connect(self, token: Token, request: ConnectRequest) -> Bundle:
        """Gives a harness what it needs for one connection.

        :raises Refusal: the key is none, or there is no executor, or it is not connected.
        """
        check_key(request.harness_public_key, "harness_public_key")
        found = self._store.registration(token.environment)
        if found is None or not self._counts(found.token):
            raise Refusal("not_found", "no executor is registered for this environment")
        if not self._is_connected(found.environment, found.id):
            raise Refusal(
                "executor_offline", "the executor of this environment is not connected at present", 1.0
            )
        grant, authorization = self._store.add_grant(
            found,
            token.id,
            request.harness_public_key.hash(),
            self._clock() + self._lifetimes.authorization,
        )
        return Bundle(
            found.environment,
            self._sign("harness", found, grant.id, token, self._lifetimes.harness),
            found.profile,
            found.id,
            msgspec.Raw(found.key.encode()),
            authorization,
        )

    def validate(self, token: Token, stream: str, request: ValidateRequest) -> Validity:
        """Tells an executor whether a harness may talk to it on a stream; an authorization is good once.

        :raises Refusal: the executor's registration is not the one that counts, or the harness' token does
            not count any more.
        """
        found = self._store.registration(token.environment)
        if found is None or found.id != request.executor_registration_id:
            raise Refusal("conflict", "the registration is not the one that counts")
        if not 0 < len(request.harness_key_authorization) <= _MOST_AUTHORIZATION:
            return Validity(False)
        grant = self._store.find_grant(request.harness_key_authorization)
        if grant is None or not self._fits(grant, found, stream, request.harness_public_key):
            return Validity(False)
        if not self._store.validate_grant(grant.id, self._clock()):
            return Validity(False)
        if not self._counts(grant.token):
            raise Refusal("unauthorized", "the harness' token has been revoked, or has expired")
        return Validity(True)

    def _fits(self, grant: Grant, found: Registration, stream: str, key: PublicKey) -> bool:
        return (
            (grant.environment, grant.registration) == (found.environment, found.id)
            and grant.key == key.hash()
            # What is said on another connection than its own is somebody else's.
            and grant.stream == stream
            and not grant.is_validated
            and self._clock() < grant.expires
        )

    def admit(self, query: dict[str, str]) -> Ticket:
        """Returns whose connection a URL opens.

        :raises InvalidTicket: it is not ours.
        :raises Refusal: it has expired, or counts no more: its token was revoked, the executor has registered
            anew, or another one has its place.
        """
        ticket = Ticket.verify(query, self._key)
        if not self._counts(ticket.token):
            raise Refusal("unauthorized", "the token that this URL was given for counts no more")
        found = self._store.registration(ticket.environment)
        is_current = found is not None and found.id == ticket.registration
        if found is not None and not is_current and ticket.role == "executor" and self._is_held_by(found):
            raise self._displaced()
        if self._clock() >= ticket.expires:
            raise Refusal("forbidden", "the URL has expired")
        if not is_current:
            raise Refusal("conflict", "the executor of this environment has registered anew")
        is_harness = ticket.role == "harness"
        if is_harness and not self._is_connected(ticket.environment, ticket.registration):
            raise Refusal("executor_offline", "the executor is not connected at present", 1.0)
        return ticket

    def use(self, ticket: Ticket) -> None:
        """Notes that a URL is used, which a harness may do once.

        :raises Refusal: it was.
        """
        if ticket.role == "harness" and not self._store.connect_grant(ticket.grant, self._clock()):
            raise Refusal("forbidden", "this URL has been used")

    def bind(self, ticket: Ticket, stream: str) -> bool:
        """Notes which stream a harness' connection carries; returns whether it may."""
        return self._store.bind_grant(ticket.grant, stream)

    def valid_tokens(self) -> set[str]:
        """Returns the ids of the tokens that count."""
        return self._store.valid_tokens(self._clock())

    def tidy(self) -> int:
        """Forgets what has expired; returns how much."""
        return self._store.forget_grants(self._clock() - self._lifetimes.authorization)

    def _is_held_by(self, found: Registration) -> bool:
        return self._is_held(found.environment, found.id)

    def _displaced(self) -> Refusal:
        return Refusal(
            "displaced",
            "another executor has been registered for this environment since; if both are wanted, each needs "
            "an environment of its own",
            self._lifetimes.hold,
        )

    def _counts(self, token: str) -> bool:
        found = self._store.token(token)
        return found is not None and found.is_valid(self._clock())

    def _sign(self, role: Role, found: Registration, grant: str, token: Token, seconds: float) -> str:
        expires = int(self._clock() + seconds)
        ticket = Ticket(role, found.environment, found.id, grant, token.id, expires)
        return f"{self.url}?{ticket.query(self._key)}"


def check_key(key: PublicKey, name: str) -> None:
    """Looks at the form of a public key.

    :raises Refusal: the suite or a length is another one.
    """
    if key.suite != SUITE:
        raise Refusal("invalid_request", f"{name}.suite: expected {SUITE}")
    for part, length in _KEY_BYTES.items():
        try:
            found = len(base64.b64decode(getattr(key, part), validate=True))
        except binascii.Error:
            raise Refusal("invalid_request", f"{name}.{part}: not base64") from None
        if found != length:
            raise Refusal("invalid_request", f"{name}.{part}: {found} bytes, expected {length}")
