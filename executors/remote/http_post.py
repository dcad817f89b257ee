"""One POST of JSON over HTTP/1.1: no redirects, no connection kept, bounded in time and size.

It can be cancelled at any moment, which a client on a thread cannot. For https the system's proxy is used, if
there is one (``https_proxy``, ``no_proxy``; on Windows also what its settings say); its own URL is http.
"""

from __future__ import annotations

import asyncio
import http.client
import io
import ssl
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NamedTuple, cast
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import msgspec

from executors.protocol import base64

MAX_RESPONSE_BYTES = 256 * 1024
_MAX_DIGITS = 10


class HttpError(Exception):
    """There is no response; the text names no header and no body."""


class Response(NamedTuple):
    """:ivar retry_after: seconds after which the server wants to be asked again; None if it says none."""

    status: int
    body: bytes
    retry_after: float | None = None


async def post_json(
    url: str, body: bytes, headers: Mapping[str, str], *, tls: ssl.SSLContext | None, seconds: float
) -> Response:
    """Posts *body*, which is JSON, to *url*.

    :param headers: their values are visible ASCII characters and blanks.
    :param tls: for https; None for the system's certificates.
    :raises HttpError: nothing usable came within so many *seconds*.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    lines = [f"POST {parts.path or '/'} HTTP/1.1", f"Host: {parts.netloc}", "Connection: close"]
    lines += ["Content-Type: application/json", "Accept: application/json", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if any(not (" " <= character <= "~") for line in lines for character in line):
        raise HttpError("a header would hold characters that none may hold")
    request = "\r\n".join([*lines, "", ""]).encode("ascii") + body
    try:
        async with asyncio.timeout(seconds):
            reader, writer = await _connect(host, parts.port, tls, parts.scheme == "https")
            try:
                writer.write(request)
                return _parse(await _read(reader))
            finally:
                writer.close()
                with suppress(OSError, TimeoutError):
                    writer.transport.abort()
    except TimeoutError:
        raise HttpError(f"no answer from {host} within {seconds:g} s") from None
    except (OSError, EOFError, asyncio.LimitOverrunError, http.client.HTTPException, ValueError) as error:
        raise HttpError(f"no answer from {host}: {type(error).__name__}: {error}") from None


async def _connect(
    host: str, port: int | None, tls: ssl.SSLContext | None, is_tls: bool
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """:raises OSError: there is no connection.
    :raises HttpError: a proxy would not make one."""
    if not is_tls:
        return await asyncio.open_connection(host, port or 80)
    context = tls or ssl.create_default_context()
    proxy = None if proxy_bypass(host) else getproxies().get("https")
    if proxy is None:
        return await asyncio.open_connection(host, port or 443, ssl=context)
    at = urlsplit(proxy)
    if at.scheme != "http" or not at.hostname:
        raise HttpError("the system's proxy for https is not given as http://HOST:PORT")
    reader, writer = await asyncio.open_connection(at.hostname, at.port or 80)
    try:
        name = f"[{host}]" if ":" in host else host
        lines = [f"CONNECT {name}:{port or 443} HTTP/1.1", f"Host: {name}:{port or 443}"]
        if at.username is not None:
            login = f"{unquote(at.username)}:{unquote(at.password or '')}".encode()
            lines.append(f"Proxy-Authorization: Basic {base64.encode(login).decode()}")
        writer.write("\r\n".join([*lines, "", ""]).encode("ascii"))
        answer = (await reader.readuntil(b"\r\n\r\n")).split(b" ", 2)
        if len(answer) < 2 or answer[1] != b"200":
            raise HttpError(f"the proxy {at.hostname} does not connect to {host}")
        await writer.start_tls(context, server_hostname=host)
    except BaseException:
        writer.transport.abort()
        raise
    return reader, writer


async def _read(reader: asyncio.StreamReader) -> bytes:
    """The response, up to the end that its length tells, or else of the connection."""
    data = bytearray()
    end: int | None = None
    while end is None or len(data) < end:
        chunk = await reader.read(64 * 1024)
        if not chunk:
            break
        data += chunk
        if len(data) > MAX_RESPONSE_BYTES:
            raise HttpError(f"a response of more than {MAX_RESPONSE_BYTES} bytes")
        if end is None and (head := data.find(b"\r\n\r\n")) >= 0:
            fields = http.client.parse_headers(io.BytesIO(data[data.find(b"\r\n") + 2 : head + 4]))
            length = fields.get("Content-Length", "")
            if length.isascii() and length.isdigit() and "Transfer-Encoding" not in fields:
                end = head + 4 + int(length)
    return bytes(data)


def _parse(data: bytes) -> Response:
    response = http.client.HTTPResponse(cast(Any, _Socket(data)), method="POST")
    response.begin()
    return Response(response.status, response.read(), seconds_of(response.getheader("Retry-After")))


def seconds_of(retry_after: str | None) -> float | None:
    """What such a header says, if it says seconds."""
    told = (retry_after or "").strip()
    return float(told) if told.isascii() and told.isdigit() and len(told) < _MAX_DIGITS else None


class ErrorDetail(msgspec.Struct):
    """What a refusal's JSON says: other people's text."""

    code: str = ""
    message: str = ""


class _ErrorBody(msgspec.Struct):
    error: ErrorDetail


def error_of(body: bytes) -> ErrorDetail | None:
    """Reads ``{"error": {"code": …, "message": …}}``; returns None for anything else."""
    try:
        return msgspec.json.decode(body, type=_ErrorBody).error
    except msgspec.DecodeError:
        return None


class _Socket:
    """What :mod:`http.client` reads a response from."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, mode: str) -> io.BytesIO:
        return io.BytesIO(self._data)
