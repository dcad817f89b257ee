"""``crossexec rendezvous`` as people run it: real processes, TLS, and what it says when it cannot."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import sqlite3
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from harness.cli import main
from harness.rendezvous.machine import NotAlone, sole_instance
from harness.rendezvous.store import open_store
from tests.relay.certificates import make_certificate
from tests.relay.remote import ROOT
from tests.support.ports import kept_port
from tests.support.watch import SECONDS

# No connection that this machine makes takes a port of it, so that a service can have its own again.
HOST = "127.0.0.7"


class World:
    """Processes, and all that they have written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.database = folder / "rendezvous.sqlite"
        self.audit = folder / "audit.log"
        self.written: list[str] = []
        _, self.certificate = make_certificate(folder, HOST)
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("CROSSEXEC_")}
        self._environment = inherited | {
            "PYTHONPATH": str(ROOT),
            "PYTHONUTF8": "1",
            # Tells of slow callbacks, with what they were called with, and of all that is not awaited.
            "PYTHONASYNCIODEBUG": "1",
            "SSL_CERT_FILE": str(self.certificate),
        }

    async def start(self, module: str, *arguments: str | Path, **variables: str) -> Process:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", module, *map(str, arguments)),
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            env=self._environment | variables,
        )

    async def outcome(self, process: Process) -> tuple[int, str, str]:
        async with asyncio.timeout(SECONDS):
            out, err = (each.decode() for each in await process.communicate())
        self.written += [out, err]
        assert process.returncode is not None
        return process.returncode, out, err

    async def run(self, *arguments: str | Path) -> tuple[int, str, str]:
        """A command that ends by itself."""
        return await self.outcome(await self.start("harness.cli", *arguments))

    @asynccontextmanager
    async def running(self, process: Process) -> AsyncIterator[tuple[Process, str]]:
        """A process that is asked to end at the end, and the first line that it has written."""
        assert process.stdout is not None
        try:
            async with asyncio.timeout(SECONDS):
                line = (await process.stdout.readline()).decode().strip()
            yield process, line
            process.send_signal(signal.SIGTERM)
            status, out, err = await self.outcome(process)
            assert (status, out) == (0, ""), err
            assert "Traceback" not in err and "never awaited" not in err
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    async def service(self, port: int = 0, *more: str) -> Process:
        return await self.start(
            *("harness.cli", "rendezvous", "--listen", f"{HOST}:{port}", "--database", str(self.database)),
            *("--tls-certificate", str(self.certificate), "--tls-key", str(self.folder / "key.pem")),
            *("--audit-log", str(self.audit), *more),
        )

    async def token(self, role: str) -> tuple[str, str]:
        """The id and the text of a new one."""
        status, out, err = await self.run(
            "rendezvous-token", "add", "box", "--role", role, "--database", self.database
        )
        self.written[-2:] = []
        assert status == 0
        found = re.search(r"tok_\S+(?=;)", err)
        assert found is not None, err
        return found.group(), out.strip()

    async def hello(self, registry: str) -> tuple[int, str, str]:
        return await self.run(
            *("run", "--env=remote:box", "--remote-registry", registry),
            *("--remote-token-file", self.folder / "token", "--", "echo", "hello"),
        )


def test_a_team_s_service_from_its_tokens_to_its_end(tmp_path: Path) -> None:
    world = World(tmp_path)

    async def connected(executor: Process) -> None:
        assert executor.stderr is not None
        async with asyncio.timeout(SECONDS):
            while line := await executor.stderr.readline():
                world.written.append(line.decode())
                if b"connected again" in line:
                    return
        raise AssertionError("the executor has ended")

    async def body(port: int) -> None:
        _, executor_token = await world.token("executor")
        id, harness_token = await world.token("harness")
        (tmp_path / "token").write_text(harness_token)
        async with world.running(await world.service(port)) as (_, url):
            assert url == f"https://{HOST}:{port}"
            executor = await world.start(
                *("executors", "--remote", url, "--environment-id", "box"),
                CROSSEXEC_REGISTRY_TOKEN=executor_token,
            )
            running = world.running(executor)
            assert (await running.__aenter__())[1] == "remote:box"
            assert (await world.hello(url))[:2] == (0, "hello\n")
        # It is started anew: what was registered is, and the executor is back by itself.
        async with world.running(await world.service(port)) as (_, again):
            assert again == url
            await connected(executor)
            assert (await world.hello(url))[:2] == (0, "hello\n")
        # With another key it registers anew.
        async with world.running(await world.service(port, "--new-signing-key")):
            await connected(executor)
            assert (await world.hello(url))[:2] == (0, "hello\n")
            revoke = await world.run("rendezvous-token", "revoke", id, "--database", world.database)
            assert revoke[0] == 0
            status, _, err = await world.hello(url)
            assert status == 125 and "401" in err
            await running.__aexit__(None, None, None)
        _, listed, _ = await world.run("rendezvous-token", "list", "--database", world.database)
        assert re.search(rf"{id}  box  harness  revoked", listed)
        world.written.append(world.audit.read_text())
        written = "".join(world.written)
        assert '"event": "hang up"' in written and '"event": "register"' in written
        for secret in (executor_token, harness_token, "signature=", "Bearer "):
            assert secret not in written

    with kept_port(HOST) as port:
        asyncio.run(body(port))


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        (["--listen", "127.0.0.1"], 2, "give HOST:PORT"),
        (["--listen", "192.0.2.1:1"], 2, "unencrypted"),
        (["--listen", "0.0.0.0:1", "--plain"], 2, "--public-url https://HOST:PORT"),
        (["--listen", "192.0.2.1:1", "--plain"], 2, "--public-url https://HOST"),
        (["--public-url", "example.org"], 2, "give it as https://HOST"),
        (["--public-url", "https://a@example.org"], 2, "give it as https://HOST"),
        (["--public-url", "https://[example"], 2, "give it as https://HOST"),
        (["--public-url", "http://example.org"], 2, "give an https URL"),
        (["--rate", "connect"], 2, "--rate connect: give NAME=PER_SECOND"),
        (["--rate", "all=1"], 2, "all is none of register, dial"),
        (["--tls-key", "FOLDER/key.pem"], 2, "go together"),
        (["--tls-key", "FOLDER/none", "--tls-certificate", "FOLDER/none"], 1, "No such file"),
        (["--tls-key", "FOLDER/text", "--tls-certificate", "FOLDER/certificate.pem"], 1, "unencrypted key"),
        (["--database", "FOLDER/text"], 1, "file is not a database; restore it from a backup"),
        (["--database", "FOLDER/foreign"], 1, "another program's"),
        (["--database", "FOLDER/none/db"], 1, "No such file"),
        (["--audit-log", "FOLDER/none/log"], 1, "the audit log"),
    ],
)
def test_what_keeps_it_from_starting_is_told(
    arguments: list[str], status: int, text: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    make_certificate(tmp_path)
    (tmp_path / "text").write_text("some text that is neither a key nor a database")
    foreign = sqlite3.connect(tmp_path / "foreign")
    foreign.execute("CREATE TABLE theirs (name)")
    foreign.close()
    given = [each.replace("FOLDER", str(tmp_path)) for each in arguments]
    database = [] if "--database" in given else ["--database", str(tmp_path / "db")]
    listen = [] if "--listen" in given else ["--listen", "127.0.0.1:0"]
    try:
        ended = main(["rendezvous", *given, *database, *listen])
    except SystemExit as error:
        ended = int(str(error.code))
    out, err = capfd.readouterr()
    assert (ended, out) == (status, "")
    assert text in " ".join(err.split()), err
    assert "Traceback" not in err


def test_a_port_that_is_taken_is_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with socket.create_server((HOST, 0)) as other:
        listen = f"{HOST}:{other.getsockname()[1]}"
        assert main(["rendezvous", "--listen", listen, "--database", str(tmp_path / "db")]) == 1
    assert f"cannot listen on {listen}" in capfd.readouterr().err


def test_a_damaged_database_is_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    database = tmp_path / "db"
    with open_store(database) as store:
        for number in range(300):
            store.add_token(f"box{number}", "harness", 0.0, None)
    content = bytearray(database.read_bytes())
    content[8192:40_000] = os.urandom(40_000 - 8192)
    database.write_bytes(content)
    assert main(["rendezvous-token", "list", "--database", str(database)]) == 1
    err = capfd.readouterr().err
    assert "restore it from a backup" in err and "Traceback" not in err


def test_one_instance_serves_a_database(tmp_path: Path) -> None:
    database = tmp_path / "db"
    (tmp_path / "link").symlink_to(database)
    with sole_instance(database):
        for name in ("db", "link"):
            again = sole_instance(tmp_path / name, 0.01)
            with pytest.raises(NotAlone, match="another crossexec rendezvous serves"), again:
                pass
    with sole_instance(database, 0.01):
        pass


def test_the_database_is_its_owner_s_alone(tmp_path: Path) -> None:
    database = tmp_path / "db"
    with open_store(database) as store:
        token, secret = store.add_token("box", "harness", 0.0, None)
        assert {path.stat().st_mode & 0o077 for path in tmp_path.iterdir()} == {0}
        assert store.find_token(secret) == token
        kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert secret.encode() not in kept
