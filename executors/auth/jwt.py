"""JSON Web Tokens signed with HS256 (RFC 7515, RFC 7518, RFC 7519), read strictly; no I/O.

What a library for JWT would leave to be done here is as much as this: they take texts and fractions for
times, and a signature in more than one spelling, so that all of it had to be checked before. The primitive is
that of the standard library.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Callable
from typing import Annotated, Final

import msgspec
from msgspec import UNSET, UnsetType

from executors.auth.bearer import Refused

MIN_SECRET_BYTES: Final = 32
"""RFC 7518 section 3.2: a key as long as the hash, at least."""
_ALGORITHM: Final = "HS256"
_TYPE: Final = "jwt"
_INVALID: Final = "the token is not valid"

# Seconds since 1970; a fraction says nothing that the skew of clocks would leave of it.
_Time = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class _Header(msgspec.Struct):
    alg: str
    typ: str | UnsetType = UNSET
    crit: msgspec.Raw | UnsetType = UNSET


class _Claims(msgspec.Struct):
    exp: _Time
    nbf: _Time | UnsetType = UNSET
    iat: _Time | UnsetType = UNSET
    iss: str | UnsetType = UNSET
    aud: str | list[str] | UnsetType = UNSET


_headers: Final = msgspec.json.Decoder(_Header)
_claims: Final = msgspec.json.Decoder(_Claims)


class SignedBearer:
    """Tokens that who has the secret has signed, for a time; see :class:`executors.auth.bearer.Verifier`.

    ``exp`` is mandatory. A token that is meant for somebody (``aud``) counts only where *audience* is one of
    them. Of the header ``alg`` is HS256, ``typ`` absent or ``JWT``, and ``crit`` absent.

    :param issuer: that ``iss`` has to be; None for any.
    :param skew_seconds: so much may the clock of whoever signs differ from *now*.
    :param now: seconds since 1970.
    :raises ValueError: the secret is too short.
    """

    def __init__(
        self,
        secret: bytes,
        *,
        issuer: str | None,
        audience: str | None,
        skew_seconds: float,
        now: Callable[[], float],
    ) -> None:
        if len(secret) < MIN_SECRET_BYTES:
            raise ValueError(f"the secret has {len(secret)} bytes, and needs {MIN_SECRET_BYTES} at least")
        self._secret = secret
        self._issuer = issuer
        self._audience = audience
        self._skew = skew_seconds
        self._now = now

    def __repr__(self) -> str:
        return f"SignedBearer(…, issuer={self._issuer!r}, audience={self._audience!r})"

    def verify(self, token: str) -> None:
        """See :class:`executors.auth.bearer.Verifier`."""
        signed, dot, signature = token.rpartition(".")
        header, between, claims = signed.partition(".")
        if not dot or not between:
            raise Refused(_INVALID)
        # Nothing is read of what nobody has signed.
        if not hmac.compare_digest(hmac.digest(self._secret, signed.encode(), "sha256"), _decode(signature)):
            raise Refused(_INVALID)
        self._check_header(_decode(header))
        self._check_claims(_decode(claims))

    def _check_header(self, data: bytes) -> None:
        try:
            header = _headers.decode(data.decode())
        except (msgspec.MsgspecError, ValueError, RecursionError):
            raise Refused("the header of the token is malformed") from None
        if header.alg != _ALGORITHM:
            raise Refused("the token is not signed with HS256")
        if header.typ is not UNSET and header.typ.lower() != _TYPE:
            raise Refused("the token is of another type than JWT")
        if header.crit is not UNSET:
            raise Refused("the token asks for extensions that are not known here")

    def _check_claims(self, data: bytes) -> None:
        try:
            claims = _claims.decode(data.decode())
        except (msgspec.MsgspecError, ValueError, RecursionError):
            raise Refused("the claims of the token are malformed, or exp is missing") from None
        now = self._now()
        if now >= claims.exp + self._skew:
            raise Refused("the token has expired")
        if claims.nbf is not UNSET and now < claims.nbf - self._skew:
            raise Refused("the token does not count yet")
        if claims.iat is not UNSET and now < claims.iat - self._skew:
            raise Refused("the token was issued in the future")
        if self._issuer is not None and claims.iss != self._issuer:
            raise Refused("the token is of another issuer")
        if not self._is_meant(claims.aud):
            raise Refused("the token is meant for somebody else")

    def _is_meant(self, audience: str | list[str] | UnsetType) -> bool:
        """RFC 7519 section 4.1.3: who is not named in ``aud`` refuses, also who has no name."""
        if audience is UNSET:
            return self._audience is None
        named = [audience] if isinstance(audience, str) else audience
        return self._audience in named


def _decode(segment: str) -> bytes:
    """The bytes of base64url without padding, in the one form that there is for them.

    :raises Refused: it is anything else.
    """
    try:
        data = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    except ValueError:
        raise Refused(_INVALID) from None
    # The decoder drops what is no base64, and bits that say nothing.
    if base64.urlsafe_b64encode(data).rstrip(b"=").decode() != segment:
        raise Refused(_INVALID)
    return data
