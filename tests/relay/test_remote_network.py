"""What is between an executor and the rendezvous: TLS, proxies, and silence."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from executors.remote.http_post import HttpError, post_json
from tests.relay.certificates import make_certificate
from tests.relay.remote import ENVIRONMENT_ID, in_loop, outcome, start
from tests.support.rendezvous import rendezvous
from tests.support.watch import SECONDS


@asynccontextmanager
async def proxy(
    answer: bytes = b"HTTP/1.1 200 Connection established\r\n\r\n",
) -> AsyncIterator[tuple[str, list[str]]]:
    """The URL of a proxy for https, and the heads of what it was asked."""
    heads: list[str] = []
    tasks: list[asyncio.Task[None] | None] = []

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.append(asyncio.current_task())
        heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(answer)
        if b" 200 " in answer:
            host, port = heads[-1].split(" ")[1].split(":")
            far_reader, far_writer = await asyncio.open_connection(host, int(port))
            await asyncio.gather(pipe(reader, far_writer), pipe(far_reader, writer))
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        yield f"http://us%65r:pass@127.0.0.1:{port}", heads
        await asyncio.gather(*(task for task in tasks if task is not None))


def test_certificates_are_checked_and_of_ones_own_choice(tmp_path: Path) -> None:
    async def body() -> None:
        context, file = make_certificate(tmp_path)
        async with rendezvous(context) as service:
            arguments = [service.base_url, "--environment-id", ENVIRONMENT_ID]
            variables = {"CROSSEXEC_REGISTRY_TOKEN": service.token}
            status, _, err = await outcome(await start(*arguments, **variables))
            assert status == 1
            assert "certificate verify failed" in err.lower() or "CERTIFICATE_VERIFY_FAILED" in err
            assert service.calls == []
            process = await start(*arguments, **variables, SSL_CERT_FILE=str(file))
            assert process.stdout is not None and process.stderr is not None
            async with asyncio.timeout(SECONDS):
                line = await process.stdout.readline()
            assert line == f"remote:{ENVIRONMENT_ID}\n".encode(), await process.stderr.read()
            await service.executor_connected(ENVIRONMENT_ID)
            process.terminate()
            assert (await outcome(process))[0] == 0

    asyncio.run(body())


def test_the_registry_is_reached_through_the_systems_proxy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body() -> None:
        context, file = make_certificate(tmp_path)
        tls = ssl.create_default_context(cafile=str(file))
        async with rendezvous(context) as service, proxy() as (url, heads):
            monkeypatch.setenv("https_proxy", url)
            monkeypatch.delenv("no_proxy", raising=False)
            monkeypatch.delenv("NO_PROXY", raising=False)
            address = f"{service.base_url}/cloud/environment/e/nothing"
            response = await post_json(address, b"{}", {"Authorization": "Bearer x"}, tls=tls, seconds=20)
            assert response.status == 401
            (head,) = heads
            assert head.startswith(f"CONNECT {service.base_url[8:].removesuffix('/base')} HTTP/1.1\r\n")
            assert "Proxy-Authorization: Basic dXNlcjpwYXNz\r\n" in head
            assert "Bearer" not in head, "the proxy learns nothing of the request"
            monkeypatch.setenv("no_proxy", "127.0.0.1")
            await post_json(address, b"{}", {}, tls=tls, seconds=20)
            assert len(heads) == 1

    asyncio.run(body())


@pytest.mark.parametrize(
    "answer",
    [b"HTTP/1.1 407 No\r\n\r\n", b"\r\n\r\n", b"", b"x" * 100000],
    ids=["no", "nonsense", "nothing", "too long"],
)
def test_a_proxy_that_does_not_connect(answer: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    async def body() -> None:
        async with proxy(answer) as (url, _):
            monkeypatch.setenv("https_proxy", url)
            monkeypatch.delenv("no_proxy", raising=False)
            with pytest.raises(HttpError) as raised:
                await post_json("https://registry.invalid/", b"{}", {}, tls=None, seconds=20)
            assert "pass" not in str(raised.value)

    asyncio.run(body())


def test_a_rendezvous_that_answers_no_ping_is_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("executors.remote.link.PING_SECONDS", 0.1)
    monkeypatch.setattr("executors.remote.link.PONG_SECONDS", 0.1)

    async def body() -> None:
        async with rendezvous() as service, in_loop(service):
            first = await service.executor_connected(ENVIRONMENT_ID)
            # Nothing is read any more, as of a peer that is half open.
            first.transport.pause_reading()
            async with asyncio.timeout(SECONDS):
                while len(service.dialled) < 2:  # noqa: ASYNC110 - it is in another's hands
                    await asyncio.sleep(0.01)
            first.transport.abort()

    asyncio.run(body())
