"""An executor of this machine that dials out, and the service that is brought up for it."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest

from harness.client.sync import blocking_context, sync_client
from harness.environments import EnvironmentFailed, make_environment, relayed
from harness.environments.local import LocalEnvironment
from harness.environments.place import DialOut
from harness.environments.relayed import ENVIRONMENT_ID, RelayedEnvironment, serving
from harness.environments.remote import RemoteEnvironment
from harness.remote.options import RemoteOptions
from tests.support.relayed_run import relayed_run

pytestmark = pytest.mark.usefixtures("libraries")
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="asks /proc")


@pytest.fixture
def libraries() -> None:
    for name in ("aiohttp", "cryptography", "google.protobuf", "prometheus_client"):
        pytest.importorskip(name)


class Front:
    """Passes on what comes, and keeps the first line of it.

    :ivar asked: what was asked for, ``POST /path``, in order.
    """

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.real = ""
        self.public = ""

    @asynccontextmanager
    async def __call__(self, url: str) -> AsyncIterator[str]:
        self.real = url
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.public = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with server:
            yield self.public

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        parts = urlsplit(self.real)
        behind_reader, behind_writer = await asyncio.open_connection(parts.hostname, parts.port)

        async def pass_on(source: asyncio.StreamReader, target: asyncio.StreamWriter, notes: bool) -> None:
            try:
                while data := await source.read(65536):
                    if notes and (found := re.match(rb"(GET|POST) ([^ ?]+)", data)):
                        self.asked.append(found[0].decode())
                    target.write(data)
                    await target.drain()
            except OSError:
                pass
            finally:
                target.close()

        await asyncio.gather(
            pass_on(reader, behind_writer, True),
            pass_on(behind_reader, writer, False),
            return_exceptions=True,
        )


def test_it_comes_up_and_tells_what_it_is_made_of() -> None:
    environment = make_environment("remote-local")
    with blocking_context(environment.start()) as up, sync_client(up.connect()) as client:
        assert client.run([sys.executable, "-c", "print('here')"]).stdout.split() == [b"here"]
        assert (environment.name, up.name, up.is_remote) == ("remote-local", "remote-local", True)
        assert "aiohttp" in up.facts["rendezvous"]
        assert "cryptography" in up.facts["relay"]
        assert up.log is not None
        log = up.log
        assert log.exists()
        assert not up.has_ended()
    assert not log.parent.exists()
    assert up.has_ended()


def test_executor_and_harness_come_by_the_front_alone() -> None:
    front = Front()
    with blocking_context(RelayedEnvironment(LocalEnvironment(), front=front).start()) as up:
        assert up.open_link is not None
        assert urlsplit(up.open_link.rendezvous).netloc == urlsplit(front.public).netloc
        register, dial, connect, harness_dials, validate = front.asked[:5]
    of = f"/cloud/environment/{ENVIRONMENT_ID}"
    assert (register, connect, validate) == tuple(
        f"POST {of}/{action}" for action in ("register", "connect", "validate")
    )
    assert dial == harness_dials
    assert dial.startswith("GET /")


@linux_only
def test_no_token_is_told_to_anybody() -> None:
    async def scenario() -> tuple[list[str], list[str]]:
        async with serving() as service:
            dial_out = DialOut(service.url, ENVIRONMENT_ID, service.executor_token)
            async with LocalEnvironment().launch(dial_out) as up:
                options = RemoteOptions(registry=service.url, token_file=service.harness_token_file)
                async with RemoteEnvironment(ENVIRONMENT_ID, options).clients()("test") as client:
                    inside = (await client.run(["sh", "-c", "cat /proc/*/cmdline; env"])).stdout
                shown = [inside.decode(errors="replace"), up.log.read_text(), service.log.read_text()]
                shown += [repr(dial_out), repr(service), repr(options)]
                assert service.log.stat().st_size > 0
                assert service.harness_token_file.stat().st_mode & 0o077 == 0
                return shown, [service.executor_token, service.harness_token_file.read_text()]

    shown, secrets = asyncio.run(scenario())
    assert all(len(secret) > 20 for secret in secrets)
    assert not [text for text in shown if any(secret in text for secret in secrets)]


@linux_only
def test_a_killed_run_leaves_neither_service_nor_executor() -> None:
    with relayed_run("remote-local") as run:
        # Service, executor, and what the executor has started.
        assert len(run.started) >= 3
        run.kill()
        assert run.left() == []


def test_a_service_that_does_not_start_is_told_with_its_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relayed, "_RUN_SERVICE", (sys.executable, "-c", "raise SystemExit('out of luck')"))
    with (
        pytest.raises(EnvironmentFailed, match=r"rendezvous .*exited with status 1.*\s.*out of luck"),
        blocking_context(make_environment("remote-local").start()),
    ):
        pass


def test_a_front_that_the_service_does_not_take_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    script = (
        "import sys; print('http://127.0.0.1:1', flush=True); sys.stdin.readline(); print('no', flush=True)"
    )
    monkeypatch.setattr(relayed, "_RUN_SERVICE", (sys.executable, "-c", script))
    environment = RelayedEnvironment(LocalEnvironment(), front=Front())
    with (
        pytest.raises(EnvironmentFailed, match=r"has not taken http://127\.0\.0\.1:\d+"),
        blocking_context(environment.start()),
    ):
        pass


def test_what_is_missing_is_told_with_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relayed, "_MODULES", ("json", "no_such_module"))
    environment = make_environment("remote-local")
    told = str(environment.available())
    assert "no_such_module" in told
    assert "crossexec[rendezvous]" in told
    with pytest.raises(EnvironmentFailed, match="no_such_module"), blocking_context(environment.start()):
        pass


def test_a_command_of_somebody_elses_is_not_told_to_dial_out() -> None:
    environment = RelayedEnvironment(LocalEnvironment(command=["own-server"]))
    assert "'own-server' is not known to dial out" in str(environment.available())


def test_it_cannot_be_kept_up_for_others(capsys: pytest.CaptureFixture[str]) -> None:
    from harness.cli import main

    with pytest.raises(SystemExit) as ended:
        main(["up", "remote-local"])
    assert ended.value.code == 2
    assert "rendezvous of its own" in capsys.readouterr().err
