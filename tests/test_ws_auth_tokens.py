"""Bearer tokens of direct listeners: what counts, and that all else does not; no socket, no clock."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import string
from typing import Any

import jwt as pyjwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from executors.auth import bearer
from executors.auth.bearer import BearerGuard, CapabilityToken, Refused, Verifier, bearer_token
from executors.auth.jwt import SignedBearer

NOW = 1_800_000_000
SKEW = 30
SECRET = bytes(range(64, 96))
TOKEN = "a-capability-token.of_enough~characters+/="
CLAIMS = {"exp": NOW + 60}
HEADER = {"alg": "HS256", "typ": "JWT"}
TOKEN_CHARACTERS = string.ascii_letters + string.digits + "-._~+/"


def signed(**more: Any) -> SignedBearer:
    chosen = {"issuer": None, "audience": None, "skew_seconds": SKEW, "now": lambda: float(NOW), **more}
    return SignedBearer(SECRET, **chosen)


def encode(part: Any) -> str:
    data = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def token(claims: Any = CLAIMS, header: Any = HEADER, secret: bytes = SECRET) -> str:
    """A token made by hand; *claims* and *header* as bytes are taken as they are."""
    content = f"{encode(header)}.{encode(claims)}"
    return f"{content}.{encode(hmac.digest(secret, content.encode(), 'sha256'))}"


def why_not(verifier: Verifier, shown: str) -> str | None:
    try:
        verifier.verify(shown)
    except Refused as refused:
        assert len(shown) < 20 or shown not in str(refused)
        assert str(refused).isascii() and not set('"\\\r\n') & set(str(refused)), "it goes into a header"
        return str(refused)
    return None


# Headers


@pytest.mark.parametrize(
    "value", [f"Bearer {TOKEN}", f"bearer {TOKEN}", f"BEARER {TOKEN}", f"bEaReR    {TOKEN}"]
)
def test_one_bearer_token_is_found(value: str) -> None:
    assert bearer_token([value]) == TOKEN


@pytest.mark.parametrize(
    "values",
    [
        ["Bearer"],
        ["Bearer "],
        [""],
        [TOKEN],
        [f"Bearer{TOKEN}"],
        [f"Bearer\t{TOKEN}"],
        [f" Bearer {TOKEN}"],
        [f"Bearer {TOKEN} "],
        [f"Bearer {TOKEN},"],
        [f"Bearer {TOKEN}, Bearer {TOKEN}"],
        [f"Bearer {TOKEN} {TOKEN}"],
        [f'Bearer token="{TOKEN}"'],
        [f"Bearer ={TOKEN}"],
        [f"Bearer {TOKEN}é"],
        [f"Bearer {TOKEN}\udce9"],
        [f"Bearer {TOKEN}\n"],
        [f"Bearer {TOKEN}\x00"],
        [f"Bearer {chr(0xFF41) * 30}"],
        [f"Bearer\xa0{TOKEN}"],
        [f"Basic {TOKEN}"],
        [f"Digest {TOKEN}"],
        [f"BearerX {TOKEN}"],
        [f"Bearer {'a' * 4097}"],
        [f"Bearer {' ' * 4096}{TOKEN}"],
        [f"Bearer {TOKEN}"] * 2,
        [f"Bearer {TOKEN}", "Bearer x"],
        ["Bearer x", f"Bearer {TOKEN}"],
        [f"Bearer {TOKEN}", ""],
    ],
)
def test_all_else_in_the_header_is_refused(values: list[str]) -> None:
    with pytest.raises(Refused) as raised:
        bearer_token(values)
    assert TOKEN not in str(raised.value)


@given(st.lists(st.text(), max_size=3))
def test_whatever_a_request_shows_is_answered(values: list[str]) -> None:
    told: list[str] = []
    guard = BearerGuard(CapabilityToken(bearer.sha256(TOKEN)), told.append, lambda: 0.0)
    reason, challenge = guard(values) or ("", "let in")
    assert reason and challenge.startswith('Bearer realm="executor"') and len(told) == 1
    assert challenge.isascii() and challenge.isprintable() and told[0].isprintable()


@given(st.text(TOKEN_CHARACTERS, min_size=1), st.sampled_from(["Bearer", "bearer"]), st.integers(1, 9))
def test_every_token_that_a_header_may_hold_is_found(text: str, scheme: str, blanks: int) -> None:
    assert bearer_token([f"{scheme}{' ' * blanks}{text}"]) == text
    assert bearer.is_token(text)


# Capability tokens


def test_a_capability_token_lets_in_and_no_other_does() -> None:
    verifier = CapabilityToken(hashlib.sha256(TOKEN.encode()).digest())
    assert why_not(verifier, TOKEN) is None
    for other in (TOKEN[:-1], TOKEN + "=", TOKEN.upper(), "x", hashlib.sha256(TOKEN.encode()).hexdigest()):
        assert why_not(verifier, other) == "the token is not valid"
    with pytest.raises(ValueError):
        CapabilityToken(b"short")


def test_digests_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []
    original = hmac.compare_digest

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return original(one, other)

    monkeypatch.setattr(hmac, "compare_digest", compare)
    why_not(CapabilityToken(bearer.sha256(TOKEN)), "x" * 50)
    why_not(signed(), token(secret=b"x" * 32))
    assert [(len(one), len(other)) for one, other in compared] == [(32, 32), (32, 32)]


# Signed tokens


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": NOW + 1},
        {"exp": NOW - SKEW + 1},
        {"exp": NOW + 1, "nbf": NOW + SKEW, "iat": NOW + SKEW},
        {"exp": NOW + 1, "nbf": 0, "iat": 0, "sub": "x", "jti": ["y"], "more": {"z": 1.5}},
        {"exp": NOW + 1, "iss": "anybody"},
        {"exp": 2**53},
    ],
)
@pytest.mark.parametrize(
    "header", [HEADER, {"alg": "HS256"}, {**HEADER, "typ": "jwt"}, {**HEADER, "kid": "k", "jwk": {"k": ""}}]
)
def test_what_counts(claims: dict[str, Any], header: dict[str, Any]) -> None:
    assert why_not(signed(), token(claims, header)) is None


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({}, "exp is missing"),
        ({"exp": NOW - SKEW}, "expired"),
        ({"exp": 0}, "expired"),
        ({"exp": NOW + 1, "nbf": NOW + SKEW + 1}, "not count yet"),
        ({"exp": NOW + 1, "iat": NOW + SKEW + 1}, "in the future"),
        ({"exp": NOW + 60.5}, "malformed"),
        ({"exp": str(NOW + 60)}, "malformed"),
        ({"exp": True}, "malformed"),
        ({"exp": None}, "malformed"),
        ({"exp": [NOW + 60]}, "malformed"),
        ({"exp": -1}, "malformed"),
        ({"exp": 2**53 + 1}, "malformed"),
        ({"exp": 10**400}, "malformed"),
        (b'{"exp":1e300}', "malformed"),
        (b'{"exp":NaN}', "malformed"),
        (b'{"exp":Infinity}', "malformed"),
        ({**CLAIMS, "nbf": "0"}, "malformed"),
        ({**CLAIMS, "nbf": 0.5}, "malformed"),
        ({**CLAIMS, "iat": None}, "malformed"),
        ({**CLAIMS, "iss": ["x"]}, "malformed"),
        ({**CLAIMS, "aud": 1}, "malformed"),
        ({**CLAIMS, "aud": [1]}, "malformed"),
        ({**CLAIMS, "aud": "somebody"}, "somebody else"),
        ({**CLAIMS, "aud": []}, "somebody else"),
        ({"Exp": NOW + 60}, "exp is missing"),
        ([CLAIMS], "malformed"),
        (b"", "malformed"),
        (b'{"exp":1', "malformed"),
        (json.dumps(CLAIMS).encode() + b"x", "malformed"),
        (b"\xef\xbb\xbf" + json.dumps(CLAIMS).encode(), "malformed"),
        (b'{"\xff":1,"exp":%d}' % (NOW + 60), "malformed"),
    ],
)
def test_claims_that_do_not_count(claims: Any, reason: str) -> None:
    assert reason in (why_not(signed(), token(claims)) or "let in")


@pytest.mark.parametrize("exp", [NOW + 60, 0])
def test_claims_of_any_depth_are_read_or_refused(exp: int) -> None:
    # Which of the two is Python's to say: how deep it goes depends on its version.
    deep = b'{"exp":%d,"x":%s%s}' % (exp, b"[" * 1300, b"]" * 1300)
    told = why_not(signed(), token(deep))
    assert told == "the claims of the token are malformed, or exp is missing" or (
        told is None if exp else told == "the token has expired"
    )


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ({"alg": "none"}, "HS256"),
        ({"alg": "None"}, "HS256"),
        ({"alg": "hs256"}, "HS256"),
        ({"alg": "HS384"}, "HS256"),
        ({"alg": "HS512"}, "HS256"),
        ({"alg": "RS256"}, "HS256"),
        ({"alg": ""}, "HS256"),
        ({"alg": ["HS256"]}, "malformed"),
        ({"alg": None}, "malformed"),
        ({"typ": "JWT"}, "malformed"),
        ({**HEADER, "typ": "at+jwt"}, "type"),
        ({**HEADER, "typ": "JWE"}, "type"),
        ({**HEADER, "typ": ""}, "type"),
        ({**HEADER, "typ": None}, "malformed"),
        ({**HEADER, "crit": ["b64"], "b64": False}, "extensions"),
        ({**HEADER, "crit": ["exp"]}, "extensions"),
        ({**HEADER, "crit": []}, "extensions"),
        ({**HEADER, "crit": None}, "extensions"),
        (b"", "malformed"),
        (b"[]", "malformed"),
        (b'"HS256"', "malformed"),
    ],
)
def test_headers_that_do_not_count(header: Any, reason: str) -> None:
    """Each is signed as it stands: it is the header that is refused."""
    assert reason in (why_not(signed(), token(CLAIMS, header)) or "let in")


def test_a_token_without_a_signature_does_not_count() -> None:
    content = f"{encode({'alg': 'none'})}.{encode(CLAIMS)}"
    for shown in (
        content,
        f"{content}.",
        f"{content}..",
        f".{content}",
        f"{encode(HEADER)}..",
        "..",
        ".",
        "x",
    ):
        assert why_not(signed(), shown) == "the token is not valid"


def test_the_hash_of_another_algorithm_does_not_count() -> None:
    content = f"{encode({'alg': 'HS512'})}.{encode(CLAIMS)}"
    long = f"{content}.{encode(hmac.digest(SECRET, content.encode(), 'sha512'))}"
    assert why_not(signed(), long) == "the token is not valid"


def test_a_signature_has_one_form() -> None:
    """Other last bits, padding, the standard alphabet and characters of none: all decode to the same bytes
    where nobody looks closely."""
    right = token()
    alphabet = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
    last = alphabet.index(right[-1])
    same = base64.urlsafe_b64decode(right.rpartition(".")[2] + "=")
    for other in (alphabet[last ^ bits] for bits in (1, 2, 3)):
        shown = right[:-1] + other
        assert base64.urlsafe_b64decode(shown.rpartition(".")[2] + "=") == same
        assert why_not(signed(), shown) == "the token is not valid"
    for shown in (right + "=", right + "~", right.replace("-", "+").replace("_", "/") + "~", right + "A"):
        assert why_not(signed(), shown) == "the token is not valid"


def test_padding_inside_of_what_is_signed_does_not_count() -> None:
    claims = next(
        claims for fill in ("", "x", "xx") if len(json.dumps(claims := {**CLAIMS, "x": fill})) % 3 != 0
    )
    padded = encode(claims) + "=" * (-len(encode(claims)) % 4)
    assert "=" in padded
    content = f"{encode(HEADER)}.{padded}"
    shown = f"{content}.{encode(hmac.digest(SECRET, content.encode(), 'sha256'))}"
    assert why_not(signed(), shown) == "the token is not valid"


@pytest.mark.parametrize(
    ("claims", "counts"),
    [
        ({"iss": "me", "aud": "you"}, True),
        ({"iss": "me", "aud": ["x", "you"]}, True),
        ({"iss": "me", "aud": ["x"]}, False),
        ({"iss": "me", "aud": "You"}, False),
        ({"iss": "me", "aud": "you "}, False),
        ({"iss": "me"}, False),
        ({"aud": "you"}, False),
        ({"iss": "ME", "aud": "you"}, False),
        ({"iss": "", "aud": "you"}, False),
    ],
)
def test_issuer_and_audience(claims: dict[str, Any], counts: bool) -> None:
    verifier = signed(issuer="me", audience="you")
    assert (why_not(verifier, token({**CLAIMS, **claims})) is None) is counts


def test_a_secret_has_as_many_bytes_as_the_hash() -> None:
    with pytest.raises(ValueError, match="31 bytes, and needs 32"):
        SignedBearer(b"x" * 31, issuer=None, audience=None, skew_seconds=0, now=lambda: 0.0)


# Another hand's tokens


def test_a_token_of_another_library_counts() -> None:
    made = pyjwt.encode(
        {"exp": NOW + 60, "nbf": NOW, "iat": NOW, "iss": "me", "aud": ["you"]}, SECRET, "HS256"
    )
    assert why_not(signed(issuer="me", audience="you"), made) is None


@pytest.mark.parametrize(
    "made",
    [
        pyjwt.encode(CLAIMS, "", "none"),
        pyjwt.encode(CLAIMS, SECRET * 2, "HS384"),
        pyjwt.encode(CLAIMS, SECRET * 2, "HS512"),
        pyjwt.encode(CLAIMS, b"x" * 32, "HS256"),
        pyjwt.encode(CLAIMS, SECRET + b"\n", "HS256"),
        pyjwt.encode({}, SECRET, "HS256"),
        pyjwt.encode(CLAIMS, SECRET, "HS256", headers={"typ": "at+jwt"}),
    ],
)
def test_others_of_that_library_do_not(made: str) -> None:
    assert why_not(signed(), made) is not None


@given(st.data())
def test_whatever_is_changed_in_a_token_it_does_not_count(data: st.DataObject) -> None:
    right = pyjwt.encode({**CLAIMS, "iss": "me"}, SECRET, "HS256")
    at = data.draw(st.integers(0, len(right) - 1))
    how = data.draw(st.sampled_from(["replace", "insert", "drop", "cut"]))
    character = data.draw(st.sampled_from(TOKEN_CHARACTERS + "="))
    changed = {
        "replace": right[:at] + character + right[at + 1 :],
        "insert": right[:at] + character + right[at:],
        "drop": right[:at] + right[at + 1 :],
        "cut": right[:at],
    }[how]
    assert (why_not(signed(), changed) is None) is (changed == right)


@given(st.text(TOKEN_CHARACTERS + "=", max_size=200))
def test_nothing_made_up_counts(text: str) -> None:
    assert why_not(signed(), text) is not None


@given(
    st.dictionaries(
        st.sampled_from(["exp", "nbf", "iat", "iss", "aud", "x"]),
        st.integers()
        | st.floats()
        | st.text()
        | st.none()
        | st.booleans()
        | st.lists(st.text() | st.integers(), max_size=3),
    )
)
def test_whatever_is_signed_counts_by_its_claims_alone(claims: dict[str, Any]) -> None:
    def is_time(value: Any) -> bool:
        return type(value) is int and 0 <= value <= 2**53

    expected = (
        is_time(claims.get("exp"))
        and claims["exp"] > NOW - SKEW
        and all(
            is_time(claims[name]) and claims[name] <= NOW + SKEW for name in ("nbf", "iat") if name in claims
        )
        and isinstance(claims.get("iss", ""), str)
        and "aud" not in claims
    )
    content = json.dumps(claims, ensure_ascii=False).encode(errors="surrogatepass")
    assert (why_not(signed(), token(content)) is None) is expected


# Refusals


def test_refusals_are_counted_and_told_in_few_lines() -> None:
    now = 0.0
    told: list[str] = []
    guard = BearerGuard(CapabilityToken(bearer.sha256(TOKEN)), told.append, lambda: now)
    reason = "there is no Authorization header"
    assert guard([]) == (reason, 'Bearer realm="executor"'), "who shows nothing is told of no error"
    assert guard(["Bearer x"]) == (
        "the token is not valid",
        'Bearer realm="executor", error="invalid_token", error_description="the token is not valid"',
    )
    assert guard([f"Bearer {TOKEN}"]) is None
    for _ in range(1000):
        guard(["Basic x"])
    assert told == [f"a connection was refused: {reason}"]
    now = bearer.REPORT_SECONDS
    guard(["Bearer x"])
    guard(["Bearer x"])
    assert told[1:] == [
        "a connection was refused: the token is not valid; so were 1001 others since the last such line"
    ]


def test_nothing_shows_a_secret() -> None:
    verifiers: list[Verifier] = [signed(issuer="me"), CapabilityToken(bearer.sha256(TOKEN))]
    for verifier in verifiers:
        shown = repr(verifier) + repr(BearerGuard(verifier, print, lambda: 0.0))
        for secret in (SECRET.decode(), repr(SECRET), TOKEN, bearer.sha256(TOKEN).hex()):
            assert secret not in shown
