"""The options of the executor's command that say who may connect; named as the released exec-server has them.

What only they need is loaded when they are given.
"""

from __future__ import annotations

import argparse
import logging
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from executors.auth.bearer import BearerGuard, Verifier

CAPABILITY_TOKEN: Final = "capability-token"
SIGNED_BEARER_TOKEN: Final = "signed-bearer-token"
DEFAULT_SKEW_SECONDS: Final = 30.0
_MAX_SKEW_SECONDS: Final = 3600.0
_SHA256: Final = re.compile(r"[0-9A-Fa-f]{64}", re.ASCII)
_OF_CAPABILITY: Final = ("ws_token_file", "ws_token_sha256")
_OF_SIGNED: Final = ("ws_shared_secret_file", "ws_issuer", "ws_audience", "ws_max_clock_skew_seconds")

_log = logging.getLogger(__name__)


def add_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("who may connect, with --listen")
    group.add_argument(
        "--ws-auth",
        choices=(CAPABILITY_TOKEN, SIGNED_BEARER_TOKEN),
        help="whoever connects has to show a token, as Authorization: Bearer TOKEN: one that is always the "
        "same, or a JWT signed with HS256; mandatory on other addresses than loopback",
    )
    group.add_argument(
        "--ws-token-file", type=Path, metavar="PATH", help="with capability-token: the file that holds it"
    )
    group.add_argument(
        "--ws-token-sha256",
        metavar="HEX",
        help="or its SHA-256, so that this machine does not hold the token",
    )
    group.add_argument(
        "--ws-shared-secret-file",
        type=Path,
        metavar="PATH",
        help="with signed-bearer-token: the file that holds the secret of who signs, 32 bytes at least",
    )
    group.add_argument("--ws-issuer", metavar="NAME", help="the iss that a token has to have (default: any)")
    group.add_argument(
        "--ws-audience",
        metavar="NAME",
        help="the aud that a token has to have (default: none; a token that has one is refused)",
    )
    group.add_argument(
        "--ws-max-clock-skew-seconds",
        type=_skew,
        metavar="S",
        help=f"so much may the clock of who signs be wrong (default: {DEFAULT_SKEW_SECONDS:g})",
    )
    group.add_argument(
        "--allow-unauthenticated",
        action="store_true",
        help="listen on other addresses than loopback without --ws-auth: whoever reaches them can do what "
        "the user of this command can do",
    )


def check_unused(options: argparse.Namespace, why: str) -> None:
    """:raises ValueError: an option is given where nobody connects; *why* says so."""
    for name in ("ws_auth", *_OF_CAPABILITY, *_OF_SIGNED, "allow_unauthenticated"):
        if getattr(options, name) not in (None, False):
            raise ValueError(f"{_flag(name)}: {why}")


def guard_of(options: argparse.Namespace, *, is_exposed: bool) -> BearerGuard | None:
    """Returns what decides who may connect; None for whoever can.

    Reads the files that the options name.

    :param is_exposed: other machines may reach the listener.
    :raises ValueError: options are missing or at odds, or a file is of no use.
    """
    mode = options.ws_auth
    for name, needed in (
        *((name, CAPABILITY_TOKEN) for name in _OF_CAPABILITY),
        *((name, SIGNED_BEARER_TOKEN) for name in _OF_SIGNED),
    ):
        if getattr(options, name) is not None and mode != needed:
            raise ValueError(f"{_flag(name)} goes with --ws-auth {needed}")
    if mode is None:
        if is_exposed and not options.allow_unauthenticated:
            raise ValueError(
                f"--listen {options.listen}: other machines may reach it, and could do all that this user "
                f"can: give --ws-auth {CAPABILITY_TOKEN} --ws-token-file PATH, or listen on "
                "ws://127.0.0.1:PORT; --allow-unauthenticated lets everybody in"
            )
        return None
    if options.allow_unauthenticated:
        raise ValueError("--allow-unauthenticated is at odds with --ws-auth: leave one out")
    from executors.auth.bearer import BearerGuard

    verifier = _capability(options) if mode == CAPABILITY_TOKEN else _signed(options)
    return BearerGuard(verifier, lambda line: _log.warning("%s", line), time.monotonic)


def _capability(options: argparse.Namespace) -> Verifier:
    from executors.auth.bearer import MIN_TOKEN_CHARACTERS, CapabilityToken, is_token, sha256
    from executors.auth.secret_file import read_secret

    path, digest = options.ws_token_file, options.ws_token_sha256
    if (path is None) == (digest is None):
        raise ValueError(f"--ws-auth {CAPABILITY_TOKEN}: give one of --ws-token-file and --ws-token-sha256")
    if digest is not None:
        if not _SHA256.fullmatch(digest):
            raise ValueError("--ws-token-sha256: give the 64 hexadecimal digits of a SHA-256")
        return CapabilityToken(bytes.fromhex(digest))
    try:
        token = read_secret(path).decode("latin-1")
    except ValueError as error:
        raise ValueError(f"--ws-token-file: {error}") from None
    if len(token) < MIN_TOKEN_CHARACTERS or not is_token(token):
        raise ValueError(
            f"--ws-token-file: {path} holds no token of {MIN_TOKEN_CHARACTERS} characters at least, of those "
            "that a header may hold; to make one: python -c 'import secrets; print(secrets.token_urlsafe())'"
        )
    return CapabilityToken(sha256(token))


def _signed(options: argparse.Namespace) -> Verifier:
    from executors.auth.jwt import SignedBearer
    from executors.auth.secret_file import read_secret

    path, skew = options.ws_shared_secret_file, options.ws_max_clock_skew_seconds
    if path is None:
        raise ValueError(f"--ws-auth {SIGNED_BEARER_TOKEN}: give --ws-shared-secret-file")
    try:
        return SignedBearer(
            read_secret(path),
            issuer=options.ws_issuer,
            audience=options.ws_audience,
            skew_seconds=DEFAULT_SKEW_SECONDS if skew is None else skew,
            now=time.time,
        )
    except ValueError as error:
        raise ValueError(f"--ws-shared-secret-file: {error}") from None


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _skew(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds <= _MAX_SKEW_SECONDS:
        raise argparse.ArgumentTypeError(f"{text}: give 0 to {_MAX_SKEW_SECONDS:g} seconds")
    return seconds
