"""``crossexec rendezvous`` and ``crossexec rendezvous-token``: the service, and who may use it."""

from __future__ import annotations

import argparse
import asyncio
import datetime
import ipaddress
import signal
import ssl
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from urllib.parse import urlsplit

from harness.cli_target import UsageError
from harness.client.errors import ClientError

_DAY_SECONDS = 86_400.0
_FEW_CONNECTIONS = 3_000


class RendezvousFailed(ClientError):
    """The service cannot be started; the text says what was tried and what would help."""


async def rendezvous(options: argparse.Namespace) -> int:
    """Serves until SIGINT or SIGTERM, or the end of its input if that is asked for; returns the exit status.

    :raises UsageError: the options do not go together.
    :raises RendezvousFailed: it cannot listen there, or something that it needs is missing.
    """
    if sys.platform == "win32":
        raise RendezvousFailed("the service does not run on Windows; executors and harnesses do")
    host, port = _listen(options.listen)
    tls = _tls(options)
    if tls is None and not options.plain and not _is_loopback(host):
        raise UsageError(
            f"--listen {options.listen}: others can reach it, and would send their tokens unencrypted; give "
            "--tls-certificate and --tls-key, or --plain if a proxy before it speaks TLS"
        )
    _check_public_url(options, host, is_tls=tls is not None)
    try:
        from harness.rendezvous.audit import Audit, open_log
        from harness.rendezvous.limits import Rates
        from harness.rendezvous.machine import is_readable_by_others, raise_open_files, sole_instance
        from harness.rendezvous.service import Options, Service, serving
        from harness.rendezvous.store import open_store
    except ImportError as error:
        raise RendezvousFailed(f"{error}; install the extra: pip install 'crossexec[rendezvous]'") from error
    try:
        rates = Rates.parse(options.rate)
    except ValueError as error:
        raise UsageError(f"--rate {error}") from None
    connections = raise_open_files()
    if connections < _FEW_CONNECTIONS:
        _say(f"the limit of open files has room for {connections} connections; ulimit -Hn raises it")
    end = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, end.set)
    with ExitStack() as stack:
        # While another program writes, the whole service waits.
        store = stack.enter_context(open_store(options.database, busy_seconds=0.5))
        stack.enter_context(sole_instance(options.database))
        if is_readable_by_others(options.database):
            _say(
                f"others can read {options.database}, and so the key that URLs are signed with: chmod 600 it"
            )
        if options.new_signing_key:
            store.renew_signing_key()
        log = open_log(options.audit_log)
        if options.audit_log is not None:
            stack.callback(log.close)
        service = Service(
            store,
            audit=Audit(log),
            options=Options(rates=rates, trusted_hops=options.behind_proxies, most_connections=connections),
        )
        try:
            async with serving(service, host, port, tls=tls) as (address, taken):
                scheme = "http" if tls is None else "https"
                shown = f"[{address}]" if ":" in address else address
                url = f"{scheme}://{shown}:{taken}"
                from_input = options.public_url == "-"
                service.reached_at(url if from_input else options.public_url or url)
                print(url, flush=True)

                def reached_at(line: str) -> None:
                    service.reached_at(line)
                    print(line, flush=True)

                if from_input or options.exit_with_parent:
                    on_line = reached_at if from_input else None
                    on_end = end.set if options.exit_with_parent else None
                    reader = threading.Thread(
                        target=_read_input, args=(loop, on_line, on_end), name="input", daemon=True
                    )
                    reader.start()
                await end.wait()
        except OSError as error:
            raise RendezvousFailed(f"cannot listen on {options.listen}: {error}") from error
    return 0


def _read_input(
    loop: asyncio.AbstractEventLoop,
    on_line: Callable[[str], None] | None,
    on_end: Callable[[], None] | None,
) -> None:
    """Hands on the first line of the standard input, and that it has ended; in a thread, for it blocks."""
    with suppress(RuntimeError):  # The loop has ended already.
        if on_line is not None and (line := sys.stdin.readline().strip()):
            loop.call_soon_threadsafe(on_line, line)
        if on_end is not None:
            while sys.stdin.readline():
                pass
            loop.call_soon_threadsafe(on_end)


async def rendezvous_token(options: argparse.Namespace) -> int:
    """Adds, lists or revokes a token; returns the exit status.

    :raises RendezvousFailed: there is no such token to revoke.
    """
    from harness.rendezvous.store import open_store

    now = time.time()
    with open_store(options.database) as store:
        if options.action == "add":
            expires = None if options.days is None else now + options.days * _DAY_SECONDS
            token, secret = store.add_token(options.environment, options.role, now, expires)
            print(f"token {token.id}; its text is not kept and not shown again:", file=sys.stderr)
            print(secret)
        elif options.action == "revoke":
            if not store.revoke_token(options.id, now):
                raise RendezvousFailed(
                    f"no token {options.id} that counts in {options.database}; "
                    "crossexec rendezvous-token list shows them"
                )
        else:
            for token in store.tokens():
                print(f"{token.id}  {token.environment}  {token.role}  {_state(token, now)}")
    return 0


def _state(token: object, now: float) -> str:
    from harness.rendezvous.store import Token

    assert isinstance(token, Token)
    if token.revoked is not None:
        return f"revoked {_day(token.revoked)}"
    if token.expires is None:
        return "valid"
    return f"{'valid until' if now < token.expires else 'expired'} {_day(token.expires)}"


def _day(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")


def _say(text: str) -> None:
    print(f"crossexec rendezvous: {text}", file=sys.stderr, flush=True)


def _check_public_url(options: argparse.Namespace, host: str, *, is_tls: bool) -> None:
    """:raises UsageError: executors and harnesses would be told to dial what they cannot, or would not."""
    url: str | None = options.public_url
    if url == "-":
        return
    if url is None:
        if _is_unspecified(host):
            raise UsageError(
                f"--listen {options.listen} is no address to connect to: say how others reach it, by "
                "--public-url https://HOST:PORT"
            )
        if not is_tls and not _is_loopback(host):
            raise UsageError("--plain: say how others reach the proxy, by --public-url https://HOST")
        return
    try:
        parts = urlsplit(url)
        found, _ = parts.hostname or "", parts.port
    except ValueError:
        found = ""
    if (
        not found
        or parts.scheme not in ("http", "https")
        or parts.query
        or parts.fragment
        or "@" in parts.netloc
    ):
        raise UsageError(f"--public-url {url}: give it as https://HOST, https://HOST:PORT or with a path")
    if parts.scheme == "http" and not _is_loopback(found):
        raise UsageError(
            f"--public-url {url}: executors and harnesses send no token over http but to their own machine; "
            "give an https URL"
        )


def _is_unspecified(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def _listen(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65_535 or not host:
        raise UsageError(f"--listen {text}: give HOST:PORT, such as 127.0.0.1:8443 or [::]:8443")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _tls(options: argparse.Namespace) -> ssl.SSLContext | None:
    certificate: Path | None = options.tls_certificate
    key: Path | None = options.tls_key
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise UsageError("--tls-certificate and --tls-key go together")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        # Else OpenSSL asks for a password on the terminal.
        context.load_cert_chain(certificate, key, password="")
    except (OSError, ssl.SSLError) as error:
        why = getattr(error, "strerror", None) or error
        raise RendezvousFailed(
            f"TLS cannot be served with {certificate} and {key}: {why}; they have to be a certificate, with "
            "its chain, and its unencrypted key, in PEM, that this user can read"
        ) from error
    return context
