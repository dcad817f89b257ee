"""``crossexec up``, as a person runs it and ends it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from harness import cli_up
from harness.environments.local import LocalEnvironment
from tests.support.command import CROSSEXEC, ROOT, run, started, up
from tests.support.watch import SECONDS, Watched, children, until

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are seen in /proc")


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """Of commands whose temporary files are the test's own."""
    (tmp_path / "tmp").mkdir()
    return {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path / "tmp")}


def left(env: dict[str, str]) -> list[str]:
    return os.listdir(env["TMPDIR"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_it_serves_until_a_signal(env: dict[str, str], number: int) -> None:
    with up(env) as (process, url):
        assert run(env, url, "echo", "here") == "here\n"
        (executor,) = map(Watched, children(process.pid))
        process.send_signal(number)
        out, err = process.communicate(timeout=SECONDS)
        assert (process.returncode, out) == (0, "")
        assert executor.has_ended()
        executor.close()
    assert f"crossexec run --url {url} -- uname -a" in err
    assert f"pytest --env={url}" in err
    assert "Traceback" not in err
    assert left(env) == []


def test_programs_end_with_it(env: dict[str, str]) -> None:
    with up(env) as (process, url):
        command = [*CROSSEXEC, "run", "--url", url, "--", "sh", "-c", "echo $$; exec sleep 600"]
        with started(command, env) as client:
            assert client.stdout
            program = Watched(int(client.stdout.readline()))
            process.terminate()
            assert process.wait(SECONDS) == 0
            assert program.has_ended(SECONDS)
            program.close()


def test_an_ignored_signal_stays_ignored(env: dict[str, str]) -> None:
    with started(["nohup", *CROSSEXEC, "up", "local"], env) as process:
        assert process.stdout
        url = process.stdout.readline().strip()
        process.send_signal(signal.SIGHUP)
        assert run(env, url, "echo", "here") == "here\n"
        process.terminate()
        assert process.wait(SECONDS) == 0


def test_the_executor_dies(env: dict[str, str]) -> None:
    with up(env) as (process, _):
        (executor,) = children(process.pid)
        os.kill(executor, signal.SIGKILL)
        _, err = process.communicate(timeout=SECONDS)
        assert process.returncode == 1
    assert "crossexec up: the executor of local has ended" in err
    assert "Traceback" not in err
    assert left(env) == []


def test_a_lost_connection_is_not_the_end(tmp_path: Path) -> None:
    async def main() -> None:
        accepted: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()

        async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            there, back = await asyncio.open_connection("127.0.0.1", port)
            accepted.put_nowait(writer)
            await asyncio.gather(copy(reader, back), copy(there, writer), return_exceptions=True)

        async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while data := await reader.read(65536):
                writer.write(data)
            writer.close()

        async with LocalEnvironment().start() as running:
            port = int(running.url.rpartition(":")[2])
            async with await asyncio.start_server(forward, "127.0.0.1", 0) as server:
                url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
                end = cli_up.EndOfUp()
                keeping = asyncio.create_task(cli_up.keep(replace(running, url=url), end))
                first = await accepted.get()
                while end.may_cancel:  # noqa: ASYNC110 - until its handshake is done
                    await asyncio.sleep(0)
                first.transport.abort()
                await asyncio.wait_for(accepted.get(), SECONDS)
                assert not keeping.done()
                end.asked.set()
                assert await keeping is None

    asyncio.run(main())


def test_nobody_reads_the_url(env: dict[str, str]) -> None:
    # It may tell the URL before this side runs again.
    reader, writer = os.pipe()
    os.close(reader)
    with started([*CROSSEXEC, "up", "local"], env, writer) as process:
        os.close(writer)
        assert process.stderr
        assert process.wait(SECONDS) == 141
        assert process.stderr.read() == ""
    assert left(env) == []


def test_an_end_while_it_starts(env: dict[str, str], tmp_path: Path) -> None:
    """An executor that never tells its URL would be waited for for half a minute."""
    code = """
import sys
from harness import environments
from harness.cli import main
from harness.environments.local import LocalEnvironment
script = "touch started; exec cat"
environments.ENVIRONMENTS["local"] = lambda settings: LocalEnvironment(command=["sh", "-c", script])
sys.exit(main(["up", "local"]))
"""
    with started(["env", "-C", str(tmp_path), sys.executable, "-c", code], env) as process:
        until((tmp_path / "started").exists, lambda: "the executor was not started")
        process.terminate()
        out, err = process.communicate(timeout=SECONDS * 2)
        assert (process.returncode, out, err) == (0, "", "crossexec up: ending\n")
    assert left(env) == []


@pytest.mark.parametrize(("name", "word"), [("nowhere", "local"), ("ws://127.0.0.1:1", "up already")])
def test_wrong_usage(env: dict[str, str], name: str, word: str) -> None:
    with started([*CROSSEXEC, "up", name], env) as process:
        out, err = process.communicate(timeout=SECONDS)
    assert (process.returncode, out) == (2, "")
    assert word in err.splitlines()[-1]
